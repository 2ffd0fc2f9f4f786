"""What a run waits for: one sentence for each reason, and none for what is worked on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.domain.run import TERMINAL_RUN, BlockedOn, Run, RunStatus
from control_plane.domain.waiting import (
    ClosedWindow,
    Deciding,
    Queue,
    QueueSpot,
    Reason,
    why_waits,
)
from tests.entities import Entities

S = RunStatus
MAKE = Entities()
NOW = MAKE.clock.now()
BUSY = Queue(workers=2)


def run(status: RunStatus, **changes: Any) -> Run:
    """Return a run in a status."""
    return MAKE.run(MAKE.deployment(MAKE.tenant()), status=status, **changes)


QUEUED = [
    (QueueSpot(position=3, length=9), BUSY, Reason.BUSY, "waits for a free worker"),
    (QueueSpot(position=1, length=9), BUSY, Reason.NEXT, "is next when a worker is free"),
    (QueueSpot(position=3, length=9, behind="run_2"), BUSY, Reason.BEHIND_RUN,
     "waits for run_2 of the same deployment"),
    (QueueSpot(position=3, length=9), Queue(), Reason.NO_WORKER,
     "waits for a worker: none is running"),
    (QueueSpot(position=3, length=9, behind="run_2"),
     Queue(workers=2, paused_at=NOW, paused_reason="new disks"), Reason.QUEUE_PAUSED,
     "the queue is paused: new disks"),
]  # fmt: skip


@pytest.mark.parametrize(("spot", "queue", "reason", "words"), QUEUED)
def test_a_turn_in_the_queue_has_a_reason_and_its_position(
    spot: QueueSpot, queue: Queue, reason: Reason, words: str
) -> None:
    found = why_waits(run(S.REQUESTED), spot, queue)
    assert found is not None
    assert (found.reason, found.behind) == (reason, spot.behind)
    assert found.sentence == f"{words} (number {spot.position} of 9 in the queue)"
    assert (found.position, found.length) == (spot.position, 9)


@pytest.mark.parametrize("on", list(BlockedOn))
def test_every_obstacle_has_its_words(on: BlockedOn) -> None:
    found = why_waits(run(S.BLOCKED, blocked_on=on, blocked_from=S.PLANNING), None, BUSY, due=NOW)
    assert found is not None
    assert (found.reason, found.until) == (Reason.BLOCKED, NOW)
    assert found.sentence.startswith("waits for ")


def test_a_plan_waits_for_people() -> None:
    found = why_waits(run(S.AWAITING_APPROVAL), None, BUSY)
    assert found is not None
    assert found.reason is Reason.DECISION


def test_several_people_are_counted() -> None:
    one = why_waits(run(S.AWAITING_APPROVAL), None, BUSY, deciding=Deciding(given=0, needed=1))
    two = why_waits(run(S.AWAITING_APPROVAL), None, BUSY, deciding=Deciding(given=1, needed=2))
    assert one is not None
    assert two is not None
    assert one.sentence == "waits for a decision on its plan"
    assert two.sentence == "waits for decisions on its plan: 1 of 2 people approved"


EVENING = datetime(2026, 11, 20, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        (None, "2026-11-20 19:00 UTC"),
        ("UTC", "2026-11-20 19:00 UTC"),
        ("Europe/Rome", "2026-11-20 19:00 UTC (20:00 Europe/Rome)"),
        ("Asia/Tokyo", "2026-11-20 19:00 UTC (2026-11-21 04:00 Asia/Tokyo)"),
    ],
)
def test_a_closed_window_says_when_it_opens_by_both_clocks(zone: str | None, shown: str) -> None:
    expires_at = EVENING + timedelta(days=2)
    window = ClosedWindow(opens_at=EVENING, expires_at=expires_at, zone=zone)
    found = why_waits(run(S.APPROVED), None, BUSY, due=EVENING, window=window)
    assert found is not None
    assert (found.reason, found.until) == (Reason.WINDOW, EVENING)
    assert found.sentence == f"waits for its change window, which opens at {shown}"


def test_a_window_that_does_not_open_in_time_says_when_the_approval_expires() -> None:
    window = ClosedWindow(opens_at=None, expires_at=EVENING)
    found = why_waits(run(S.APPROVED), None, BUSY, window=window)
    assert found is not None
    assert (found.reason, found.until) == (Reason.WINDOW, EVENING)
    assert found.sentence.endswith("before its approval expires at 2026-11-20 19:00 UTC")


def test_a_temporary_error_says_what_it_was_and_when_it_is_tried_again() -> None:
    due = NOW + timedelta(seconds=20)
    found = why_waits(run(S.PLANNING, error={"message": "no disk"}), None, BUSY, due=due)
    assert found is not None
    assert (found.reason, found.until) == (Reason.LATER, due)
    assert found.sentence == "tries again after a temporary error: no disk"


def test_a_vanished_worker_and_a_dead_process_are_named_while_others_take_over() -> None:
    lost = why_waits(run(S.APPLYING), QueueSpot(worker="w1", worker_lives=False), BUSY)
    error = {"message": "the runner's process died"}
    died = why_waits(run(S.APPLYING, deaths=1, error=error), QueueSpot(worker="w1"), BUSY)
    assert why_waits(run(S.APPLYING, deaths=1), QueueSpot(worker="w1"), BUSY) is None  # settled
    assert lost is not None
    assert died is not None
    assert (lost.reason, died.reason) == (Reason.WORKER_LOST, Reason.SETTLING)
    assert "w1 has vanished" in lost.sentence
    assert died.sentence.startswith("attempt 2: a process of it died")


@pytest.mark.parametrize("status", sorted(TERMINAL_RUN | {S.PLANNING, S.APPLYING, S.VERIFYING}))
def test_what_is_worked_on_or_has_ended_waits_for_nothing(status: RunStatus) -> None:
    assert why_waits(run(status), QueueSpot(worker="w1"), BUSY) is None
