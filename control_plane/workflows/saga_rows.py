"""Rows of sagas and of their steps: whose they are, which step comes next, how one ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from control_plane.domain.audit import Stage
from control_plane.domain.saga import Saga, SagaStep, StepOutcome, step_id
from control_plane.domain.sagas import SAGAS
from control_plane.domain.sagas.step import Step
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.holding import Owner
from control_plane.workflows.recording import record
from control_plane.workflows.saga_steps import last_of


def owner_of_saga(uow: UnitOfWork, saga: Saga, *, lock: bool = False) -> Owner:
    """Return the tenant or Hub of a saga."""
    if saga.tenant_id is not None:
        return uow.tenants.need(saga.tenant_id, lock=lock)
    return uow.hubs.need(saga.hub_id, lock=lock)


def targets_of(saga: Saga) -> tuple[tuple[str, str], ...]:
    """Return what an event about a saga is about."""
    kind, owner = ("tenant", saga.tenant_id) if saga.tenant_id else ("hub", saga.hub_id)
    return ((kind, owner or ""), ("saga", saga.id))


def show_saga(act: Act, owner: Owner, saga_id: str | None) -> None:
    """Let an owner's row, which is locked, name the saga that is open."""
    now = act.now()
    shown = replace(owner, saga_id=saga_id, updated_at=now, version=owner.version + 1)
    if isinstance(shown, Tenant):
        act.uow.tenants.save(shown)
    else:
        act.uow.hubs.save(shown)


def steps_of(uow: UnitOfWork, saga: Saga) -> list[SagaStep]:
    """Return every attempt of a step of a saga, oldest first."""
    return uow.saga_steps.find(saga_id=saga.id)


def open_step(uow: UnitOfWork, saga: Saga) -> SagaStep | None:
    """Return the attempt that has not ended, if there is one."""
    return next(iter(uow.saga_steps.find(saga_id=saga.id, ended_at=None)), None)


def begin_step(act: Act, saga: Saga) -> SagaStep | None:
    """Store that a step begins; a run that a person retried stays its run. None: none is left."""
    earlier = steps_of(act.uow, saga)
    name = _step_to_undo(saga, earlier) if saga.is_undoing else saga.step
    if name is None:
        return None
    step = SagaStep(
        id=step_id(saga.id, len(earlier) + 1),
        saga_id=saga.id,
        number=len(earlier) + 1,
        name=name,
        is_undo=saga.is_undoing,
        run_id=_repeated(act.uow, name, earlier),
        started_at=act.now(),
    )
    act.uow.saga_steps.add(step)
    return step


def _repeated(uow: UnitOfWork, name: str, earlier: Sequence[SagaStep]) -> str | None:
    """Return the run by which a person repeated the one that a step failed with, if there is."""
    last = earlier[-1] if earlier else None
    if last is None or (last.name, last.outcome) != (name, StepOutcome.FAILED) or not last.run_id:
        return None
    repeated = last_of(uow, last.run_id)
    return repeated if repeated != last.run_id else None


def _step_to_undo(saga: Saga, steps: Sequence[SagaStep]) -> str | None:
    """Return the name of the step that is taken back next."""
    spec = SAGAS[saga.kind]
    done = [each.name for each in steps if not each.is_undo and _did(spec.step(each.name), each)]
    undone = {
        each.name
        for each in steps
        if each.is_undo and each.outcome in {StepOutcome.DONE, StepOutcome.SKIPPED}
    }
    left = [name for name in done if spec.step(name).undo is not None and name not in undone]
    return left[-1] if left else None


def _did(declared: Step, attempt: SagaStep) -> bool:
    """Tell whether an attempt may have done something that its step takes back."""
    begun = {StepOutcome.DONE, StepOutcome.FAILED, StepOutcome.WITHDRAWN}
    return attempt.outcome in (begun if declared.undo_if_begun else {StepOutcome.DONE})


def end_step(
    act: Act,
    saga: Saga,
    step: SagaStep,
    outcome: StepOutcome,
    *,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """Store how an attempt of a step ended, and record it."""
    step = step.changed(ended_at=act.now(), outcome=outcome, result=result or {}, error=error)
    act.uow.saga_steps.save(step)
    record(
        act, "saga.step_ended",
        tree=saga.tenant_id, targets=targets_of(saga), run=step.run_id,
        stage=Stage.FAILED if outcome is StepOutcome.FAILED else Stage.COMPLETED,
        kind=str(saga.kind), step=step.name, number=step.number, is_undo=step.is_undo,
        outcome=str(outcome), code=str(error["code"]) if error is not None else None,
    )  # fmt: skip
