"""The operation ``clean_up``: ends what dead calls left running and breaks their locks."""

from __future__ import annotations

from stacks.contract import Code, Result
from stacks.engine.backend import HOLDER
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed, locked_failure
from stacks.engine.locks import known_locks
from stacks.engine.processes import end_marked


def clean_up(call: Call) -> Result:
    """End the processes of dead calls on this host, then delete exactly the named locks.

    Raises ``CallFailed`` and breaks none when a process of this host that holds one of them lives.
    """
    request = call.request
    if request.call_id in request.end_calls:
        raise CallFailed(Code.BAD_REQUEST, "A call cannot end itself.")
    ended: list[int] = []
    if request.end_calls:
        with call.phase("end_processes"):
            ended = end_marked(
                set(request.end_calls),
                engine=request.cli,
                grace_seconds=request.deadlines.stop_seconds,
            )
    held = [
        lock
        for lock in known_locks(call.backend, engine=request.cli)
        if lock.alive and lock.id in request.break_locks
    ]
    if held:
        raise locked_failure([lock.model_dump(include=HOLDER) for lock in held])
    return Result(
        outcome="cleaned",
        ended_pids=tuple(ended),
        broken_locks=tuple(
            i for i in request.break_locks if call.backend.break_lock(i, by=request.call_id)
        ),
        seconds=call.seconds,
    )
