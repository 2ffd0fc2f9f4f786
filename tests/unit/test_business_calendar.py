"""Business days and hours: the worked dates, other weekends, own days, and what always holds."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.calendars.business import BusinessCalendar, JointCalendar, is_business
from control_plane.domain.calendars.counting import (
    add_business_days,
    add_business_time,
    count_business_days,
    count_business_time,
)
from control_plane.domain.calendars.days import Marked
from control_plane.domain.errors import InvalidInput
from tests.calendars import (
    AUCKLAND,
    DUBAI,
    LOS_ANGELES,
    NEW_YORK,
    RIYADH,
    ROME,
    ROME_AND_NEW_YORK,
    calendar,
    local,
    shown,
    span,
)

NOBODY = calendar("UTC", None)
HOUR = timedelta(hours=1)


def day(text: str) -> date:
    return date.fromisoformat(text)


# --- days ------------------------------------------------------------------------------------
@pytest.mark.requirement("J-035")
@pytest.mark.parametrize(
    ("of", "start", "count", "expected"),
    [
        # product rules, 2.6
        (ROME, "2026-12-04", 2, "2026-12-09"),  # Friday; 8 December is a holiday
        (ROME, "2026-12-24", 2, "2026-12-29"),
        (ROME, "2026-12-31", 2, "2027-01-05"),
        (ROME, "2026-11-25", 2, "2026-11-27"),
        (ROME_AND_NEW_YORK, "2026-11-25", 2, "2026-11-30"),  # Thanksgiving
        # month ends, a leap day, back
        (NOBODY, "2026-01-30", 1, "2026-02-02"),
        (NOBODY, "2028-02-28", 1, "2028-02-29"),
        (NOBODY, "2027-02-26", 1, "2027-03-01"),
        (ROME, "2026-12-09", -2, "2026-12-04"),
        (ROME, "2027-01-05", -2, "2026-12-31"),
        (NOBODY, "2028-03-01", -1, "2028-02-29"),
        # free on Friday and Saturday: Thursday is followed by Sunday
        (RIYADH, "2026-10-08", 1, "2026-10-11"),
        (RIYADH, "2026-10-09", 1, "2026-10-11"),
        # a joint calendar of both weekends has Monday to Thursday
        (JointCalendar((ROME, RIYADH)), "2026-10-08", 1, "2026-10-12"),
        # the Emirates changed to Saturday and Sunday in 2022
        (DUBAI, "2021-11-04", 1, "2021-11-07"),
        (DUBAI, "2026-10-08", 1, "2026-10-09"),
        # Hungary worked on Saturday 8 August for Friday 21 August 2026
        (calendar("Europe/Budapest", "HU"), "2026-08-07", 1, "2026-08-08"),
        (calendar("Europe/Budapest", "HU"), "2026-08-19", 1, "2026-08-24"),
        # zero: the day itself, or the next business day
        (ROME, "2026-12-04", 0, "2026-12-04"),
        (ROME, "2026-12-05", 0, "2026-12-07"),
    ],
)
def test_business_days_after_a_day(of, start: str, count: int, expected: str) -> None:
    assert add_business_days(of, day(start), count) == day(expected)


def test_a_closed_day_says_why() -> None:
    assert ROME.why_closed(day("2026-12-08")) == "Immaculate Conception"
    assert ROME.why_closed(day("2026-12-05")) == "weekend"
    assert ROME.why_closed(day("2026-12-04")) is None
    assert ROME_AND_NEW_YORK.why_closed(day("2026-11-26")) == "Thanksgiving Day (US)"


def test_own_days_count_before_public_ones_and_a_date_before_every_year() -> None:
    own = calendar(
        extra_closed=Marked(dates={day("2026-12-07"): "Sant'Ambrogio"}, yearly={(8, 14): "Closed"}),
        extra_open=Marked(dates={day("2026-12-08"): True, day("2026-08-14"): True},
                          yearly={(1, 6): True, (12, 7): True}),
    )  # fmt: skip
    assert own.why_closed(day("2026-12-07")) == "Sant'Ambrogio"
    assert own.why_closed(day("2027-12-07")) is None
    assert own.why_closed(day("2026-12-08")) is None
    assert own.why_closed(day("2027-12-08")) == "Immaculate Conception"
    assert own.why_closed(day("2026-08-14")) is None
    assert own.why_closed(day("2028-08-14")) == "Closed"
    assert own.why_closed(day("2027-01-06")) is None
    assert add_business_days(own, day("2026-12-04"), 1) == day("2026-12-08")


def test_another_weekend_replaces_that_of_the_country() -> None:
    sunday_alone = calendar(weekend=frozenset({6}))
    assert is_business(sunday_alone, day("2026-12-05"))
    assert not is_business(sunday_alone, day("2026-12-06"))
    assert not is_business(sunday_alone, day("2026-12-08"))  # holidays stay
    assert is_business(calendar(weekend=frozenset()), day("2026-12-06"))


def test_a_day_of_a_leap_year_is_one_of_leap_years_alone() -> None:
    own = calendar(country=None, extra_closed=Marked(yearly={(2, 29): "Leap day"}))
    assert own.why_closed(day("2028-02-29")) == "Leap day"
    assert is_business(own, day("2027-03-01"))
    with pytest.raises(ValueError, match="day"):
        Marked(yearly={(2, 30): True})


def test_what_is_not_known_is_a_warning() -> None:
    first, last = day("2026-12-01"), day("2027-02-28")
    assert ROME.warnings(first, last) == ()
    assert NOBODY.warnings(first, last) == (
        "No country is known: its public holidays count as working days.",
    )
    lanka = calendar("Asia/Colombo", "LK")
    sentence = "The public holidays of LK are not known for 2027: they count as working days."
    assert lanka.warnings(first, last) == (sentence,)
    assert lanka.warnings(first, first) == ()
    nowhere = calendar(country="IT", subdivision="Atlantis")
    assert nowhere.warnings(first, first) == (
        "The public holidays of IT-Atlantis are not known for 2026: they count as working days.",
    )
    assert add_business_days(nowhere, day("2026-12-07"), 1) == day("2026-12-08")
    assert JointCalendar((lanka, ROME, lanka)).warnings(first, last) == (sentence,)


def test_calendars_that_never_meet_are_an_error_and_not_a_loop() -> None:
    weekdays = calendar(country=None, weekend=frozenset({5, 6}))
    weekends = calendar(country=None, weekend=frozenset(range(5)))
    never = JointCalendar((weekdays, weekends))
    for count in (1, -1):
        with pytest.raises(InvalidInput, match="no common working time within a year"):
            add_business_days(never, day("2026-12-01"), count)
    for amount in (HOUR, -HOUR, timedelta()):
        with pytest.raises(InvalidInput, match="no common working time within a year"):
            add_business_time(never, local("2026-12-01T10:00"), amount)


@pytest.mark.parametrize(
    "changes",
    [
        {"workday_end": time(9)},
        {"workday_end": time(8)},
        {"weekend": frozenset(range(7))},
        {"weekend": frozenset({7})},
        {"half_days": Marked(yearly={(12, 24): time(18)})},
        {"half_days": Marked(dates={date(2026, 12, 24): time(9)})},
    ],
)
def test_a_calendar_that_cannot_be_is_refused(changes) -> None:
    with pytest.raises(ValueError, match="day"):
        calendar(**changes)
    with pytest.raises(ValueError, match="at least one"):
        JointCalendar(())


# --- hours -----------------------------------------------------------------------------------
HALF = calendar(half_days=Marked(yearly={(12, 24): time(13)}))


@pytest.mark.parametrize(
    ("of", "start", "hours", "expected"),
    [
        (ROME, "2026-12-04T16:00", 1, "2026-12-04T17:00"),
        (ROME, "2026-12-04T16:00", 2, "2026-12-04T18:00"),  # the end of a day is in that day
        (ROME, "2026-12-04T16:00", 3, "2026-12-07T10:00"),
        (ROME, "2026-12-04T20:00", 1, "2026-12-07T10:00"),
        (ROME, "2026-12-08T12:00", 0, "2026-12-09T09:00"),
        (ROME, "2026-12-04T12:00", 0, "2026-12-04T12:00"),
        (ROME, "2026-12-09T10:00", -2, "2026-12-07T17:00"),
        (ROME, "2026-12-09T10:00", -1, "2026-12-09T09:00"),
        (HALF, "2026-12-24T12:00", 2, "2026-12-28T10:00"),
        (HALF, "2026-12-24T12:00", 1, "2026-12-24T13:00"),
    ],
)
def test_business_hours_after_an_instant(
    of: BusinessCalendar, start: str, hours: int, expected: str
) -> None:
    assert add_business_time(of, local(start), hours * HOUR) == local(expected)


def test_a_working_night_is_an_hour_shorter_or_longer_where_clocks_change() -> None:
    night = calendar(country=None, weekend=frozenset(), workday_start=time(1), workday_end=time(5))
    assert [each.length for each in night.spans(day("2026-03-29"))] == [3 * HOUR]
    assert [each.length for each in night.spans(day("2026-10-25"))] == [5 * HOUR]
    assert add_business_time(night, local("2026-03-29T01:00"), 3 * HOUR) == local(
        "2026-03-29T05:00"
    )
    gap = calendar(
        country=None, weekend=frozenset(), workday_start=time(2), workday_end=time(2, 45)
    )
    assert gap.spans(day("2026-03-29")) == ()  # that day has no such hour


def test_rome_and_los_angeles_share_an_hour_only_while_one_alone_has_summer_time() -> None:
    both = JointCalendar((ROME, LOS_ANGELES))
    assert both.spans(day("2026-12-01")) == ()
    assert both.spans(day("2026-03-10")) == (span("2026-03-10T17:00", "2026-03-10T18:00"),)
    assert JointCalendar((ROME, NEW_YORK)).spans(day("2026-12-01")) == (
        span("2026-12-01T15:00", "2026-12-01T18:00"),
    )


def test_each_party_works_by_its_own_date() -> None:
    both = JointCalendar((AUCKLAND, LOS_ANGELES))
    # Friday 27 November in Auckland is Thanksgiving in Los Angeles until 21:00
    assert both.spans(day("2026-11-27")) == ()
    friday = both.spans(day("2026-12-04"))
    assert friday == (span("2026-12-04T09:00", "2026-12-04T15:00", "Pacific/Auckland"),)
    assert friday[0].start == local("2026-12-03T12:00", "America/Los_Angeles")
    assert both.spans(day("2026-12-07")) == ()  # Monday there is Sunday here
    # the same hours are those of Thursday in Los Angeles
    assert JointCalendar((LOS_ANGELES, AUCKLAND)).spans(day("2026-12-03")) == friday


# --- what always holds -----------------------------------------------------------------------
CALENDARS = (ROME, NEW_YORK, RIYADH, DUBAI, HALF, ROME_AND_NEW_YORK, JointCalendar((ROME, RIYADH)))
some_calendar = st.sampled_from(CALENDARS)
some_day = st.dates(date(2025, 1, 1), date(2028, 12, 31))
some_moment = st.datetimes(shown("2025-01-01T00:00"), shown("2028-12-31T00:00")).map(
    lambda wall: local(wall.isoformat())
)


@settings(deadline=None)
@given(some_calendar, some_day, st.integers(-60, 60).filter(bool))
def test_what_was_added_is_what_is_counted(of, start: date, count: int) -> None:
    found = add_business_days(of, start, count)
    assert count_business_days(of, start, found) == count
    assert is_business(of, found)


@settings(deadline=None)
@given(some_calendar, some_day, st.integers(0, 30), st.integers(-40, 40))
def test_a_later_start_is_never_due_earlier(of, start: date, later: int, count: int) -> None:
    after = start + timedelta(days=later)
    assert add_business_days(of, start, count) <= add_business_days(of, after, count)


@settings(deadline=None)
@given(some_calendar, some_day, st.integers(1, 30), st.integers(1, 30))
def test_days_may_be_added_in_two_parts(of, start: date, one: int, two: int) -> None:
    halfway = add_business_days(of, start, one)
    assert add_business_days(of, halfway, two) == add_business_days(of, start, one + two)


@settings(max_examples=60, deadline=None)
@given(some_calendar, some_moment, st.integers(-3000, 3000).filter(bool))
def test_working_time_that_was_added_is_what_is_counted(of, start: datetime, minutes: int) -> None:
    amount = timedelta(minutes=minutes)
    found = add_business_time(of, start, amount)
    assert count_business_time(of, start, found) == amount


@settings(max_examples=60, deadline=None)
@given(some_calendar, some_moment, st.timedeltas(timedelta(), timedelta(days=9)),
       st.integers(-3000, 3000))  # fmt: skip
def test_working_time_from_a_later_start_ends_no_earlier(
    of, start: datetime, later: timedelta, minutes: int
) -> None:
    amount = timedelta(minutes=minutes)
    assert add_business_time(of, start, amount) <= add_business_time(of, start + later, amount)
