"""Change windows: weekdays, hours by the clocks of a place, days on which nothing opens."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from control_plane.domain.change_window import Blackout, ChangeWindow, Opening, next_opening


def window(**changes: Any) -> ChangeWindow:
    facts: dict[str, Any] = {
        "name": "office", "weekdays": frozenset(range(5)), "start": time(9), "end": time(17),
        "zone": "Europe/Rome",
    }  # fmt: skip
    return ChangeWindow(**{**facts, **changes})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opening(start: str, end: str) -> Opening:
    return Opening(start=at(start), end=at(end))


NIGHT = window(name="night", weekdays=frozenset({4}), start=time(22), end=time(4))


@pytest.mark.parametrize(
    ("of", "now", "expected"),
    [
        # Monday 2 November 2026; Rome is one hour ahead of UTC in winter, two in summer
        (window(), "2026-11-02T10:00", opening("2026-11-02T08:00", "2026-11-02T16:00")),
        (window(), "2026-11-02T16:00", opening("2026-11-03T08:00", "2026-11-03T16:00")),
        (window(), "2026-11-02T07:59", opening("2026-11-02T08:00", "2026-11-02T16:00")),
        (window(), "2026-07-31T15:00", opening("2026-08-03T07:00", "2026-08-03T15:00")),
        (NIGHT, "2026-11-07T01:00", opening("2026-11-06T21:00", "2026-11-07T03:00")),
        (NIGHT, "2026-11-07T03:00", opening("2026-11-13T21:00", "2026-11-14T03:00")),
        # the night in which clocks go back has an hour more
        (window(weekdays=frozenset({5}), start=time(22), end=time(4)), "2026-10-24T21:00",
         opening("2026-10-24T20:00", "2026-10-25T03:00")),
        # 02:30 is not on the clocks of the night in which they go forward
        (window(weekdays=frozenset({6}), start=time(2, 30), end=time(5)), "2026-03-28T12:00",
         opening("2026-03-29T01:30", "2026-03-29T03:00")),
    ],
)  # fmt: skip
def test_the_next_opening(of: ChangeWindow, now: str, expected: Opening) -> None:
    assert next_opening([of], at(now)) == expected


def test_nothing_opens_in_a_blackout_and_a_night_ends_before_one() -> None:
    out = (Blackout(first=date(2026, 11, 2), last=date(2026, 11, 4)),)
    found = next_opening([window(blackouts=out)], at("2026-11-02T10:00"))
    assert found == opening("2026-11-05T08:00", "2026-11-05T16:00")
    night = window(weekdays=frozenset({6}), start=time(22), end=time(4), blackouts=out)
    assert next_opening([night], at("2026-11-01T12:00")) == opening(
        "2026-11-01T21:00", "2026-11-01T23:00"
    )


def test_several_windows_are_open_where_all_are() -> None:
    early = window(name="early", start=time(6), end=time(11), zone="Europe/London")
    found = next_opening([window(), early], at("2026-11-02T05:00"))
    assert found == opening("2026-11-02T08:00", "2026-11-02T11:00")
    assert next_opening([window(), NIGHT], at("2026-11-02T05:00")) is None


def test_what_never_opens_says_so() -> None:
    year = (Blackout(first=date(2026, 1, 1), last=date(2029, 1, 1)),)
    assert next_opening([window(blackouts=year)], at("2026-11-02T05:00")) is None
    with pytest.raises(ValueError, match="window"):
        next_opening([], at("2026-11-02T05:00"))


def test_an_end_is_exclusive() -> None:
    found = opening("2026-11-02T08:00", "2026-11-02T16:00")
    assert found.has(at("2026-11-02T08:00"))
    assert not found.has(at("2026-11-02T16:00"))
