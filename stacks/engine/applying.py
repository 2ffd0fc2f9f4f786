"""The operations ``preview`` and ``up``: plan, gate, apply, verify, in one process."""

from __future__ import annotations

import base64
import binascii
import time
from pathlib import Path

from stacks.contract import Code, Planned, PlannedParts, Result
from stacks.engine import plan as plans
from stacks.engine.backend import State, salt_of
from stacks.engine.call import Call, Done, refuse_version
from stacks.engine.failures import CallFailed, locked_failure, name_of
from stacks.engine.sources import program_digest, versions
from stacks.engine.state import outputs_of, pending_of, resources_of
from stacks.engine.values import digest
from stacks.engine.verifying import verify

_PREVIEW = ["preview", "--skip-plugin-pre-install"]
_HARMLESS = frozenset({"same", "read", "refresh"})
_UP = ["up", "--yes", "--skip-preview", "--skip-plugin-pre-install"]


def preview(call: Call) -> Result:
    """Plan and change nothing; a stack that does not exist yet is made, empty."""
    planned = _plan(call)
    return Result(
        outcome="planned",
        summary=_counts(planned),
        stack_salt=planned.stack_salt,
        encrypted_key=planned.encrypted_key,
        seconds=call.seconds,
    )


def up(call: Call) -> Result:
    """Plan, wait for the gate if there is one, apply exactly that plan, and verify."""
    plan_path = _given_plan(call)
    planned = _plan(call)
    if call.request.gate and not _gate(call, planned):
        return Result(
            outcome="stopped",
            state_digest=planned.parts.state,
            summary=_counts(planned),
            stack_salt=planned.stack_salt,
            encrypted_key=planned.encrypted_key,
            seconds=call.seconds,
        )
    done = _apply(call, plan_path or _own_plan(call))
    state = call.state()
    outputs, secret_outputs = outputs_of(state)
    checks = verify(call, state) if call.request.verify else ()
    return Result(
        outcome="applied",
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=call.digest_of(state),
        history_digest=call.history_digest(),
        resources=tuple(resources_of(state)),
        summary=done.events.changes,
        checks=checks,
        stack_salt=salt_of(state) or planned.stack_salt,
        encrypted_key=planned.encrypted_key,
        seconds=call.seconds,
    )


def _plan(call: Call) -> Planned:
    with call.phase("plan"):
        started = time.monotonic()
        state = _ensure_stack(call, started)
        path = _own_plan(call)
        done = call.engine(
            "plan",
            [*_PREVIEW, "--save-plan", str(path)],
            doing="plan the changes",
            seconds=_rest(call.request.deadlines.plan_seconds, started),
        )
        if done.failure is not None:
            raise done.failure
        planned = _planned(call, done, state, path.read_bytes())
    call.channel.send(planned)
    return planned


def _ensure_stack(call: Call, started: float) -> State | None:
    """Return the stack's state, making the stack when it is not there.

    Meanwhile another thread imports the program and the provider starts: three processes that
    would take twice as long one after the other.
    """
    state = call.state()
    _refuse_unfit(call, state)
    process = call.cli.start(call.create_stack_arguments()) if state is None else None
    call.warm_provider(state)
    call.start_host()
    if process is not None:
        left = _rest(call.request.deadlines.plan_seconds, started)
        call.check(call.cli.wait(process, seconds=left), doing="make the stack")
        call.seconds["create_stack"] = round(time.monotonic() - started, 3)
        state = call.state()
    return state


def _refuse_unfit(call: Call, state: State | None) -> None:
    """Raise ``CallFailed`` for a stack that is held by somebody or has interrupted operations.

    The engine itself minds neither: a preview takes no lock, and an ``up`` makes a second thing
    where a create was interrupted.
    """
    locks = call.backend.locks() if call.backend is not None else []
    if locks:
        raise locked_failure([lock.model_dump(exclude={"ours"}) for lock in locks])
    pending = pending_of(state)
    if pending:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "The stack has interrupted operations, which are resolved first: "
            + ", ".join(name_of(p.urn) for p in pending),
            data={"resources": [p.model_dump() for p in pending]},
        )


def _planned(call: Call, done: Done, state: State | None, saved_plan: bytes) -> Planned:
    request = call.request
    cli_version = plans.cli_version(saved_plan)
    refuse_version(cli_version)
    hide = call.hider(state).hide
    operations = plans.operations_of(done.events.started)
    resources = plans.resources_of(done.events.started)
    outputs = plans.outputs_of(done.events.done)
    known_versions = versions(cli_version, request.cloud.provider)
    parts = PlannedParts(
        operations=plans.operations_digest(operations, resources, outputs, saved_plan, hide),
        state=call.digest_of(state),
        program=program_digest(str(request.program)),
        versions=digest(known_versions),
    )
    return Planned(
        digest=digest(parts.model_dump()),
        parts=parts,
        versions=known_versions,
        operations=operations,
        resources=resources,
        outputs=outputs,
        saved_plan=base64.b64encode(saved_plan).decode(),
        stack_salt=salt_of(state) or call.salt(),
        encrypted_key=request.encrypted_key,
    )


def _gate(call: Call, planned: Planned) -> bool:
    """Wait for the answer to ``planned``; True to go on. Raises ``CallFailed``."""
    with call.phase("gate"):
        end = time.monotonic() + call.request.deadlines.gate_seconds
        while True:
            entry = call.inbox.get(end - time.monotonic())
            match entry:
                case None:
                    raise CallFailed(
                        Code.DEADLINE,
                        "Nobody answered the plan in time; nothing was applied.",
                        data={"phase": "gate"},
                    )
                case ("proceed", quoted):
                    if quoted == planned.digest:
                        return True
                    raise CallFailed(
                        Code.BAD_REQUEST,
                        "The answer quotes another digest than the plan's; nothing was applied.",
                        data={"quoted": str(quoted), "planned": planned.digest},
                    )
                case ("stop",):
                    return False
                case ("cancel",):
                    raise CallFailed(
                        Code.CANCELED, "The call was canceled at the gate; nothing was applied.",
                        data={"phase": "gate"},
                    )  # fmt: skip
                case ("parent_gone",):
                    raise CallFailed(
                        Code.PARENT_GONE, "The parent process ended; nothing was applied.",
                        data={"phase": "gate"},
                    )  # fmt: skip
                case _:
                    continue  # an end of a process that was told before


def _apply(call: Call, plan_path: Path) -> Done:
    with call.phase("apply"):
        done = call.engine(
            "apply",
            [*_UP, "--plan", str(plan_path), *call.message()],
            doing="apply the plan",
            seconds=call.request.deadlines.apply_seconds,
            locks=True,
        )
    if done.failure is not None:
        raise touched(call, done)
    return done


def touched(call: Call, done: Done) -> CallFailed:
    """Return the failure of a command that may have changed the cloud, with what it left."""
    failure = done.failure
    if failure is None:
        raise AssertionError("only a failed command is asked for its failure")
    # An engine that began no step of these kinds, because of a lock or of the plan, called nothing.
    failure.changed = any(str(m.get("op")) not in _HARMLESS for m in done.events.started)
    failure.summary = done.events.changes
    failure.state_digest = call.digest_of(call.state())
    return failure


def _given_plan(call: Call) -> Path | None:
    """Write the approved plan of the request into the private folder."""
    if call.request.saved_plan is None:
        return None
    path = call.folder.root / "approved-plan.json"
    try:
        path.write_bytes(base64.b64decode(call.request.saved_plan, validate=True))
    except binascii.Error:
        raise CallFailed(Code.BAD_REQUEST, "The saved plan of the request is no base64.") from None
    return path


def _own_plan(call: Call) -> Path:
    return call.folder.root / "plan.json"


def _counts(planned: Planned) -> dict[str, int]:
    counts: dict[str, int] = {}
    for operation in planned.operations:
        counts[operation.op] = counts.get(operation.op, 0) + 1
    return counts


def _rest(seconds: float, started: float) -> float:
    return max(seconds - (time.monotonic() - started), 0.0)
