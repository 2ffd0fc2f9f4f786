"""Steps of a journey that the product works on: tried, recorded, put off, failed, or done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.journey import (
    Journey,
    JourneyStatus,
    JourneyStep,
    StepStatus,
    begins_again,
    way_back,
)
from control_plane.domain.playbook import Playbook, Step, StepKind
from control_plane.domain.task import TaskStatus
from control_plane.domain.tenant import Tenant
from control_plane.logging import get_logger
from control_plane.workflows.core import Act, Core
from control_plane.workflows.gates import LOOK
from control_plane.workflows.journey_attempts import Attempt, Way, begin_attempt, in_rows
from control_plane.workflows.journey_rows import (
    cause_of,
    error_of,
    given,
    save_step,
    steps_of,
)
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionHandler,
    ActionOutcome,
    ActOutside,
    Asks,
    Did,
    DidFail,
    Given,
    NotNeeded,
    StillWaits,
)
from control_plane.workflows.tasks import end_task, open_task

log = get_logger()
HELD: Final = "a hold stands: nothing is done outside until it is released"
_LONGEST_PAUSE: Final = timedelta(hours=1)
_PERSON_FOR_MACHINE: Final = "ops"  # who is asked where the product itself is the owner
_Outside = Callable[[Core, Given], ActionOutcome]


def handler_of(core: Core, declared: Step) -> ActionHandler | None:
    """Return what does a step of the product: its action, or the checks of a gate."""
    return LOOK if declared.kind is StepKind.GATE else core.actions.get(declared.action or "")


def next_attempt(
    act: Act,
    journey: Journey,
    playbook: Playbook,
    tenant: Tenant,
    steps: Mapping[str, JourneyStep],
    asked: Collection[tuple[str, int]],
) -> Attempt | None:
    """Take up the next step that is worked on and was not asked in this turn."""
    now = act.now()
    for declared in playbook.steps:
        step = steps[declared.key]
        if step.status is not StepStatus.WORKING or (step.key, step.round) in asked:
            continue
        if step.error is not None and step.wakes_at is not None and step.wakes_at > now:
            continue
        handler = handler_of(act.core, declared)
        if isinstance(handler, ActOutside) and tenant.hold:
            if step.reason != HELD:
                act.uow.journey_steps.save(step.changed(now, reason=HELD))
            continue
        return _take_up(act, journey, playbook, step, handler)
    return None


def _take_up(
    act: Act,
    journey: Journey,
    playbook: Playbook,
    step: JourneyStep,
    handler: ActionHandler | None,
) -> Attempt:
    declared = playbook.by_key[step.key]
    if handler is None:
        error = error_of(
            "action_unavailable", f"this release cannot do {declared.action}",
            "Do it by hand and say that it is done, or skip the step with a reason.",
        )  # fmt: skip
        fail_step(act, journey, declared, step, error)
        return Attempt(way=FORWARD, step=step)
    spent = _spent(declared, step, act.now())
    if spent is not None:
        fail_step(act, journey, declared, step, spent)
        return Attempt(way=FORWARD, step=step)
    found = given(act, step, playbook=playbook)
    if isinstance(handler, ActInRows):
        take_outcome(act, journey, playbook, step, in_rows(act, handler, found, FORWARD))
        return Attempt(way=FORWARD, step=step)
    tried = begin_attempt(act, step, declared.action)
    return Attempt(
        way=FORWARD, step=tried, outside=handler.do, given=given(act, tried, playbook=playbook)
    )


def _spent(declared: Step, step: JourneyStep, now: datetime) -> dict[str, Any] | None:
    """Return why a step is not tried any more, or None."""
    retries = declared.retries
    if declared.kind is StepKind.GATE:
        return None
    if step.failures >= retries.attempts:
        return dict(step.error) if step.error else error_of(
            "attempts_used_up", f"{step.failures} attempts in a row brought no answer",
            "Look at the worker's log, then retry the step, or skip it with a reason.",
        )  # fmt: skip
    if step.started_at is not None and now > step.started_at + timedelta(
        hours=retries.within_hours
    ):
        waited = step.reason or (step.error or {}).get("message") or "nothing"
        return error_of(
            "waited_too_long", f"it waited {retries.within_hours} hours for {waited}",
            "Remove what it waits for, then retry the step, or skip it with a reason.",
        )  # fmt: skip
    return None


# --- outcomes ----------------------------------------------------------------------------------
def take_outcome(
    act: Act, journey: Journey, playbook: Playbook, step: JourneyStep, outcome: ActionOutcome
) -> None:
    """Record what became of a step of the product."""
    now, declared = act.now(), playbook.by_key[step.key]
    match outcome:
        case Did():
            ended = outcome.result.get("outcome")
            done = step.moved(
                StepStatus.DONE, now,
                result={**step.result, **outcome.result},
                outcome=ended if ended in declared.outcomes else None,
            )  # fmt: skip
            end_step(act, playbook, step, done, why="the step is done")
        case NotNeeded():
            skipped = step.moved(StepStatus.SKIPPED, now, reason=outcome.why)
            end_step(act, playbook, step, skipped, why=outcome.why)
        case StillWaits():
            _wait(act, step, outcome)
        case Asks():
            result = {**step.result, **outcome.result}
            asked = step.moved(StepStatus.ASKED, now, reason=outcome.title, result=result)
            save_step(act, step, asked)
            open_step_task(
                act, journey, declared, asked,
                title=outcome.title, instructions=outcome.instructions, owner=outcome.owner,
            )  # fmt: skip
        case DidFail():
            fail_step(act, journey, declared, step, outcome.error)


def _wait(act: Act, step: JourneyStep, waits: StillWaits) -> None:
    """Keep what a step waits for; the row is left alone where that is known already."""
    waiting = {
        "reason": waits.says, "wakes_at": waits.until, "error": None, "tried_at": None,
        "failures": 0, "result": {**step.result, **waits.result},
    }  # fmt: skip
    if any(getattr(step, name) != value for name, value in waiting.items()):
        act.uow.journey_steps.save(step.changed(act.now(), **waiting))


def end_step(
    act: Act, playbook: Playbook, before: JourneyStep, ended: JourneyStep, *, why: str
) -> None:
    """Store that a step has ended, close its tasks, and take its way back if it has one."""
    save_step(act, before, ended)
    close_tasks_of(act, ended, why=why)
    again = way_back(playbook, ended) if ended.status is StepStatus.DONE else None
    if again is None:
        return
    journey = act.uow.journeys.need(ended.journey_id)
    steps = steps_of(act.uow, journey)
    for key in begins_again(playbook, again):
        step = steps[key]
        close_tasks_of(act, step, why=f"{ended.key} ended as {ended.outcome}: it begins again")
        save_step(act, step, step.begun_again(act.now()))


def fail_step(
    act: Act, journey: Journey, declared: Step, step: JourneyStep, error: Mapping[str, Any]
) -> None:
    """Let a step have failed: a person retries it, skips it, or says that it is done."""
    failed = save_step(act, step, step.moved(StepStatus.FAILED, act.now(), error=dict(error)))
    open_step_task(
        act, journey, declared, failed,
        title=f"{declared.title}: it failed",
        instructions=(
            f"{error['message']}. {error['remedy']} Then `tenantctl journey retry {journey.id} "
            f"{step.key}`, or `skip` or `done` with a reason."
        ),
        suffix=".failed",
    )  # fmt: skip


def open_step_task(
    act: Act,
    journey: Journey,
    declared: Step,
    step: JourneyStep,
    *,
    title: str | None = None,
    instructions: str | None = None,
    owner: str | None = None,
    suffix: str = "",
) -> None:
    """Open the task of a step that a person has to do something about."""
    cause = cause_of(journey, step)
    wanted = owner or declared.owner
    open_task(
        act,
        owner=_PERSON_FOR_MACHINE if wanted == "automation" else wanted,
        title=title or declared.title,
        instructions=instructions or declared.instructions or declared.title,
        about=("step", step.id),
        tenant_id=journey.tenant_id,
        cause=cause,
        due_at=step.due_at,
        dedupe_key=f"{cause.key}{suffix}",
    )


def close_tasks_of(act: Act, step: JourneyStep, *, why: str) -> None:
    """Close every open task about a step, and about the checks of a gate."""
    for about_kind in ("step", "check"):
        for task in act.uow.tasks.find(
            about_kind=about_kind, about_id=step.id, status=TaskStatus.OPEN
        ):
            locked = act.uow.tasks.need(task.id, lock=True)
            if locked.status is TaskStatus.OPEN:
                end_task(act, locked, TaskStatus.CANCELED, answer={"why": why})


def _awaits(journey: Journey, step: JourneyStep) -> bool:
    return journey.status is JourneyStatus.OPEN and step.status is StepStatus.WORKING


FORWARD: Final = Way(
    awaits=_awaits, begun=lambda _, step: step.started_at, take=take_outcome, fail=fail_step
)
