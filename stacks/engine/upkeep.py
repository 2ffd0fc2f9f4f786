"""The operations ``refresh``, ``destroy``, ``export`` and ``clean_up``."""

from __future__ import annotations

from stacks.contract import Code, Result
from stacks.engine.applying import touched
from stacks.engine.backend import FileBackend, State, salt_of
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed, protected_failure
from stacks.engine.processes import end_marked
from stacks.engine.state import outputs_of, pending_of, protected_of, resources_of

_CHANGING = ["--yes", "--skip-preview", "--skip-plugin-pre-install"]


def refresh(call: Call) -> Result:
    """Make the state equal to the cloud; pending creates are left for ``resolve_pending``."""
    return _change(call, "refresh", ["refresh", *_CHANGING, "--skip-pending-creates"])


def destroy(call: Call) -> Result:
    """Delete everything of the stack. Refused before anything is called if a part is protected."""
    protected = protected_of(call.state())
    if protected:
        raise protected_failure(protected)
    return _change(call, "destroy", ["destroy", *_CHANGING])


def export(call: Call) -> Result:
    """Return resources, outputs, locks, pending operations and digests; change nothing."""
    state = call.state()
    outputs, secret_outputs = outputs_of(state)
    known = set(call.request.known_locks)
    locks = [] if call.backend is None else call.backend.locks()
    return Result(
        outcome="exported",
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=None if state is None else call.digest_of(state),
        history_digest=None if state is None else call.history_digest(),
        written_by=None if state is None else call.written_by(state),
        resources=tuple(resources_of(state)),
        locks=tuple(lock.model_copy(update={"ours": lock.id in known}) for lock in locks),
        pending=tuple(pending_of(state)),
        stack_salt=salt_of(state) or call.salt(),
        encrypted_key=call.request.encrypted_key,
        seconds=call.seconds,
    )


def clean_up(call: Call) -> Result:
    """End the processes of dead calls, then delete exactly the named locks."""
    request = call.request
    if request.call_id in request.end_calls:
        raise CallFailed(Code.BAD_REQUEST, "A call cannot end itself.")
    if request.break_locks and call.backend is None:
        raise CallFailed(
            Code.BACKEND,
            "Locks are broken in file:// backends alone. When no process works on the stack, "
            "delete these lock files in the backend: " + ", ".join(request.break_locks) + ".",
        )
    ended: list[int] = []
    if request.end_calls:
        with call.phase("end_processes"):
            ended = end_marked(
                set(request.end_calls),
                engine=request.cli,
                grace_seconds=request.deadlines.stop_seconds,
            )
    return Result(
        outcome="cleaned",
        ended_pids=tuple(ended),
        broken_locks=_broken(call.backend, request.break_locks),
        seconds=call.seconds,
    )


def _broken(backend: FileBackend | None, lock_ids: tuple[str, ...]) -> tuple[str, ...]:
    if backend is None:
        return ()
    return tuple(lock_id for lock_id in lock_ids if backend.break_lock(lock_id))


def _change(call: Call, phase: str, arguments: list[str]) -> Result:
    state = _existing(call)
    call.check_version()
    with call.phase(phase):
        done = call.engine(
            phase,
            [*arguments, *call.message()],
            doing=f"{phase} the stack",
            seconds=call.request.deadlines.apply_seconds,
            program=False,
            locks=True,
        )
    if done.failure is not None:
        raise touched(call, done)
    after = call.state()
    outputs, secret_outputs = outputs_of(after)
    return Result(
        outcome="applied",
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=call.digest_of(after),
        history_digest=call.history_digest(),
        resources=tuple(resources_of(after)),
        summary=done.events.changes,
        pending=tuple(pending_of(after)),
        stack_salt=salt_of(state),
        encrypted_key=call.request.encrypted_key,
        seconds=call.seconds,
    )


def _existing(call: Call) -> State:
    state = call.state()
    if state is None:
        raise CallFailed(Code.BACKEND, "There is no such stack in the backend.")
    return state
