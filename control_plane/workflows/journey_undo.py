"""Canceling a journey: what is open ends, and what was done is taken back, newest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from control_plane.domain.audit import Stage
from control_plane.domain.errors import DomainError
from control_plane.domain.journey import ENDED, Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.playbook import Playbook, Step
from control_plane.workflows.core import Act, Core
from control_plane.workflows.journey_rows import (
    error_of,
    given,
    playbook_of,
    save_step,
    steps_of,
    targets_of,
    wake_journey,
)
from control_plane.workflows.journey_steps import (
    HELD,
    Attempt,
    Refused,
    begin_attempt,
    close_tasks_of,
    in_rows,
    is_same_attempt,
    open_step_task,
    tried_again_at,
)
from control_plane.workflows.moving import as_json
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
    own = partial(Attempt, keep=_keep, put_off=_put_off)
    handler = act.core.actions.get(declared.undo or "")
    if handler is None:
        error = error_of(
            "action_unavailable", f"this release cannot do {declared.undo}", "Do it by hand."
        )
        _leave_to_people(act, journey, declared, step, error)
        return own(step=step)
    if isinstance(handler, ActInRows):
        found = given(act, step, playbook=playbook)
        try:
            outcome = in_rows(act, handler, found)
        except Refused as refused:
            raise Refused(step, refused.error, _keep_refusal) from refused
        _take(act, journey, declared, step, outcome)
        return own(step=step)
    if step.failures >= declared.retries.attempts:  # the process died with it, again and again
        error = error_of("attempts_used_up", "no attempt brought an answer", "Do it by hand.")
        _leave_to_people(act, journey, declared, step, error)
        return own(step=step)
    tried = begin_attempt(act, step, declared.undo)
    return own(step=tried, outside=handler.do, given=given(act, tried, playbook=playbook))


def _keep_refusal(core: Core, refused: Refused) -> None:
    with core.act() as act:
        journey = act.uow.journeys.need(refused.step.journey_id, lock=True)
        step = act.uow.journey_steps.need(refused.step.id, lock=True)
        if step.undone_at is None:
            declared = playbook_of(core, act.uow, journey).by_key[step.key]
            _leave_to_people(act, journey, declared, step, dict(refused.error))
            act.uow.commit()


def _keep(core: Core, attempt: Attempt, outcome: ActionOutcome) -> None:
    with core.act() as act:
        journey = act.uow.journeys.need(attempt.step.journey_id, lock=True)
        step = act.uow.journey_steps.get(attempt.step.id, lock=True)
        if step is None or not is_same_attempt(step, attempt):
            return
        declared = playbook_of(core, act.uow, journey).by_key[step.key]
        _take(act, journey, declared, step, outcome)
        act.uow.commit()


def _put_off(core: Core, attempt: Attempt, error: DomainError) -> None:
    with core.act() as act:
        journey = act.uow.journeys.need(attempt.step.journey_id, lock=True)
        step = act.uow.journey_steps.get(attempt.step.id, lock=True)
        if step is None or not is_same_attempt(step, attempt):
            return
        declared = playbook_of(core, act.uow, journey).by_key[step.key]
        # its time counts from the cancellation, not from when it was done
        begun = replace(step, started_at=journey.updated_at)
        again = tried_again_at(declared, begun, error, act.now())
        if again is None:
            _leave_to_people(act, journey, declared, step, as_json(error))
        else:
            act.uow.journey_steps.save(
                step.changed(act.now(), error=as_json(error), wakes_at=again, tried_at=None)
            )
        act.uow.commit()


def _take(
    act: Act, journey: Journey, declared: Step, step: JourneyStep, outcome: ActionOutcome
) -> None:
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
            _leave_to_people(act, journey, declared, step, dict(outcome.error))
        case _:
            error = error_of("undo_by_hand", outcome.title, outcome.instructions)
            _leave_to_people(act, journey, declared, step, error)


def _leave_to_people(
    act: Act, journey: Journey, declared: Step, step: JourneyStep, error: dict[str, Any]
) -> None:
    """Let a person take back what the product cannot; the journey does not wait for that."""
    _end(act, declared, step, error=error)
    open_step_task(
        act, journey, declared, step,
        title=f"Take back by hand: {declared.title}",
        instructions=f"{error['message']}. {error['remedy']}",
        suffix=".undo",
    )  # fmt: skip


def _end(act: Act, declared: Step, step: JourneyStep, *, error: dict[str, Any] | None) -> None:
    now = act.now()
    act.uow.journey_steps.save(
        step.changed(now, undone_at=now, tried_at=None, wakes_at=None, error=error)
    )
    record(
        act, "journey.step_undone",
        tree=step.tenant_id, targets=targets_of(step),
        stage=Stage.FAILED if error else Stage.COMPLETED,
        step=step.key, round=step.round, does=declared.undo,
        code=str(error["code"]) if error else None,
    )  # fmt: skip
