"""What a run waits for, and behind whom: one sentence that operators read.

A pure function over what is known of the run and of the queue. Its words are those of
``run show``, ``run list`` and ``run watch``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunStatus


class Reason(StrEnum):
    """Why nothing of a run is done right now."""

    DECISION = "decision"  # people decide on its plan
    WINDOW = "window"  # its plan is approved, and its change windows are closed
    BLOCKED = "blocked"  # on what ``blocked_on`` names
    QUEUE_PAUSED = "queue_paused"
    BEHIND_RUN = "behind_run"  # another run of the same deployment goes first
    NO_WORKER = "no_worker"  # none is running
    BUSY = "busy"  # every worker has something else to do
    NEXT = "next"  # a worker takes it up in a moment
    LATER = "later"  # a temporary error; a timer takes it up again
    WORKER_LOST = "worker_lost"  # its worker has vanished; another one takes over
    SETTLING = "settling"  # a process of it died, and what that left is looked at


@dataclass(frozen=True, kw_only=True)
class QueueSpot:
    """Where a run's turn is in the queue.

    ``position`` counts from 1 among the ``length`` turns that wait, in the order in which workers
    take them; None where a worker has it. ``behind`` is the run of the same deployment that goes
    first. ``worker`` has taken it up, and ``worker_lives`` or not.
    """

    position: int | None = None
    length: int = 0
    behind: str | None = None
    worker: str | None = None
    worker_lives: bool = True


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The queue as a whole: since when and why it is paused, and how many workers live."""

    paused_reason: str | None = None
    paused_at: datetime | None = None
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """How many of the people that a plan needs have approved it."""

    given: int
    needed: int


@dataclass(frozen=True, kw_only=True)
class ClosedWindow:
    """When the change windows of an approved plan open, None if not before its approval expires.

    ``zone`` is the tenant's, None where it is not known.
    """

    opens_at: datetime | None
    expires_at: datetime
    zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a run waits for; ``until`` is when it continues by itself, where that is known."""

    reason: Reason
    sentence: str
    position: int | None = None
    length: int | None = None
    behind: str | None = None
    until: datetime | None = None


_ON: Final = {
    BlockedOn.HUB_UNAVAILABLE: "for a Hub with room in its region",
    BlockedOn.NO_ACCOUNT: "for a free AWS account",
    BlockedOn.FOREIGN_LOCK: "for the one that has the stack locked",
    BlockedOn.PENDING_UNRESOLVED: "for somebody to look at what an interrupted call left",
    BlockedOn.STATE_MOVED: "for a retry: what was approved is not what exists now",
    BlockedOn.HOLD: "for the release of every hold",
}


def why_waits(
    run: Run,
    spot: QueueSpot | None,
    queue: Queue,
    *,
    due: datetime | None = None,
    deciding: Deciding | None = None,
    window: ClosedWindow | None = None,
) -> Waiting | None:
    """Return what a run waits for, None while it is worked on or once it has ended.

    ``spot`` is where its turn is in the queue, None where it has none; ``due`` when a timer takes
    it up; ``window`` is given while those of an approved plan are closed.
    """
    if run.status in TERMINAL_RUN:
        return None
    if run.status is RunStatus.AWAITING_APPROVAL:
        return Waiting(reason=Reason.DECISION, sentence=_decision(deciding))
    if run.status is RunStatus.BLOCKED and run.blocked_on is not None:
        return Waiting(reason=Reason.BLOCKED, sentence=f"waits {_ON[run.blocked_on]}", until=due)
    if window is not None:
        return _closed(window)
    if spot is None:
        return _later(run, due)
    if spot.position is None:
        return _taken(run, spot)
    return _queued(spot, queue)


def shown_time(moment: datetime, zone: str | None) -> str:
    """Return a time in UTC, and beside it by the clocks of a zone."""
    utc = moment.astimezone(UTC)
    if zone is None or zone == "UTC":
        return f"{utc:%Y-%m-%d %H:%M} UTC"
    local = utc.astimezone(ZoneInfo(zone))
    day = "" if local.date() == utc.date() else f"{local:%Y-%m-%d} "
    return f"{utc:%Y-%m-%d %H:%M} UTC ({day}{local:%H:%M} {zone})"


def _decision(deciding: Deciding | None) -> str:
    if deciding is None or deciding.needed < 2:
        return "waits for a decision on its plan"
    return f"waits for decisions on its plan: {deciding.given} of {deciding.needed} people approved"


def _closed(window: ClosedWindow) -> Waiting:
    if window.opens_at is None:
        end = shown_time(window.expires_at, window.zone)
        sentence = f"none of its change windows opens before its approval expires at {end}"
    else:
        start = shown_time(window.opens_at, window.zone)
        sentence = f"waits for its change window, which opens at {start}"
    until = window.opens_at or window.expires_at
    return Waiting(reason=Reason.WINDOW, sentence=sentence, until=until)


def _later(run: Run, due: datetime | None) -> Waiting | None:
    if due is None:
        return None
    what = str((run.error or {}).get("message") or "a temporary error")
    return Waiting(
        reason=Reason.LATER, sentence=f"tries again after a temporary error: {what}", until=due
    )


def _taken(run: Run, spot: QueueSpot) -> Waiting | None:
    if not spot.worker_lives:
        return Waiting(
            reason=Reason.WORKER_LOST,
            sentence=f"its worker {spot.worker} has vanished; another one takes over in about half "
            "a minute",
        )
    # the error of a process that died stays until what that left is settled
    if run.deaths > 0 and run.error is not None and run.status is not RunStatus.VERIFYING:
        return Waiting(
            reason=Reason.SETTLING,
            sentence=f"attempt {run.attempt}: a process of it died, and what that left on the "
            "stack is settled before it continues",
        )
    return None


def _queued(spot: QueueSpot, queue: Queue) -> Waiting:
    place = f"number {spot.position} of {spot.length} in the queue"
    if queue.paused_at is not None:
        reason, sentence = Reason.QUEUE_PAUSED, f"the queue is paused: {queue.paused_reason}"
    elif spot.behind is not None:
        reason, sentence = Reason.BEHIND_RUN, f"waits for {spot.behind} of the same deployment"
    elif queue.workers == 0:
        reason, sentence = Reason.NO_WORKER, "waits for a worker: none is running"
    elif spot.position == 1:
        reason, sentence = Reason.NEXT, "is next when a worker is free"
    else:
        reason, sentence = Reason.BUSY, "waits for a free worker"
    return Waiting(
        reason=reason, sentence=f"{sentence} ({place})",
        position=spot.position, length=spot.length, behind=spot.behind,
    )  # fmt: skip
