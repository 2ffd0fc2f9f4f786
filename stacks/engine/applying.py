"""The operations ``preview`` and ``up``: plan, gate, apply, verify, in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Literal

from stacks.contract import (
    Applied,
    Code,
    Look,
    Planned,
    PlannedOperation,
    PlannedParts,
    PlannedResource,
    Result,
)
from stacks.engine import plan as plans
from stacks.engine.backend import HOLDER, State
from stacks.engine.call import Call, Done
from stacks.engine.failures import (
    CallFailed,
    locked_failure,
    name_of,
    plan_violated,
    protected_failure,
)
from stacks.engine.sdk import VERSION, ProgramRun
from stacks.engine.session import Session, reads_scope, within
from stacks.engine.sources import program_digest, program_digest_of_nothing, versions
from stacks.engine.state import guarded, outputs_of, pending_of
from stacks.engine.values import digest
from stacks.engine.verifying import verify

_PREVIEW = ["preview", "--skip-plugin-pre-install"]
# stops that may come as the engine ends
_TOO_LATE = frozenset({Code.CANCELED, Code.DEADLINE, Code.BACKEND_UNAVAILABLE})
_DIED = frozenset({Code.ENGINE_DIED, Code.PROVIDER_DIED})
_HARMLESS = frozenset({"same", "read", "refresh"})
Outcome = Literal["planned", "applied", "looked", "stopped", "canceled"]


def preview(call: Call) -> Result:
    """Plan and change nothing; the stack need not exist."""
    with call.phase("plan"):
        started = time.monotonic()
        state = _prepared(call)
        done = call.engine(
            "plan",
            [*_PREVIEW, *within(call.request.scope, state)],
            doing="plan the changes",
            seconds=_rest(call, started),
        )
        planned = _planned(call, _previewed(done, state))
    call.channel.send(planned)
    return _result(call, "planned", planned, state_digest=planned.parts.state)


def up(call: Call) -> Result:
    """Plan, wait for the gate if there is one, do what it says, and verify."""
    with ExitStack() as open_session:
        with call.phase("plan"):
            started = time.monotonic()
            before = _prepared(call)
            session = open_session.enter_context(Session(call, before))
            done = session.preview(seconds=_rest(call, started))
            # what the engine has previewed over: nobody else can write it meanwhile
            seen = _previewed(done, call.state() if done.failure is None else None)
            planned = _planned(call, seen)
        # what a scope names was read as it was planned
        if call.request.compare and not reads_scope(call.request.scope, before):
            planned = _compared(call, session, seen, planned)
        call.channel.send(planned)
        answer = _gate(call, planned, session) if call.request.gate else "proceed"
        if answer == "proceed":
            done = _apply(call, session, done.run)
            if call.removes:
                _erase(call, planned, done)
    if answer == "stop":
        return _result(call, "stopped", planned, state_digest=planned.parts.state)
    if answer == "look":
        return _verified(call, planned, call.state(), {}, applied=False)
    try:
        state = call.state()
        state_digest = call.digest_of(state)
    except CallFailed as failed:  # all was made, though nobody can read now what it is
        raise replace(failed, changed=True, summary=done.events.changes) from failed
    outputs, secret_outputs = outputs_of(state)
    call.channel.send(
        Applied(
            outputs=outputs,
            secret_outputs=secret_outputs,
            state_digest=state_digest,
            summary=done.events.changes,
        )
    )
    with suppress(CallFailed):  # the next apply does it
        call.backend.trim()
    canceled = done.failure is not None and done.failure.code is Code.CANCELED
    return _verified(call, planned, state, done.events.changes, applied=True, canceled=canceled)


def look(call: Call) -> Result:
    """Verify what exists and change nothing. Raises ``CallFailed`` when there is no stack.

    Where nothing is to exist, a stack that does not is as it should be.
    """
    state = call.state()
    if state is None and not call.removes:
        raise CallFailed(
            Code.BACKEND, "The stack does not exist in the backend, so it cannot be verified."
        )
    _refuse_unfit(call, state)
    found = verify(call, state)
    return Result(
        outcome="looked",
        state_digest=found.state_digest,
        look=found,
        seconds=call.seconds,
    )


def _verified(
    call: Call,
    planned: Planned,
    state: State | None,
    summary: Mapping[str, int],
    *,
    applied: bool,
    canceled: bool = False,
) -> Result:
    """Return the end of a call that applied its plan, or had none to apply, after the checks.

    What was applied stays applied when the verification is canceled.
    """
    found: Look | None = None
    state_digest = call.digest_of(state)
    changed = applied and not plans.is_empty(planned.operations, planned.outputs)
    if call.request.verify and not canceled:
        try:
            found = verify(call, state, planned=None if applied else planned)
        except CallFailed as failed:
            if failed.code is not Code.CANCELED:
                raise replace(
                    failed, changed=changed, summary=dict(summary), state_digest=state_digest
                ) from failed
            canceled = True
    return _result(
        call,
        "canceled" if canceled else "applied" if applied else "looked",
        planned,
        state_digest=state_digest,
        look=found,
        summary=dict(summary),
        changed=changed,
    )


def _result(call: Call, outcome: Outcome, planned: Planned, **more: Any) -> Result:
    return Result(
        **{
            "outcome": outcome,
            "summary": _counts(planned),
            "seconds": call.seconds,
            **more,
        }
    )


def _prepared(call: Call) -> State | None:
    """Return the stack's state, None when there is no stack, and start what the engine needs.

    Meanwhile another thread imports the program.
    """
    call.check_version()
    call.keeping()
    state = call.state()
    _refuse_unfit(call, state)
    if call.removes and (kept := guarded(state)):
        raise protected_failure(kept)
    call.warm_provider(state)
    call.start_host()
    return state


def _refuse_unfit(call: Call, state: State | None) -> None:
    """Raise ``CallFailed`` for a stack that is held by somebody or has interrupted operations.

    The engine itself minds neither: a preview takes no lock, and an ``up`` makes a second thing
    where a create was interrupted.
    """
    locks = call.backend.locks()
    if locks:
        raise locked_failure([lock.model_dump(include=HOLDER) for lock in locks])
    pending = pending_of(state)
    if pending:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "The stack has interrupted operations that must be resolved first: "
            + ", ".join(name_of(p.urn) for p in pending),
            data={"resources": [p.model_dump() for p in pending]},
        )


def _previewed(done: Done, state: State | None) -> plans.Preview:
    """Return what was said in a preview over ``state``. Raises its failure."""
    if done.failure is not None:
        raise done.failure
    if done.events.summary is None:
        raise CallFailed(Code.ENGINE, "The engine succeeded, but sent no plan.")
    return plans.Preview(steps=done.events.started, run=done.run, state=state)


def _planned(call: Call, seen: plans.Preview) -> Planned:
    """Return what a preview would do."""
    request = call.request
    hide = call.hider.hide
    operations, resources = plans.operations_of(seen), plans.resources_of(seen)
    if call.removes:
        operations, resources = _with_erasures(call, operations, resources)
    outputs = plans.output_changes(seen, call.sealer.decrypt)
    known_versions = versions(VERSION, request.cloud.provider)
    parts = PlannedParts(
        operations=plans.operations_digest(operations, resources, outputs, seen.run, hide),
        state=call.digest_of(seen.state),
        program=(program_digest_of_nothing if call.removes else program_digest)(
            str(request.program)
        ),
        versions=digest(known_versions),
    )
    return Planned(
        digest=digest(parts.model_dump()),
        parts=parts,
        versions=known_versions,
        operations=operations,
        resources=resources,
        outputs=outputs,
    )


def _with_erasures(
    call: Call, operations: Sequence[PlannedOperation], resources: Sequence[PlannedResource]
) -> tuple[tuple[PlannedOperation, ...], tuple[PlannedResource, ...]]:
    from stacks.engine.erasing import planned_erasures, resource_of  # noqa: PLC0415 - of a removal

    erased = planned_erasures(call)
    every = sorted((*operations, *erased), key=lambda o: (o.urn, o.op))
    judged = sorted((*resources, *map(resource_of, erased)), key=lambda r: (r.urn, r.operation))
    return tuple(every), tuple(judged)


def _compared(call: Call, session: Session, seen: plans.Preview, planned: Planned) -> Planned:
    """Return a plan with what the cloud has otherwise. Raises ``CallFailed``."""
    from stacks.engine.comparing import differences  # noqa: PLC0415 - not for a first build

    found = differences(call, seen, plans.operations_of(seen))
    if session.has_ended:  # what told its end may have been read meanwhile
        raise session.lost()
    return planned.model_copy(update={"differences": found})


def _gate(call: Call, planned: Planned, session: Session) -> Literal["proceed", "look", "stop"]:
    """Wait for the answer to ``planned``. Raises ``CallFailed``."""
    with call.phase("gate"):
        end = time.monotonic() + call.request.deadlines.gate_seconds
        while True:
            entry = call.inbox.get(end - time.monotonic())
            match entry:
                case None:
                    raise CallFailed(
                        Code.DEADLINE,
                        "Timed out waiting for the decision on the plan; nothing was applied.",
                        data={"phase": "gate"},
                    )
                case ("proceed" | "look", quoted) if quoted != planned.digest:
                    raise CallFailed(
                        Code.BAD_REQUEST,
                        "The decision quotes another digest than the plan's; nothing was applied.",
                        data={"quoted": str(quoted), "planned": planned.digest},
                    )
                case ("proceed", _):
                    return "proceed"
                case ("look", _):
                    return "look"
                case ("stop",):
                    return "stop"
                case ("cancel",):
                    raise CallFailed(
                        Code.CANCELED,
                        "The call was canceled before the decision on its plan; nothing was "
                        "applied.",
                        data={"phase": "gate"},
                    )  # fmt: skip
                case ("parent_gone",):
                    raise CallFailed(
                        Code.PARENT_GONE, "The parent process ended; nothing was applied.",
                        data={"phase": "gate"},
                    )  # fmt: skip
                case _ if session.is_exit(entry):
                    raise session.lost()
                case _:
                    continue  # an end of a process that was told before


def _apply(call: Call, session: Session, planned: ProgramRun) -> Done:
    with call.phase("apply"):
        done = session.apply(seconds=call.request.deadlines.apply_seconds)
    if done.failure is None or (_ended_well(done) and done.failure.code in _TOO_LATE):
        return done
    failure = touched(call, done)
    if failure.code is Code.ENGINE and not done.events.failed and not done.events.has_errors:
        # An output that differs from the plan: the engine fails and says nothing (3.259.0).
        outputs = plans.unplanned_outputs(planned.outputs, done.run.outputs)
        if outputs:
            raise replace(
                plan_violated([f"the output {name} differs" for name in outputs], (), outputs),
                changed=failure.changed,
                summary=failure.summary,
                state_digest=failure.state_digest,
            )
    raise failure


def _erase(call: Call, planned: Planned, done: Done) -> None:
    """Erase what is in no state. Raises ``CallFailed``; the resources are gone by then."""
    from stacks.engine.erasing import erase  # noqa: PLC0415 - of a removal

    try:
        erase(call, planned.operations)
    except CallFailed as failed:
        with suppress(CallFailed):
            failed.state_digest = call.digest_of(call.state())
        raise replace(failed, changed=True, summary=done.events.changes) from failed


def _ended_well(done: Done) -> bool:
    return done.ended is not None and done.ended.code == 0


def touched(call: Call, done: Done) -> CallFailed:
    """Return the failure of a command that may have changed the cloud, with what it left."""
    failure = done.failure
    if failure is None:
        raise TypeError("only a failed command has a failure")
    # An engine that began no step of these kinds, because of a lock or of the plan, called nothing.
    # One that died or was killed may have begun a step without telling it.
    began = any(str(m.get("op")) not in _HARMLESS for m in done.events.started)
    was_killed = done.ended is not None and done.ended.code < 0
    failure.changed = began or failure.code in _DIED or was_killed
    failure.summary = done.events.changes
    with suppress(CallFailed):  # what cannot be read now does not hide why the command failed
        failure.state_digest = call.digest_of(call.state())
    return failure


def _counts(planned: Planned) -> dict[str, int]:
    counts: dict[str, int] = {}
    for operation in planned.operations:
        counts[operation.op] = counts.get(operation.op, 0) + 1
    return counts


def _rest(call: Call, started: float) -> float:
    return max(call.request.deadlines.plan_seconds - (time.monotonic() - started), 0.0)
