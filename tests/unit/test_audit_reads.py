"""Reads of a log become events, but not one each."""

from __future__ import annotations

from control_plane.workflows import reads
from control_plane.workflows.reads import Reads, ReadTally, Taken


def page(first: int) -> Reads:
    return Reads(count=1, first_idx=first, last_idx=first + 99)


def test_the_first_read_is_recorded_at_once_and_those_of_a_minute_as_one() -> None:
    now = [0.0]
    tally: ReadTally[str] = ReadTally(ticks=lambda: now[0])
    assert tally.take("sam", page(0)) == Taken(reads=page(0))
    assert tally.take("ida", page(5)) == Taken(reads=page(5))  # another reader
    for n in range(1, 600):
        now[0] = n / 10
        assert tally.take("sam", page(100 * n)) is None
    now[0] = 60.0
    taken = tally.take("sam", page(60_000))
    assert taken == Taken(
        reads=Reads(count=600, first_idx=100, last_idx=60_099),
        earlier=Reads(count=599, first_idx=100, last_idx=59_999),
    )
    assert tally.due() == {}


def test_reads_that_nobody_follows_are_recorded_after_their_minute() -> None:
    now = [0.0]
    tally: ReadTally[str] = ReadTally(ticks=lambda: now[0])
    tally.take("sam", page(0))
    tally.take("sam", Reads(count=1, first_idx=None, last_idx=None))
    assert tally.due() == {}
    assert tally.due(at_once=True) == {"sam": Reads(count=1, first_idx=None, last_idx=None)}
    tally.take("sam", page(0))
    tally.take("sam", page(100))
    now[0] = 60.0
    assert tally.due() == {"sam": page(100)}
    assert tally.due() == {}


def test_what_is_given_back_is_due_at_once() -> None:
    now = [0.0]
    tally: ReadTally[str] = ReadTally(ticks=lambda: now[0])
    tally.take("sam", page(0))
    tally.give_back("sam", None)
    assert tally.take("sam", page(1)) == Taken(reads=page(1))
    tally.take("sam", page(2))
    now[0] = 60.0
    (waited,) = tally.due().values()
    tally.give_back("sam", waited)
    assert tally.take("sam", page(3)) == Taken(reads=waited + page(3), earlier=waited)


def test_memory_is_bounded_and_no_read_is_lost() -> None:
    tally: ReadTally[int] = ReadTally(ticks=lambda: 0.0)
    for key in range(reads.MAX_WINDOWS):
        tally.take(key, page(0))
    for _ in range(3):
        assert tally.take(-1, page(0)) == Taken(reads=page(0))
