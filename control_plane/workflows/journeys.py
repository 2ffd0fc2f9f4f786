"""The mover of journeys: takes each step that may begin, and continues when something happened.

One turn is one phase of the durable queue; the turns of a journey follow one another. A step in
rows is taken in the transaction that records it. One outside has its attempt recorded before and
after; what is not recorded afterwards is tried again, under the same key. A journey is locked
before its tasks, and those before sagas, runs, deployments and owners.

To wake a journey the timer of its id is set, which no turn touches; what a turn waits for is
a timer of its own, so that no news is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from control_plane.domain.journey import (
    MOVING,
    Instant,
    Journey,
    JourneyStatus,
    JourneyStep,
    StepStatus,
    has_ended,
    moves,
)
from control_plane.domain.playbook import Anchor, Playbook, Time
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import QueuePlace
from control_plane.workflows.calling import patiently
from control_plane.workflows.core import Act, Core
from control_plane.workflows.journey_attempts import Attempt, Refused, keep_refusal, try_outside
from control_plane.workflows.journey_rows import (
    facts_of,
    playbook_of,
    save_step,
    steps_of,
    targets_of,
)
from control_plane.workflows.journey_steps import close_tasks_of, next_attempt, open_step_task
from control_plane.workflows.journey_times import instant_of
from control_plane.workflows.journey_undo import cancel_journey, next_undo
from control_plane.workflows.outside import chat_of
from control_plane.workflows.recording import record

PHASE: Final = "advance_journey"
_NEXT: Final = ".next"  # the timer of what a turn waits for
_ROWS_SECONDS: Final = 120.0  # that a turn waits for the database
_STEPS: Final = 400  # of one turn; more would be a loop
_WATCH_AFTER: Final = timedelta(seconds=30)
_LOOK_AGAIN: Final = timedelta(seconds=5)  # when the turn that is under way may have missed news
REMOVED: Final = "the tenant was removed"


# --- the turns ---------------------------------------------------------------------------------
def enqueue_turn(act: Act, journey: Journey) -> None:
    """Let a worker take the journey's present turn, in the caller's transaction."""
    act.uow.queue.enqueue(
        PHASE, journey.id,
        partition=journey.id, owner=journey.tenant_id, attempt=journey.turn,
    )  # fmt: skip
    _wait_until(act, journey, act.now() + _WATCH_AFTER)


def _wait_until(act: Act, journey: Journey, instant: datetime | None) -> None:
    subject = f"{journey.id}{_NEXT}"
    if instant is None:
        act.uow.timers.cancel(TimerKind.JOURNEY_TURN, subject)
    else:
        act.uow.timers.set(TimerKind.JOURNEY_TURN, subject, instant)


def turn_of_journey(act: Act, subject: str) -> None:
    """Let a journey look: something happened, a time has come, or a turn was lost."""
    journey = act.uow.journeys.get(subject.removesuffix(_NEXT), lock=True)
    if journey is None:
        return
    if journey.status is JourneyStatus.DONE:
        if act.uow.tenants.need(journey.tenant_id).removed_at is None:
            return
        journey = cancel_journey(act, journey, reason=REMOVED)
    if journey.status not in MOVING:
        return
    match act.uow.queue.place(PHASE, journey.id, attempt=journey.turn):
        case QueuePlace.TAKEN:
            act.uow.timers.set(TimerKind.JOURNEY_TURN, subject, act.now() + _LOOK_AGAIN)
        case QueuePlace.WAITING:
            _wait_until(act, journey, act.now() + _WATCH_AFTER)
        case None:
            journey = journey.changed(act.now(), turn=journey.turn + 1)
            act.uow.journeys.save(journey)
            enqueue_turn(act, journey)


@dataclass
class _Turn:
    """One turn of a journey; each step that waits is asked once in it."""

    core: Core
    journey_id: str
    asked: set[tuple[str, int]] = field(default_factory=set)


def advance_journey(core: Core, journey_id: str) -> None:
    """Phase: take a journey as far as it goes; does nothing for one that has ended."""
    turn = _Turn(core, journey_id)
    for _ in range(_STEPS):
        try:
            work = patiently(partial(_in_rows, turn), seconds=_ROWS_SECONDS)
        except Refused as refused:
            patiently(partial(keep_refusal, core, refused))
            continue
        if work is None:
            return
        work()
    raise RuntimeError(f"{journey_id} does not come to a wait or an end")


Work = Callable[[], None]  # what is done without a transaction


def _nothing() -> None:
    """What happened, happened in rows."""


def _in_rows(turn: _Turn) -> Work | None:
    """Take what can be taken in one transaction; returns what is done outside of it next.

    Returns None where the turn ends. Raises ``Refused`` when a step in rows was refused.
    """
    with turn.core.act() as act:
        journey = act.uow.journeys.get(turn.journey_id, lock=True)
        if journey is None or journey.status not in MOVING:
            return None
        tenant = act.uow.tenants.need(journey.tenant_id)
        if tenant.removed_at is not None and journey.status is JourneyStatus.OPEN:
            journey = cancel_journey(act, journey, reason=REMOVED)
        playbook = playbook_of(turn.core, act.uow, journey)
        if journey.status is JourneyStatus.CANCELING:
            attempt = next_undo(act, journey, playbook, turn.asked)
            work = _of(turn, attempt) if attempt is not None else None
        else:
            work = _forward(act, turn, journey, playbook, tenant)
        if work is None:
            _rest(act, act.uow.journeys.need(journey.id))
        act.uow.commit()
        return work


def _of(turn: _Turn, attempt: Attempt) -> Work:
    turn.asked.add((attempt.step.key, attempt.step.round))
    return _nothing if attempt.outside is None else partial(try_outside, turn.core, attempt)


def _forward(
    act: Act, turn: _Turn, journey: Journey, playbook: Playbook, tenant: Tenant
) -> Work | None:
    now, steps = act.now(), steps_of(act.uow, journey)
    if tenant.status is TenantStatus.READY and str(Anchor.READY) not in journey.anchors:
        anchors = {**journey.anchors, str(Anchor.READY): now}
        journey = journey.changed(now, anchors=anchors)
        act.uow.journeys.save(journey)
    instant = instant_of(turn.core, tenant, journey, steps)
    steps = {
        key: _with_due(act, step, playbook.by_key[key].due, instant)
        for key, step in steps.items()
    }  # fmt: skip
    contract = act.uow.contracts.need(journey.contract_ref)
    facts = facts_of(tenant, contract.subscription, chat_of(turn.core, tenant, contract))
    found = moves(playbook, steps, facts, instant=instant, now=now, begun=journey.started_at)
    for each in found:
        step = steps[each.key]
        moved = step.moved(each.status, now, reason=each.reason, wakes_at=each.at)
        save_step(act, step, moved)
        if each.status is StepStatus.ASKED:
            open_step_task(act, journey, playbook.by_key[each.key], moved)
        elif step.status in {StepStatus.ASKED, StepStatus.FAILED}:
            close_tasks_of(act, moved, why=each.reason or str(each.status))
    if found:
        return _nothing
    attempt = next_attempt(act, journey, playbook, tenant, steps, turn.asked)
    if attempt is not None:
        return _of(turn, attempt)
    if has_ended(steps):
        act.uow.journeys.save(journey.moved(JourneyStatus.DONE, now))
        record(
            act, "journey.ended",
            tree=tenant.id, targets=targets_of(journey), status=str(JourneyStatus.DONE),
        )  # fmt: skip
    return None


def _with_due(act: Act, step: JourneyStep, due: Time | None, instant: Instant) -> JourneyStep:
    """Return a step with the instant at which it is due, kept once that is known."""
    at = instant(due) if due is not None and step.due_at is None else None
    if at is None:
        return step
    changed = step.changed(act.now(), due_at=at)
    act.uow.journey_steps.save(changed)
    return changed


def _rest(act: Act, journey: Journey) -> None:
    """Let the next turn come when the first time of a step has come; news bring it earlier."""
    steps = steps_of(act.uow, journey).values() if journey.status in MOVING else ()
    times = [
        step.wakes_at
        for step in steps
        if step.wakes_at is not None and (
            step.status in {StepStatus.SCHEDULED, StepStatus.WORKING}
            or journey.status is JourneyStatus.CANCELING
        )
    ]  # fmt: skip
    _wait_until(act, journey, min(times, default=None))
