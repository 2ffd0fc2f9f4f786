"""Timers: due once each, claimed by one worker at a time, done at least once."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from control_plane.domain.timers import Timer, TimerKind
from tests.contracts.rows import run_all
from tests.entities import Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

LEASE = timedelta(seconds=60)
TURN, EXPIRY = TimerKind.RUN_TURN, TimerKind.APPROVAL_EXPIRY


def claim(storage: Storage, make: Entities, limit: int = 20) -> list[Timer]:
    """Claim what is due, as a worker does."""
    now = make.clock.now()
    with storage.unit_of_work() as uow:
        found = uow.timers.claim(now, until=now + LEASE, limit=limit)
        uow.commit()
    return list(found)


def subjects(timers: list[Timer]) -> list[str]:
    return sorted(timer.subject for timer in timers)


def set_timer(storage: Storage, make: Entities, *names: str, **after: float) -> None:
    with storage.unit_of_work() as uow:
        for name in names:
            uow.timers.set(TURN, name, make.clock.now() + timedelta(**after))
        uow.commit()


def test_what_is_due_is_claimed_at_its_time_and_not_before(
    storage: Storage, make: Entities
) -> None:
    set_timer(storage, make, "a", seconds=10)
    set_timer(storage, make, "b", seconds=20)
    assert claim(storage, make) == []
    make.clock.advance(seconds=10)
    due = make.clock.now() + LEASE
    assert claim(storage, make) == [Timer(kind=TURN, subject="a", due_at=due)]
    make.clock.advance(seconds=10)
    assert subjects(claim(storage, make)) == ["b"]


def test_a_claimed_timer_falls_due_again_when_nothing_becomes_of_it(
    storage: Storage, make: Entities
) -> None:
    set_timer(storage, make, "a", seconds=0)
    assert subjects(claim(storage, make)) == ["a"]
    make.clock.advance(seconds=LEASE.total_seconds() - 1)
    assert claim(storage, make) == []
    make.clock.advance(seconds=1)
    assert subjects(claim(storage, make)) == ["a"]


def test_a_finished_timer_is_gone(storage: Storage, make: Entities) -> None:
    set_timer(storage, make, "a", seconds=0)
    (claimed,) = claim(storage, make)
    with storage.unit_of_work() as uow:
        uow.timers.finish(claimed)
        uow.commit()
    make.clock.advance(days=365)
    assert claim(storage, make) == []


def test_a_timer_that_is_set_anew_outlives_the_end_of_what_was_claimed(
    storage: Storage, make: Entities
) -> None:
    set_timer(storage, make, "a", seconds=0)
    (claimed,) = claim(storage, make)
    set_timer(storage, make, "a", seconds=5)
    with storage.unit_of_work() as uow:
        uow.timers.finish(claimed)
        uow.commit()
    make.clock.advance(seconds=5)
    assert subjects(claim(storage, make)) == ["a"]


def test_a_worker_that_is_too_late_finishes_nothing_of_the_next(
    storage: Storage, make: Entities
) -> None:
    set_timer(storage, make, "a", seconds=0)
    (late,) = claim(storage, make)
    make.clock.advance(seconds=LEASE.total_seconds())
    (again,) = claim(storage, make)
    with storage.unit_of_work() as uow:
        uow.timers.finish(late)
        uow.commit()
    make.clock.advance(seconds=LEASE.total_seconds())
    assert subjects(claim(storage, make)) == [again.subject]


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_last_time_set_counts_earlier_or_later(
    storage: Storage, make: Entities, hours: int
) -> None:
    set_timer(storage, make, "a", hours=2)
    set_timer(storage, make, "a", hours=2 + hours)
    make.clock.advance(hours=2 + hours, seconds=-1)
    assert claim(storage, make) == []
    make.clock.advance(seconds=1)
    assert subjects(claim(storage, make)) == ["a"]


def test_kinds_of_one_subject_are_different_timers(storage: Storage, make: Entities) -> None:
    now = make.clock.now()
    with storage.unit_of_work() as uow:
        uow.timers.set(TURN, "a", now)
        uow.timers.set(EXPIRY, "a", now)
        uow.timers.cancel(TURN, "a")
        uow.timers.cancel(TURN, "never set")
        uow.commit()
    assert [(timer.kind, timer.subject) for timer in claim(storage, make)] == [(EXPIRY, "a")]


def test_those_that_are_due_longest_are_claimed_first(storage: Storage, make: Entities) -> None:
    for name, seconds in (("third", 3), ("first", 1), ("second", 2)):
        set_timer(storage, make, name, seconds=seconds)
    make.clock.advance(seconds=10)
    found = [subjects(claim(storage, make, limit=1)) for _ in range(4)]
    assert found == [["first"], ["second"], ["third"], []]


def test_two_workers_claim_different_timers_and_none_waits_for_the_other(
    storage: Storage, make: Entities
) -> None:
    names = [f"t{number}" for number in range(10)]
    set_timer(storage, make, *names, seconds=0)
    now = make.clock.now()
    with storage.unit_of_work() as one, storage.unit_of_work() as two:
        first = list(one.timers.claim(now, until=now + LEASE, limit=4))
        second = list(two.timers.claim(now, until=now + LEASE, limit=100))  # waits for nobody
        two.commit()
        one.commit()
    assert (len(first), len(second)) == (4, 6)
    assert subjects(first + second) == names


def test_what_a_worker_that_dies_had_claimed_is_due_at_once_or_after_its_lease(
    storage: Storage, make: Entities
) -> None:
    set_timer(storage, make, "a", seconds=0)
    now = make.clock.now()
    with storage.unit_of_work() as dies:
        assert subjects(list(dies.timers.claim(now, until=now + LEASE, limit=1))) == ["a"]
    assert subjects(claim(storage, make)) == ["a"]  # what is not committed was never claimed


def test_many_workers_at_once_claim_each_timer_once(storage: Storage, make: Entities) -> None:
    names = [f"t{number:02}" for number in range(40)]
    set_timer(storage, make, *names, seconds=0)
    together, found = threading.Barrier(4, timeout=60), list[Timer]()

    def work() -> None:
        together.wait()
        while claimed := claim(storage, make, limit=3):
            found.extend(claimed)

    run_all([work] * 4)
    assert subjects(found) == names


def test_a_timer_is_set_when_its_transaction_is_committed(storage: Storage, make: Entities) -> None:
    with storage.unit_of_work() as uow:
        uow.timers.set(TURN, "a", make.clock.now())
    assert claim(storage, make) == []
