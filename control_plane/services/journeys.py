"""Journeys: how far a tenant is, and what people do about a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.cause import Cause
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.domain.journey import ENDED, Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.playbook import Playbook, Step
from control_plane.domain.task import Task, TaskStatus, roles_of
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import READ_TENANTS, listed, require_role, visible
from control_plane.services.tenants import get_tenant
from control_plane.workflows import journey_undo
from control_plane.workflows.core import Act
from control_plane.workflows.journey_rows import (
    cause_of,
    playbook_of,
    save_step,
    steps_of,
    targets_of,
    wake_journey,
)
from control_plane.workflows.journey_steps import close_tasks_of, end_step
from control_plane.workflows.journey_times import day_number
from control_plane.workflows.recording import record, refused_as

READERS: Final = tuple(READ_TENANTS)
STEERERS: Final = (Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)
CANCELERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
_S = StepStatus
_RETRIED: Final = frozenset({_S.FAILED, _S.ASKED})
_DONE_BY_PEOPLE: Final = frozenset({_S.FAILED, _S.ASKED})


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """A step with what the playbook says of it, its open tasks, and whether it is late."""

    step: JourneyStep
    declared: Step
    cause: Cause
    tasks: Sequence[Task]
    is_late: bool

    @property
    def waits_on(self) -> str | None:
        """Who has to do something before it continues, where that is known."""
        if self.step.status in {_S.ASKED, _S.FAILED}:
            return next((task.owner for task in self.tasks), self.step.owner)
        if self.step.status is _S.WORKING:
            found = self.step.result.get("waits_on")
            return str(found) if found else next((task.owner for task in self.tasks), None)
        return None


@dataclass(frozen=True, kw_only=True)
class JourneyProgress:
    """A journey with its steps in the playbook's order; ``day`` is that of the customer."""

    journey: Journey
    tenant: Tenant
    playbook: Playbook
    steps: Sequence[StepProgress]
    day: int

    @property
    def is_late(self) -> bool:
        """Whether some step is due and did not end."""
        return any(each.is_late and each.step.status not in ENDED for each in self.steps)

    @property
    def next_action(self) -> str:
        """What happens next, or what somebody has to do, in one sentence."""
        status = self.journey.status
        if status is JourneyStatus.CANCELING:
            return "What was done is taken back."
        if status is not JourneyStatus.OPEN:
            return "Nothing: it has ended."
        for wanted in (_S.FAILED, _S.ASKED, _S.WORKING):
            for each in self.steps:
                if each.step.status is wanted:
                    return _next_of(each)
        return "It waits for the time of its next step."


def _next_of(found: StepProgress) -> str:
    step = found.step
    match step.status:
        case _S.FAILED:
            return f"{step.key} failed: remove the cause, then retry it, or skip it with a reason."
        case _S.ASKED:
            return f"{step.key} waits for {found.waits_on}: see its task."
        case _:
            reason = step.reason or (step.error or {}).get("message")
            return f"{step.key} waits for {reason}." if reason else f"A worker takes {step.key}."


def allowed_actions(found: StepProgress, actor: Actor, journey: Journey) -> list[str]:
    """Return what somebody may ask of a step now."""
    if journey.status is not JourneyStatus.OPEN or not actor.has(*roles_of(found.step.owner)):
        return []
    status = found.step.status
    possible = {
        "retry": status in _RETRIED and not found.declared.is_of_people,
        "skip": status not in ENDED,
        "done": status in _DONE_BY_PEOPLE,
    }
    return [action for action, is_possible in possible.items() if is_possible]


# --- reading -----------------------------------------------------------------------------------
def tenant_journey(act: Act, key: str) -> JourneyProgress:
    """Return the newest journey of a tenant. Raises ``NotFound`` when it has none."""
    tenant = get_tenant(act, key)
    found = act.uow.journeys.find(tenant_id=tenant.id)
    if not found:
        raise NotFound("no playbook in force fitted when the contract of this tenant was accepted")
    return _progress(act, found[-1])


def get_journey(act: Act, journey_id: str) -> JourneyProgress:
    """Return a journey with its steps. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="journeys.read")
    return _progress(act, visible(act, act.uow.journeys.get(journey_id), wanted="journeys.read"))


def list_journeys(
    act: Act,
    *,
    limit: int,
    before: str | None,
    status: JourneyStatus | None = None,
    late: bool = False,
) -> list[Journey]:
    """Return the journeys of the caller's tenants, newest first.

    With ``late`` those with a step that is due and did not end.
    """
    require_role(act, *READERS, wanted="journeys.read")
    equals = listed(act, status=status)
    if not late:
        return act.uow.journeys.page(limit=limit, before=before, **equals)
    if status not in {None, JourneyStatus.OPEN}:
        return []  # the steps of all others have ended
    tenants = equals.get("tenant_id")
    found = act.uow.late.journeys(act.now(), limit=limit, before=before, tenants=tenants)
    return list(reversed(act.uow.journeys.find(id=tuple(found))))


def journeys_of_tenant(act: Act, key: str) -> list[Journey]:
    """Return all journeys of a tenant, newest first. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    return list(reversed(act.uow.journeys.find(tenant_id=tenant.id)))


def _progress(act: Act, journey: Journey) -> JourneyProgress:
    tenant = act.uow.tenants.need(journey.tenant_id)
    playbook = playbook_of(act.core, act.uow, journey)
    steps, now = steps_of(act.uow, journey), act.now()
    tasks = act.uow.tasks.find(
        about_id=tuple(step.id for step in steps.values()), status=TaskStatus.OPEN
    )
    return JourneyProgress(
        journey=journey,
        tenant=tenant,
        playbook=playbook,
        steps=[
            _step(journey, steps[declared.key], declared, tasks, now)
            for declared in playbook.steps
        ],
        day=day_number(act.core, tenant, journey, now),
    )  # fmt: skip


def _step(
    journey: Journey, step: JourneyStep, declared: Step, tasks: Sequence[Task], now: datetime
) -> StepProgress:
    until = step.ended_at or now
    return StepProgress(
        step=step,
        declared=declared,
        cause=cause_of(journey, step),
        tasks=[task for task in tasks if task.about_id == step.id],
        is_late=step.due_at is not None and step.due_at < until and step.status is not _S.SKIPPED,
    )


# --- what people do ----------------------------------------------------------------------------
Change = Callable[[Act, Playbook, JourneyStep], None]


def retry_step(act: Act, journey_id: str, key: str) -> JourneyProgress:
    """Let a step that failed, or that asked a person, be taken again with a new budget."""

    def change(act: Act, playbook: Playbook, step: JourneyStep) -> None:
        if step.status not in _RETRIED or playbook.by_key[step.key].is_of_people:
            raise _not_so(step, "it did not fail")
        now = act.now()
        again = step.moved(StepStatus.WORKING, now, started_at=now)
        save_step(act, step, again)
        close_tasks_of(act, step, why="it is tried again")

    return _changed(act, journey_id, key, "retry", change)


def skip_step(act: Act, journey_id: str, key: str, *, reason: str) -> JourneyProgress:
    """Leave a step out; what needs it continues. Raises ``InvalidInput`` without a reason."""

    def change(act: Act, playbook: Playbook, step: JourneyStep) -> None:
        if step.status in ENDED:
            raise _not_so(step, "it has ended")
        said = _said(reason)
        end_step(
            act, playbook, step, step.moved(StepStatus.SKIPPED, act.now(), reason=said), why=said
        )

    return _changed(act, journey_id, key, "skip", change, reason=reason)


def finish_step(
    act: Act,
    journey_id: str,
    key: str,
    *,
    reason: str,
    outcome: str | None = None,
    task: Task | None = None,
) -> JourneyProgress:
    """Say that a step is done, which waited for a person or failed.

    Raises ``InvalidInput`` for an outcome that the step does not have, or without one where it
    has some.
    """

    def change(act: Act, playbook: Playbook, step: JourneyStep) -> None:
        if step.status not in _DONE_BY_PEOPLE:
            raise _not_so(step, "it does not wait for a person")
        outcomes = playbook.by_key[step.key].outcomes
        if (outcomes and outcome not in outcomes) or (outcome is not None and not outcomes):
            known = ", ".join(outcomes) or "none"
            raise InvalidInput(f"its outcomes are: {known}", field="outcome")
        answer = {"said": _said(reason), "by": act.caller.actor.id}
        done = step.moved(
            StepStatus.DONE, act.now(), outcome=outcome, result={**step.result, "answer": answer}
        )
        end_step(act, playbook, step, done, why="the step is done")

    return _changed(act, journey_id, key, "done", change, reason=reason, outcome=outcome, task=task)


def cancel_journey(act: Act, journey_id: str, *, reason: str) -> JourneyProgress:
    """Let a journey go no further, and take back what it did."""
    require_role(act, *CANCELERS, wanted="journeys.cancel")
    journey = visible(act, act.uow.journeys.get(journey_id), wanted="journeys.cancel")
    with refused_as(
        act, "journey.refused",
        tree=journey.tenant_id, targets=targets_of(journey), wanted="cancel",
    ):  # fmt: skip
        journey = act.uow.journeys.need(journey_id, lock=True)
        said = _said(reason)
        if journey.status is not JourneyStatus.OPEN:
            raise IllegalTransition(f"it is {journey.status}", present_status=str(journey.status))
        return _progress(act, journey_undo.cancel_journey(act, journey, reason=said))


def _changed(
    act: Act,
    journey_id: str,
    key: str,
    wanted: str,
    change: Change,
    *,
    reason: str | None = None,
    outcome: str | None = None,
    task: Task | None = None,
) -> JourneyProgress:
    """Change a step of an open journey, record who did it, and let the journey continue."""
    require_role(act, *STEERERS, wanted=f"journeys.{wanted}")
    journey = visible(act, act.uow.journeys.get(journey_id), wanted=f"journeys.{wanted}")
    step = steps_of(act.uow, journey).get(key)
    if step is None:
        raise NotFound("the journey has no such step")
    owner = task.owner if task is not None else step.owner
    require_role(act, *roles_of(owner), wanted=f"journeys.{wanted}", tree=journey.tenant_id)
    with refused_as(
        act, "journey.refused",
        tree=journey.tenant_id, targets=targets_of(journey), wanted=wanted, step=key,
    ):  # fmt: skip
        journey = act.uow.journeys.need(journey_id, lock=True)
        if journey.status is not JourneyStatus.OPEN:
            raise IllegalTransition(
                f"the journey is {journey.status}", present_status=str(journey.status)
            )
        step = act.uow.journey_steps.need(step.id, lock=True)
        change(act, playbook_of(act.core, act.uow, journey), step)
        personal: Mapping[str, Any] = {"reason": reason.strip()} if reason else {}
        record(
            act, "journey.step_decided",
            tree=journey.tenant_id, targets=targets_of(journey), personal=personal,
            step=key, round=step.round, decision=wanted, outcome=outcome,
        )  # fmt: skip
        wake_journey(act, journey.id)
        return _progress(act, journey)


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
    return reason.strip()


def _not_so(step: JourneyStep, why: str) -> IllegalTransition:
    return IllegalTransition(f"{step.key} is {step.status}: {why}", present_status=str(step.status))
