"""Wall clocks and instants, where clocks change and where a day is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.calendars.moments import (
    Span,
    intersection,
    moment_of,
    wall_of,
    without,
)
from tests.calendars import shown, span, utc

ZONES = ("Europe/Rome", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kathmandu",
         "Pacific/Apia", "Africa/Casablanca", "UTC")  # fmt: skip


@pytest.mark.parametrize(
    ("wall", "zone", "instant"),
    [
        ("2026-07-01T09:00", "Europe/Rome", "2026-07-01T07:00"),
        ("2026-12-01T09:00", "Europe/Rome", "2026-12-01T08:00"),
        # 29 March 2026: 02:00 to 03:00 is not on the clocks of Rome
        ("2026-03-29T01:59:59", "Europe/Rome", "2026-03-29T00:59:59"),
        ("2026-03-29T02:00", "Europe/Rome", "2026-03-29T01:00"),
        ("2026-03-29T02:30", "Europe/Rome", "2026-03-29T01:00"),
        ("2026-03-29T03:00", "Europe/Rome", "2026-03-29T01:00"),
        ("2026-03-29T03:01", "Europe/Rome", "2026-03-29T01:01"),
        # 25 October 2026: 02:00 to 03:00 is there twice
        ("2026-10-25T02:30", "Europe/Rome", "2026-10-25T00:30"),
        ("2026-10-25T03:00", "Europe/Rome", "2026-10-25T02:00"),
        ("2026-03-08T02:30", "America/Los_Angeles", "2026-03-08T10:00"),
        ("2026-11-01T01:30", "America/Los_Angeles", "2026-11-01T08:30"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30"),  # by half an hour
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00"),  # Samoa had no 30 December
    ],
)
def test_the_instant_of_a_wall_time(wall: str, zone: str, instant: str) -> None:
    found = moment_of(datetime.fromisoformat(wall), zone)
    assert found == utc(instant)
    assert found.utcoffset() == timedelta()


walls = st.datetimes(shown("2007-01-01T00:00"), shown("2040-01-01T00:00"))


@settings(deadline=None)
@given(walls, st.timedeltas(timedelta(), timedelta(days=2)), st.sampled_from(ZONES))
def test_a_later_wall_time_is_never_an_earlier_instant(
    wall: datetime, later: timedelta, zone: str
) -> None:
    assert moment_of(wall, zone) <= moment_of(wall + later, zone)


@settings(deadline=None)
@given(walls, st.sampled_from(ZONES))
def test_an_instant_comes_back_as_its_wall_time_or_the_end_of_the_gap(
    wall: datetime, zone: str
) -> None:
    moment = moment_of(wall, zone)
    back = wall_of(moment, zone)
    assert back >= wall
    if back != wall:  # clocks went forward at that very moment
        before = (moment - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
        assert before.replace(tzinfo=None) < wall


def test_a_wall_time_has_no_zone_and_an_instant_has_one() -> None:
    with pytest.raises(ValueError, match="no time zone of its own"):
        moment_of(datetime(2026, 1, 1, tzinfo=UTC), "UTC")
    with pytest.raises(ValueError, match="needs a time zone"):
        wall_of(shown("2026-01-01T00:00"), "UTC")
    with pytest.raises(ValueError, match="with a time zone"):
        Span(start=shown("2026-01-01T00:00"), end=shown("2026-01-02T00:00"))
    with pytest.raises(ValueError, match="ends after its start"):
        Span(start=utc("2026-01-01"), end=utc("2026-01-01"))


def test_what_two_have_in_common_and_what_is_left_of_it() -> None:
    day = span("2026-12-01T09:00", "2026-12-01T18:00")
    other = [
        span("2026-12-01T06:00", "2026-12-01T10:00"),
        span("2026-12-01T17:00", "2026-12-01T20:00"),
    ]
    assert intersection([day], other) == (
        span("2026-12-01T09:00", "2026-12-01T10:00"), span("2026-12-01T17:00", "2026-12-01T18:00"),
    )  # fmt: skip
    touching = [span("2026-12-01T18:00", "2026-12-01T20:00")]
    assert intersection([day], touching) == ()
    assert without([day], touching) == (day,)
    assert without([day], [day]) == ()
    busy = [span("2026-12-01T11:00", "2026-12-01T12:00"),
            span("2026-12-01T11:30", "2026-12-01T13:00"),
            span("2026-12-01T08:00", "2026-12-01T09:30")]  # fmt: skip
    assert without([day], busy) == (
        span("2026-12-01T09:30", "2026-12-01T11:00"), span("2026-12-01T13:00", "2026-12-01T18:00"),
    )  # fmt: skip
