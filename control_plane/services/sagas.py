"""Looking at what takes several steps, retrying a step that failed, and withdrawing all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.saga import Saga, SagaKind, SagaStatus, SagaStep, StepOutcome
from control_plane.domain.sagas import SAGAS
from control_plane.domain.sagas.step import Step
from control_plane.domain.tenant import Tenant, WaitingOn
from control_plane.ports.rows import UnitOfWork
from control_plane.services.permission import READ_TENANTS, require_role, visible
from control_plane.workflows import sagas
from control_plane.workflows.core import Act
from control_plane.workflows.holding import Owner
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.saga_rows import steps_of, targets_of
from control_plane.workflows.saga_steps import last_of

STEERERS: Final = tuple(sorted({role for spec in SAGAS.values() for role in spec.steered_by}))
READERS: Final = tuple(READ_TENANTS | {Role.PLATFORM_AUDITOR})
_OPERATIONS_ACT: Final = frozenset({RunStatus.AWAITING_APPROVAL, RunStatus.BLOCKED})


@dataclass(frozen=True, kw_only=True)
class SagaProgress:
    """A saga with every attempt of its steps. ``is_final``: it is not withdrawn any more.

    ``run`` is what its step waits for, as it is now: the words of the saga are older.
    """

    saga: Saga
    steps: Sequence[SagaStep]
    is_final: bool
    run: Run | None = None

    @property
    def position(self) -> int:
        """Which step is taken now, the first one being 1."""
        return SAGAS[self.saga.kind].position(self.saga.step)

    @property
    def declared(self) -> Sequence[Step]:
        """The steps that such a saga takes."""
        return SAGAS[self.saga.kind].steps

    @property
    def waits_on(self) -> WaitingOn | None:
        """Who has to do something before it continues, where that is known."""
        if self.saga.status is not SagaStatus.WAITING:
            return None
        if self.run is not None and self.run.status in _OPERATIONS_ACT:
            return WaitingOn.OPS
        if self.saga.is_undoing:
            return None
        return SAGAS[self.saga.kind].step(self.saga.step).waits_on

    @property
    def waits_for(self) -> str | None:
        """What it waits for, in words."""
        run = self.run
        if run is None:
            return self.saga.waits_for
        if run.status is RunStatus.AWAITING_APPROVAL:
            return f"a decision on the plan of {run.id}: `tenantctl run show` names the approval"
        return f"{run.id} to end; it is {str(run.status).replace('_', ' ')}"

    @property
    def attempts(self) -> Mapping[str, SagaStep]:
        """The last attempt of each step that began, forwards."""
        return {each.name: each for each in self.steps if not each.is_undo}


def newest_of(uow: UnitOfWork, owner: Owner, kind: SagaKind) -> Saga | None:
    """Return the newest saga of a kind that an owner has or had."""
    named = {"tenant_id" if isinstance(owner, Tenant) else "hub_id": owner.id}
    found = uow.sagas.find(kind=kind, **named)
    return found[-1] if found else None


def progress_of(uow: UnitOfWork, saga: Saga | None) -> SagaProgress:
    """Return a saga with its steps. Raises ``NotFound`` when there is none."""
    if saga is None:
        raise NotFound("there is none")
    steps = steps_of(uow, saga)
    return SagaProgress(
        saga=saga,
        steps=steps,
        is_final=_is_final(uow, saga, steps),
        run=_awaited(uow, steps) if saga.status is SagaStatus.WAITING else None,
    )


def _awaited(uow: UnitOfWork, steps: Sequence[SagaStep]) -> Run | None:
    """Return the run that the step which is taken now waits for."""
    taken = next((each for each in reversed(steps) if each.outcome is None), None)
    if taken is None or taken.run_id is None:
        return None
    run = uow.runs.need(last_of(uow, taken.run_id))
    return None if run.status in TERMINAL_RUN else run


def _is_final(uow: UnitOfWork, saga: Saga, steps: Sequence[SagaStep]) -> bool:
    spec = SAGAS[saga.kind]
    return any(
        each.outcome is StepOutcome.DONE or (each.outcome is None and _applies(uow, each))
        for each in steps
        if not each.is_undo and spec.step(each.name).is_final
    )


def _applies(uow: UnitOfWork, step: SagaStep) -> bool:
    """Tell whether the run of a step has begun to apply: from then on things are gone."""
    if step.run_id is None:
        return False
    run = uow.runs.need(last_of(uow, step.run_id))
    return run.started_at is not None


def allowed_actions(progress: SagaProgress, actor: Actor) -> list[str]:
    """Return what somebody may ask of a saga now."""
    saga = progress.saga
    if not saga.is_open or not actor.has(*SAGAS[saga.kind].steered_by):
        return []
    possible = {
        "retry": saga.status is SagaStatus.STUCK,
        "withdraw": not saga.is_undoing and not progress.is_final,
    }
    return [action for action, is_possible in possible.items() if is_possible]


def may_steer(act: Act, saga_id: str, wanted: str) -> Saga:
    """Return a saga that the caller may steer. Raises ``NotFound``, ``NotAllowed``."""
    require_role(act, *STEERERS, wanted=f"sagas.{wanted}")
    saga = visible(act, act.uow.sagas.get(saga_id), wanted=f"sagas.{wanted}")
    steered_by = SAGAS[saga.kind].steered_by
    require_role(act, *steered_by, wanted=f"sagas.{wanted}", tree=saga.tenant_id)
    return saga


def next_action(progress: SagaProgress) -> str:
    """Return what happens next, or what somebody has to do, in one sentence."""
    saga = progress.saga
    match saga.status:
        case SagaStatus.WORKING:
            return f"A worker takes the step {saga.step}."
        case SagaStatus.WAITING:
            who = progress.waits_on
            words = f"It waits for {progress.waits_for}."
            return f"{words} Waiting on: {who}." if who is not None else words
        case SagaStatus.STUCK:
            return "Remove the cause that the error names, then retry, or withdraw it."
        case _:
            return "Nothing: it has ended."


def get_saga(act: Act, saga_id: str) -> SagaProgress:
    """Return a saga with its steps. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="sagas.read")
    saga = visible(act, act.uow.sagas.get(saga_id), wanted="sagas.read")
    return progress_of(act.uow, saga)


def retry_step(act: Act, saga_id: str) -> SagaProgress:
    """Let the step that failed be taken again. Raises ``IllegalTransition`` unless one did.

    Who retries stands behind it from then on, and so approves none of its plans, as for a run.
    """
    saga = may_steer(act, saga_id, "retry")
    with refused_as(
        act, "saga.refused",
        tree=saga.tenant_id, targets=targets_of(saga), kind=str(saga.kind), wanted="retry",
    ):  # fmt: skip
        saga = act.uow.sagas.need(saga_id, lock=True)
        if saga.status is not SagaStatus.STUCK:
            raise IllegalTransition(
                f"no step of it failed: it is {saga.status}", present_status=str(saga.status)
            )
        record(
            act, "saga.retried",
            tree=saga.tenant_id, targets=targets_of(saga),
            kind=str(saga.kind), step=saga.step,
        )  # fmt: skip
        return progress_of(act.uow, sagas.wake(act, _joined(act, saga)))


def withdraw_saga(act: Act, saga_id: str, *, reason: str) -> SagaProgress:
    """Carry a saga no further: its run is canceled, and what was done is taken back.

    Who withdraws it approves none of the plans that take something back.
    Raises ``InvalidInput`` without a reason, ``IllegalTransition`` for one that has ended, is
    withdrawn already, or has come too far.
    """
    saga = may_steer(act, saga_id, "withdraw")
    with refused_as(
        act, "saga.refused",
        tree=saga.tenant_id, targets=targets_of(saga), kind=str(saga.kind),
        wanted="withdraw",
    ):  # fmt: skip
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        saga = act.uow.sagas.need(saga_id, lock=True)
        progress = progress_of(act.uow, saga)
        if not saga.is_open or saga.is_undoing:
            word = "is being withdrawn" if saga.is_open else f"is {saga.status}"
            raise IllegalTransition(f"it {word}", present_status=str(saga.status))
        if progress.is_final:
            raise IllegalTransition(
                "it has come too far to be withdrawn; it can only be completed",
                present_status=str(saga.status),
            )
        record(
            act, "saga.withdrawn",
            tree=saga.tenant_id, targets=targets_of(saga),
            personal={"reason": reason.strip()}, kind=str(saga.kind), step=saga.step,
        )  # fmt: skip
        return progress_of(act.uow, sagas.withdraw(act, _joined(act, saga)))


def _joined(act: Act, saga: Saga) -> Saga:
    """Let the caller be one of those who stand behind a saga."""
    joined = saga.joined(act.caller.actor.subjects, act.now())
    act.uow.sagas.save(joined)
    return joined
