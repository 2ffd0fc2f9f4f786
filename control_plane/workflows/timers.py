"""What each kind of timer does when it falls due.

A timer is claimed in a transaction of its own and done in the next, so that no lock is held in
between; done twice it does nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from control_plane.domain.errors import DomainError
from control_plane.domain.next_step import ACTIVE, StepKind, next_step
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.domain.timers import Timer, TimerKind
from control_plane.logging import get_logger
from control_plane.ports.rows import QueuePlace
from control_plane.workflows.bundle import expire_bundle, fail_stale_build
from control_plane.workflows.core import Act, Core
from control_plane.workflows.deliveries import RETENTION, forget_contents, turn_of_delivery
from control_plane.workflows.drift import look_when_due
from control_plane.workflows.ending import end_run
from control_plane.workflows.facts import Findings, facts_of
from control_plane.workflows.holding import CHECKED_AGAIN, clocks_stand_still, owner_of
from control_plane.workflows.journeys import turn_of_journey
from control_plane.workflows.links import RETENTION as VISITS
from control_plane.workflows.links import expire_when_due, forget_visits
from control_plane.workflows.moving import (
    PHASE,
    enqueue,
    locked_run,
    record_resumed,
    unblock,
    watch,
)
from control_plane.workflows.outbox import RETENTION as MESSAGES
from control_plane.workflows.outbox import forget_messages, turn_of_message
from control_plane.workflows.publishing import RETENTION as EVENT_RETENTION
from control_plane.workflows.publishing import forget_events
from control_plane.workflows.reconciling import look_when_due as look_at_sources_when_due
from control_plane.workflows.sagas import turn_when_due
from control_plane.workflows.waiving import end_waiver

log = get_logger()
_LEASE: Final = timedelta(seconds=60)  # a claimed timer whose worker dies falls due again then
_AT_ONCE: Final = 20
_ROWS_AT_ONCE: Final = 1000
_TURN_AGAIN: Final = timedelta(seconds=10)
_QUEUE_ROWS_LIVE: Final = timedelta(days=7)
_PERSONAL: Final = "personal"  # what people wrote into rows of removed tenants
_RETENTION_EVERY: Final[Mapping[str, timedelta]] = {
    "idempotency": timedelta(minutes=10),
    "queue": timedelta(hours=1),
    RETENTION: timedelta(hours=1),
    EVENT_RETENTION: timedelta(hours=1),
    MESSAGES: timedelta(hours=1),
    VISITS: timedelta(hours=1),
    _PERSONAL: timedelta(hours=1),
}


def fire_due(core: Core) -> int:
    """Do the timers that are due; returns how many were claimed."""
    now = core.clock.now()
    with core.act() as act:
        claimed = act.uow.timers.claim(now, until=now + _LEASE, limit=_AT_ONCE)
        act.uow.commit()
    for timer in claimed:
        try:
            _fire(core, timer)
        except DomainError as error:  # it falls due again after the lease
            log.warning("timer.put_off", kind=str(timer.kind), code=error.code)
    return len(claimed)


def _fire(core: Core, timer: Timer) -> None:
    with core.act() as act:
        _HANDLERS[timer.kind](act, timer.subject)
        act.uow.timers.finish(timer)
        act.uow.commit()


def _run_turn(act: Act, run_id: str) -> None:
    run, _ = locked_run(act.uow, run_id)
    if run.status is RunStatus.BLOCKED:
        unblock(act, run, action=None)
        return
    if run.status not in ACTIVE:
        return
    match _place(act, run):
        case QueuePlace.TAKEN:  # the phase that asked for this turn has not ended yet
            act.uow.timers.set(TimerKind.RUN_TURN, run.id, act.now() + _TURN_AGAIN)
        case None:
            enqueue(act, run)


def _run_watch(act: Act, run_id: str) -> None:
    """A run that works, and is not in the queue, fell out of it: its phase ended with a fault.

    One that waits there again is left to its next claim, which sets this timer again.
    """
    run, _ = locked_run(act.uow, run_id)
    if run.status not in ACTIVE:
        return
    match _place(act, run):
        case QueuePlace.TAKEN:
            watch(act.uow.timers, PHASE, run.id, act.now())
        case None:
            deaths = run.deaths + 1 if run.is_working else run.deaths
            run = enqueue(act, run, deaths=deaths)
            record_resumed(act, run)


def _place(act: Act, run: Run) -> QueuePlace | None:
    """Return where the run's present turn is; one that waits is watched when it is taken up."""
    return act.uow.queue.place(PHASE, run.id, attempt=run.turn)


def _approval_expiry(act: Act, approval_id: str) -> None:
    approval = act.uow.approvals.get(approval_id)
    if approval is None:
        return
    run, deployment = locked_run(act.uow, approval.run_id)
    step = next_step(facts_of(act, run, deployment, Findings()))
    if step.kind is StepKind.END and step.end is RunStatus.EXPIRED:
        end_run(act, run, deployment, RunStatus.EXPIRED, Findings())


def _retention(act: Act, subject: str) -> None:
    now = act.now()
    every = _RETENTION_EVERY.get(subject)
    if every is None:
        return  # of an earlier release
    if subject == "idempotency":
        gone = act.uow.queries.forget_answers(now, limit=_ROWS_AT_ONCE)
    elif subject == RETENTION:
        gone = forget_contents(act, limit=_ROWS_AT_ONCE)
    elif subject == EVENT_RETENTION:
        gone = forget_events(act, limit=_ROWS_AT_ONCE)
    elif subject == MESSAGES:
        gone = forget_messages(act, limit=_ROWS_AT_ONCE)
    elif subject == _PERSONAL:
        act.uow.personal_rows.erase(now)
        gone = 0  # it erases all there is
    elif subject == VISITS:
        gone = forget_visits(act, limit=_ROWS_AT_ONCE)
    else:
        gone = act.uow.queue.forget(now - _QUEUE_ROWS_LIVE, limit=_ROWS_AT_ONCE)
    again = timedelta(0) if gone == _ROWS_AT_ONCE else every
    act.uow.timers.set(TimerKind.RETENTION, subject, now + again)


def _run_details(act: Act, run_id: str) -> None:
    """Forget the progress lines of a run that ended long ago.

    The plan's row with its digest stays, and so does what the audit log says. A run that could
    continue keeps everything.
    """
    run, deployment = locked_run(act.uow, run_id)
    if run.status not in TERMINAL_RUN:
        return
    if clocks_stand_still(act.uow, owner_of(act.uow, deployment)):
        act.uow.timers.set(TimerKind.RUN_DETAILS, run.id, act.now() + CHECKED_AGAIN)
        return
    act.uow.run_events.forget(run.id)


_HANDLERS: Final[Mapping[TimerKind, Callable[[Act, str], None]]] = {
    TimerKind.RUN_TURN: _run_turn,
    TimerKind.RUN_WATCH: _run_watch,
    TimerKind.APPROVAL_EXPIRY: _approval_expiry,
    TimerKind.BUNDLE_EXPIRY: expire_bundle,
    TimerKind.BUNDLE_WATCH: fail_stale_build,
    TimerKind.RETENTION: _retention,
    TimerKind.RUN_DETAILS: _run_details,
    TimerKind.DRIFT_LOOK: look_when_due,
    TimerKind.INTAKE_LOOK: look_at_sources_when_due,
    TimerKind.DELIVERY_TURN: turn_of_delivery,
    TimerKind.MESSAGE_TURN: turn_of_message,
    TimerKind.ONBOARDING_EXPIRY: expire_when_due,
    TimerKind.SAGA_TURN: turn_when_due,
    TimerKind.JOURNEY_TURN: turn_of_journey,
    TimerKind.WAIVER_END: end_waiver,
}
