"""The operation ``forget``: deletes what the state backend has of a stack that was removed."""

from __future__ import annotations

from stacks.contract import Code, Result
from stacks.engine.backend import HOLDER
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed, locked_failure, name_of
from stacks.engine.state import pending_of, resources_of

_NAMED = 10


def forget(call: Call) -> Result:
    """Delete all records of the stack; a stack without any is as it should be.

    Raises ``CallFailed`` for one that somebody holds, or that still has something.
    """
    locks = call.backend.locks()
    if locks:
        raise locked_failure([lock.model_dump(include=HOLDER) for lock in locks])
    state = call.backend.state()
    urns = [each.urn for each in resources_of(state)] + [each.urn for each in pending_of(state)]
    if urns:
        raise CallFailed(
            Code.BACKEND,
            f"The state of {call.request.stack} still has something, so it is kept: "
            + ", ".join(sorted(map(name_of, urns))[:_NAMED]),
        )
    return Result(outcome="forgotten", records=call.backend.forget(), seconds=call.seconds)
