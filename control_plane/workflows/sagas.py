"""The mover of sagas: takes one step after the other, and back again when it is withdrawn.

One turn is one phase of the durable queue. A timer enqueues the next one: set when a run of the
owner ends, when a person decided, when a time has come, and while a turn is under way, so that one
that got lost is taken again. A saga is locked before runs, deployments and owners are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import Conflict, DomainError, EngineFailed
from control_plane.domain.run import TERMINAL_RUN, RunStatus
from control_plane.domain.saga import (
    Saga,
    SagaKind,
    SagaStatus,
    SagaStep,
    StepOutcome,
)
from control_plane.domain.sagas import SAGAS
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import TimerKind
from control_plane.logging import get_logger
from control_plane.ports.rows import QueuePlace, UnitOfWork
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Act, Core
from control_plane.workflows.ending import cancel
from control_plane.workflows.holding import Owner
from control_plane.workflows.moving import as_json, locked_run
from control_plane.workflows.recording import record
from control_plane.workflows.saga_handlers import HANDLERS
from control_plane.workflows.saga_rows import (
    begin_step,
    end_step,
    open_step,
    owner_of_saga,
    show_saga,
    steps_of,
    targets_of,
)
from control_plane.workflows.saga_steps import (
    Ended,
    Failed,
    InRows,
    Outcome,
    Outside,
    Waits,
    last_of,
)

log = get_logger()
PHASE: Final = "advance_saga"
_ROWS_SECONDS: Final = 120.0  # that a step in rows waits for the database
_STEPS: Final = 60  # of one turn; more would be a loop
_WATCH_AFTER: Final = timedelta(seconds=30)
_PAUSE: Final = timedelta(seconds=30)  # after an outage


# --- beginning ---------------------------------------------------------------------------------
def start_saga(
    act: Act, owner: Owner, kind: SagaKind, *, reason: str, data: Mapping[str, Any]
) -> Saga:
    """Store a saga of an owner that is locked, and enqueue its first turn.

    Raises ``Conflict`` with the constraint ``uq_saga_one_is_open_…`` when the owner has one.
    """
    now, actor = act.now(), act.caller.actor
    saga = Saga(
        id=act.new_id("saga"),
        tenant_id=owner.id if isinstance(owner, Tenant) else None,
        hub_id=None if isinstance(owner, Tenant) else owner.id,
        kind=kind,
        status=SagaStatus.WORKING,
        step=SAGAS[kind].steps[0].name,
        reason=reason,
        requested_by=actor.id,
        requesters=actor.subjects,
        data=data,
        started_at=now,
        updated_at=now,
    )
    act.uow.sagas.add(saga)
    show_saga(act, owner, saga.id)
    record(
        act, "saga.started",
        tree=saga.tenant_id, targets=targets_of(saga), personal={"reason": reason},
        kind=str(kind), steps=[step.name for step in SAGAS[kind].steps],
    )  # fmt: skip
    _enqueue(act, saga)
    return saga


def wake(act: Act, saga: Saga) -> Saga:
    """Let a saga that is locked be taken up: it waited, or a person removed what it stuck on."""
    saga = saga.moved(SagaStatus.WORKING, act.now(), turn=saga.turn + 1)
    act.uow.sagas.save(saga)
    _enqueue(act, saga)
    return saga


def withdraw(act: Act, saga: Saga) -> Saga:
    """Let a saga that is locked take back what was done; the caller asked whether it may.

    A run that has not ended is canceled first, and what it applied all the same is taken back too.
    """
    saga = saga.changed(act.now(), is_undoing=True)
    act.uow.sagas.save(saga)
    step = open_step(act.uow, saga)
    if step is not None and step.run_id is not None:
        run, deployment = locked_run(act.uow, last_of(act.uow, step.run_id))
        is_open = run.status not in TERMINAL_RUN and run.status is not RunStatus.VERIFYING
        if is_open and not run.cancel_requested:
            cancel(act, run, deployment)
    if saga.status is SagaStatus.WORKING:
        return saga  # its worker finds it so
    return wake(act, saga)


def _enqueue(act: Act, saga: Saga) -> None:
    act.uow.queue.enqueue(
        PHASE, saga.id,
        partition=saga.id, owner=saga.tenant_id or PLATFORM, attempt=saga.turn,
    )  # fmt: skip
    act.uow.timers.set(TimerKind.SAGA_TURN, saga.id, act.now() + _WATCH_AFTER)


def turn_when_due(act: Act, saga_id: str) -> None:
    """Let a saga resume: something happened, a time has come, or a turn was lost."""
    saga = act.uow.sagas.get(saga_id, lock=True)
    if saga is None or not saga.is_open:
        return
    match saga.status:
        case SagaStatus.WAITING:
            wake(act, saga)
        case SagaStatus.STUCK:
            if _was_repeated(act.uow, saga):
                wake(act, saga)
        case _:
            place = act.uow.queue.place(PHASE, saga.id, attempt=saga.turn)
            if place is None:
                saga = saga.changed(act.now(), turn=saga.turn + 1)
                act.uow.sagas.save(saga)
                _enqueue(act, saga)
            else:
                pause = _WATCH_AFTER if place is QueuePlace.WAITING else _WATCH_AFTER / 10
                act.uow.timers.set(TimerKind.SAGA_TURN, saga.id, act.now() + pause)


def _was_repeated(uow: UnitOfWork, saga: Saga) -> bool:
    """Tell whether a person has retried the run that the saga stuck on."""
    steps = steps_of(uow, saga)
    run_id = steps[-1].run_id if steps else None
    return run_id is not None and last_of(uow, run_id) != run_id


# --- the phase ---------------------------------------------------------------------------------
def advance_saga(core: Core, saga_id: str) -> None:
    """Phase: take a saga as far as it goes; does nothing for one that waits or has ended."""
    for _ in range(_STEPS):
        found = patiently(lambda: _in_rows(core, saga_id), seconds=_ROWS_SECONDS)
        if found is None:
            return
        saga, step, work = found
        if work is None:
            continue
        try:
            outcome = work.do(core, saga, step)
        except DomainError as error:
            deaths = _deaths(saga) + 1 if isinstance(error, EngineFailed) and error.is_death else 0
            if error.transient or 0 < deaths < core.limits.deaths:
                _put_off(core, saga_id, error, deaths)
                return
            outcome = Failed(error=as_json(error))
        _keep(core, saga_id, step.id, outcome)
    raise RuntimeError(f"{saga_id} does not come to a wait or an end")


def _in_rows(core: Core, saga_id: str) -> tuple[Saga, SagaStep, Outside | None] | None:
    """Take one step in rows, in one transaction; or begin one that is taken outside of it.

    Returns None where the turn ends.
    """
    try:
        with core.act() as act:
            saga = act.uow.sagas.get(saga_id, lock=True)
            if saga is None or saga.status is not SagaStatus.WORKING:
                return None
            step = open_step(act.uow, saga) or begin_step(act, saga)
            if step is None:
                _end(act, saga)
                act.uow.commit()
                return None
            work = _work(saga, step)
            if isinstance(work, InRows):
                _take(act, saga, step, work.do(act, saga, step))
            act.uow.commit()
            return saga, step, work if isinstance(work, Outside) else None
    except Conflict:
        raise
    except DomainError as error:
        if error.transient:
            raise
        _fail(core, saga_id, error)
        return None


def _fail(core: Core, saga_id: str, error: DomainError) -> None:
    """Record that the step in rows was refused; its transaction was rolled back."""
    with core.act() as act:
        saga = act.uow.sagas.need(saga_id, lock=True)
        step = open_step(act.uow, saga) or begin_step(act, saga)
        if step is not None:
            _take(act, saga, step, Failed(error=as_json(error)))
        act.uow.commit()


def _work(saga: Saga, step: SagaStep) -> InRows | Outside:
    if saga.is_undoing and not step.is_undo:
        return InRows(_wait_for_its_end)
    handler = HANDLERS[saga.kind][step.name]
    if not step.is_undo:
        return handler.do
    if handler.undo is None:
        raise LookupError(f"nothing takes {step.name} back")
    return handler.undo


def _wait_for_its_end(act: Act, _: Saga, step: SagaStep) -> Outcome:
    """A step that had not ended when its saga was withdrawn: what it did all the same counts."""
    if step.run_id is None:
        return Ended(result={"withdrawn": True})
    run = act.uow.runs.need(last_of(act.uow, step.run_id), lock=True)
    if run.status not in TERMINAL_RUN:
        return Waits(says=f"{run.id} to end; it is {run.status}", run_id=run.id)
    is_done = run.status in {RunStatus.APPLIED, RunStatus.NO_CHANGES}
    return Ended(result={"run": run.id, "status": str(run.status), "withdrawn": not is_done})


def _keep(core: Core, saga_id: str, step_id_: str, outcome: Outcome) -> None:
    """Record how a step outside ended, unless another turn has recorded it."""

    def once() -> None:
        with core.act() as act:
            saga = act.uow.sagas.need(saga_id, lock=True)
            step = act.uow.saga_steps.need(step_id_)
            if saga.status is not SagaStatus.WORKING or step.ended_at is not None:
                return
            _take(act, saga, step, outcome)
            act.uow.commit()

    patiently(once)


def _deaths(saga: Saga) -> int:
    """Return how often in a row a process died with the step that is taken now."""
    return int(((saga.error or {}).get("data") or {}).get("deaths", 0))


def _put_off(core: Core, saga_id: str, error: DomainError, deaths: int) -> None:
    """Let a step that met an outage, or whose process died, be taken again."""
    log.warning("saga.put_off", saga=saga_id, code=error.code)
    shown = as_json(error)
    if deaths:
        shown["data"] |= {"deaths": deaths}

    def once() -> None:
        with core.act() as act:
            saga = act.uow.sagas.need(saga_id, lock=True)
            act.uow.sagas.save(saga.changed(act.now(), error=shown))
            act.uow.timers.set(TimerKind.SAGA_TURN, saga_id, act.now() + _PAUSE)
            act.uow.commit()

    patiently(once)


# --- steps -------------------------------------------------------------------------------------
def _take(act: Act, saga: Saga, step: SagaStep, outcome: Outcome) -> None:
    """Record what became of a step, and go to the next one or wait."""
    now = act.now()
    if saga.is_undoing and not step.is_undo:
        outcome = _withdrawn(outcome)
    match outcome:
        case Waits():
            if outcome.run_id not in {None, step.run_id}:
                act.uow.saga_steps.save(step.changed(run_id=outcome.run_id))
            _wait(act, saga, outcome)
        case Failed():
            end_step(act, saga, step, StepOutcome.FAILED, error=outcome.error)
            act.uow.timers.cancel(TimerKind.SAGA_TURN, saga.id)
            act.uow.sagas.save(
                saga.moved(SagaStatus.STUCK, now, step=step.name, error=outcome.error)
            )
        case Ended():
            ended, result = StepOutcome.DONE, dict(outcome.result)
            if outcome.skipped:
                ended, result = StepOutcome.SKIPPED, {"why": outcome.skipped, **result}
            elif result.pop("withdrawn", False):
                ended = StepOutcome.WITHDRAWN
            end_step(act, saga, step, ended, result=result)
            _go_on(act, replace(saga, data={**saga.data, **outcome.data}), step)


def _withdrawn(outcome: Outcome) -> Outcome:
    """Return what a step comes to that was under way when its saga was withdrawn."""
    waits_for_run = isinstance(outcome, Waits) and outcome.run_id is not None
    if isinstance(outcome, Ended) or waits_for_run:
        return outcome
    return Ended(result={"withdrawn": True})


def _wait(act: Act, saga: Saga, waits: Waits) -> None:
    act.uow.sagas.save(
        saga.moved(
            SagaStatus.WAITING, act.now(),
            waits_for=waits.says, due_at=waits.until, data={**saga.data, **waits.data},
        )
    )  # fmt: skip
    if waits.until is not None:
        act.uow.timers.set(TimerKind.SAGA_TURN, saga.id, waits.until)
    else:
        act.uow.timers.cancel(TimerKind.SAGA_TURN, saga.id)


def _go_on(act: Act, saga: Saga, step: SagaStep) -> None:
    """Go to the step that comes after one that has ended, or end the saga."""
    if saga.is_undoing:
        act.uow.sagas.save(saga.changed(act.now(), step=step.name, error=None))
        return
    after = SAGAS[saga.kind].after(step.name)
    if after is None:
        _end(act, saga)
    else:
        act.uow.sagas.save(saga.changed(act.now(), step=after.name, error=None))


def _end(act: Act, saga: Saga) -> None:
    status = SagaStatus.UNDONE if saga.is_undoing else SagaStatus.DONE
    act.uow.sagas.save(saga.moved(status, act.now()))
    act.uow.timers.cancel(TimerKind.SAGA_TURN, saga.id)
    show_saga(act, owner_of_saga(act.uow, saga, lock=True), None)
    record(
        act, "saga.ended",
        tree=saga.tenant_id, targets=targets_of(saga), kind=str(saga.kind), status=str(status),
    )  # fmt: skip
