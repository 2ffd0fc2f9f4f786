"""Canceling a journey: what is open ends, and what was done is taken back, newest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.audit import Stage
from control_plane.domain.journey import ENDED, Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.playbook import Playbook, Step
from control_plane.workflows.core import Act
from control_plane.workflows.journey_attempts import Attempt, Way, begin_attempt, in_rows
from control_plane.workflows.journey_rows import (
    error_of,
    given,
    save_step,
    steps_of,
    targets_of,
    wake_journey,
)
from control_plane.workflows.journey_steps import HELD, close_tasks_of, open_step_task
from control_plane.workflows.recording import record
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionOutcome,
    Did,
    DidFail,
    NotNeeded,
    StillWaits,
)

_ASKED_AGAIN: Final = timedelta(minutes=1)


def cancel_journey(act: Act, journey: Journey, *, reason: str) -> Journey:
    """Let a journey that is locked be canceled: nothing of it begins any more.

    What has an undo is taken back by the turns that follow.
    """
    now = act.now()
    for step in steps_of(act.uow, journey).values():
        if step.status not in ENDED:
            save_step(act, step, step.moved(StepStatus.CANCELED, now, reason=reason))
        close_tasks_of(act, step, why=reason)
    canceling = journey.moved(JourneyStatus.CANCELING, now, reason=reason)
    act.uow.journeys.save(canceling)
    record(
        act, "journey.canceled",
        tree=journey.tenant_id, targets=targets_of(journey), personal={"reason": reason},
    )  # fmt: skip
    wake_journey(act, journey.id)
    return canceling


def next_undo(
    act: Act, journey: Journey, playbook: Playbook, asked: Collection[tuple[str, int]]
) -> Attempt | None:
    """Take up the step that is taken back next; ends the journey where none is left.

    They are taken back one after the other, so that one which has to wait holds the others up.
    """
    steps = steps_of(act.uow, journey)
    left = [steps[each.key] for each in playbook.steps if _needs_undo(each, steps[each.key])]
    if not left:
        act.uow.journeys.save(journey.moved(JourneyStatus.CANCELED, act.now()))
        record(
            act, "journey.ended",
            tree=journey.tenant_id, targets=targets_of(journey),
            status=str(JourneyStatus.CANCELED),
        )  # fmt: skip
        return None
    step = max(reversed(left), key=_begun)
    is_early = step.wakes_at is not None and step.wakes_at > act.now()
    if (step.key, step.round) in asked or is_early:
        return None
    if act.uow.tenants.need(journey.tenant_id).hold:
        if step.reason != HELD:
            act.uow.journey_steps.save(step.changed(act.now(), reason=HELD))
        return None
    return _take_up(act, journey, playbook, step)


def _needs_undo(declared: Step, step: JourneyStep) -> bool:
    """Tell whether a step did something, or may have, that is not taken back yet."""
    acted = step.status is StepStatus.DONE or (
        step.status is StepStatus.CANCELED and step.attempts > 0
    )
    return declared.undo is not None and acted and step.undone_at is None


def _begun(step: JourneyStep) -> datetime:
    return step.started_at or step.updated_at


def _take_up(act: Act, journey: Journey, playbook: Playbook, step: JourneyStep) -> Attempt:
    declared = playbook.by_key[step.key]
    handler = act.core.actions.get(declared.undo or "")
    if handler is None:
        error = error_of(
            "action_unavailable", f"this release cannot do {declared.undo}", "Do it by hand."
        )
        _leave_to_people(act, journey, declared, step, error)
        return Attempt(way=BACK, step=step)
    if isinstance(handler, ActInRows):
        found = given(act, step, playbook=playbook)
        _take(act, journey, playbook, step, in_rows(act, handler, found, BACK))
        return Attempt(way=BACK, step=step)
    if step.failures >= declared.retries.attempts:  # the process died with it, again and again
        error = error_of("attempts_used_up", "no attempt brought an answer", "Do it by hand.")
        _leave_to_people(act, journey, declared, step, error)
        return Attempt(way=BACK, step=step)
    tried = begin_attempt(act, step, declared.undo)
    return Attempt(
        way=BACK, step=tried, outside=handler.do, given=given(act, tried, playbook=playbook)
    )


def _take(
    act: Act, journey: Journey, playbook: Playbook, step: JourneyStep, outcome: ActionOutcome
) -> None:
    declared = playbook.by_key[step.key]
    match outcome:
        case Did() | NotNeeded():
            _end(act, declared, step, error=None)
        case StillWaits():
            again = outcome.until or act.now() + _ASKED_AGAIN
            act.uow.journey_steps.save(
                step.changed(
                    act.now(), wakes_at=again, tried_at=None, failures=0, reason=outcome.says
                )
            )
        case DidFail():
            _leave_to_people(act, journey, declared, step, outcome.error)
        case _:
            error = error_of("undo_by_hand", outcome.title, outcome.instructions)
            _leave_to_people(act, journey, declared, step, error)


def _leave_to_people(
    act: Act, journey: Journey, declared: Step, step: JourneyStep, error: Mapping[str, Any]
) -> None:
    """Let a person take back what the product cannot; the journey does not wait for that."""
    _end(act, declared, step, error=error)
    open_step_task(
        act, journey, declared, step,
        title=f"Take back by hand: {declared.title}",
        instructions=f"{error['message']}. {error['remedy']}",
        suffix=".undo",
    )  # fmt: skip


def _end(act: Act, declared: Step, step: JourneyStep, *, error: Mapping[str, Any] | None) -> None:
    now = act.now()
    act.uow.journey_steps.save(
        step.changed(
            now, undone_at=now, tried_at=None, wakes_at=None, error=dict(error) if error else None
        )
    )
    record(
        act, "journey.step_undone",
        tree=step.tenant_id, targets=targets_of(step),
        stage=Stage.FAILED if error else Stage.COMPLETED,
        step=step.key, round=step.round, does=declared.undo,
        code=str(error["code"]) if error else None,
    )  # fmt: skip


# its time counts from the cancellation, not from when it was done
BACK: Final = Way(
    awaits=lambda _, step: step.undone_at is None,
    begun=lambda journey, _: journey.updated_at,
    take=_take,
    fail=_leave_to_people,
)
