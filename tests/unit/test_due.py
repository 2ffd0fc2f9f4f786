"""Day 0, due times in each unit, and what becomes of them when the rules of a zone change."""

from __future__ import annotations

import json
import shutil
import zoneinfo
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.calendars.business import JointCalendar
from control_plane.domain.calendars.days import Marked
from control_plane.domain.calendars.due import (
    LARGEST,
    Due,
    DueInstant,
    DueUnit,
    JourneyClock,
    Roll,
)
from tests.calendars import (
    LOS_ANGELES,
    RIYADH,
    ROME,
    ROME_AND_NEW_YORK,
    calendar,
    local,
    shown,
    utc,
)

SEVENTEEN = time(17)
TWO_DAYS = Due(amount=2, unit=DueUnit.BUSINESS_DAY)


def clock(
    anchor: datetime, customer: Any = ROME, counting: Any = None, **changes: Any
) -> JourneyClock:
    facts = {"cut_off": SEVENTEEN, "tz_version": "2026f", **changes}
    return JourneyClock(anchor=anchor, customer=customer, counting=counting or customer, **facts)


# --- Day 0 -----------------------------------------------------------------------------------
@pytest.mark.requirement("J-001")
@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        ("2026-12-04T16:59:59.999999", "2026-12-04"),
        ("2026-12-04T17:00:00", "2026-12-07"),  # the cut-off itself is late
        ("2026-12-04T00:00:00", "2026-12-04"),
        ("2026-12-05T10:00:00", "2026-12-07"),  # Saturday
        ("2026-12-07T18:00:00", "2026-12-09"),  # 8 December is a holiday
        ("2026-12-31T17:00:00", "2027-01-04"),
    ],
)
def test_day_zero_is_a_business_day_before_the_cut_off(signed: str, expected: str) -> None:
    assert clock(local(signed)).day_zero == date.fromisoformat(expected)


def test_a_signing_in_los_angeles_counts_by_the_clocks_of_rome() -> None:
    signed = local("2026-11-27T23:30", "America/Los_Angeles")
    assert signed == local("2026-11-28T08:30")  # Saturday in Rome
    found = clock(signed, counting=ROME_AND_NEW_YORK)
    assert found.day_zero == date(2026, 11, 30)
    assert found.due(TWO_DAYS).wall == shown("2026-12-02T18:00")
    # the same instant is a Friday for a customer in Los Angeles, after the cut-off
    there = calendar("America/Los_Angeles", "US")
    assert clock(signed, there).day_zero == date(2026, 11, 30)
    assert clock(signed - timedelta(hours=7), there).day_zero == date(2026, 11, 27)
    # the State of California is closed on the day after Thanksgiving
    assert clock(signed - timedelta(hours=7), LOS_ANGELES).day_zero == date(2026, 11, 30)


def test_without_a_cut_off_day_zero_is_the_local_date() -> None:
    assert clock(local("2026-12-05T23:00"), cut_off=None).day_zero == date(2026, 12, 5)


def test_a_half_day_ends_before_the_cut_off() -> None:
    half = calendar(half_days=Marked(dates={date(2026, 12, 24): time(13)}))
    assert clock(local("2026-12-24T12:59"), half).day_zero == date(2026, 12, 24)
    assert clock(local("2026-12-24T13:00"), half).day_zero == date(2026, 12, 28)
    # and what is due on it is due when it ends
    due = clock(local("2026-12-22T10:00"), half).due(TWO_DAYS)
    assert due.wall == shown("2026-12-24T13:00")
    late = calendar(half_days=Marked(dates={date(2026, 12, 24): time(17, 30)}))
    assert clock(local("2026-12-24T17:00"), late).day_zero == date(2026, 12, 28)


@pytest.mark.requirement("J-001")
def test_the_days_of_a_journey_are_those_of_the_customers_clocks() -> None:
    found = clock(local("2026-12-04T10:00"))
    assert found.day_number(local("2026-12-04T00:00")) == 0
    assert found.day_number(local("2026-12-04T23:59:59")) == 0
    assert found.day_number(local("2026-12-05T00:00")) == 1
    assert found.day_number(local("2026-12-03T12:00")) == -1
    # Day 0 is later than the signing on a weekend
    assert clock(local("2026-12-05T10:00")).day_number(local("2026-12-05T10:00")) == -2


# --- units -----------------------------------------------------------------------------------
@pytest.mark.requirement("P-010")
@pytest.mark.parametrize(
    ("anchor", "rule", "wall"),
    [
        # hours of any kind run over a weekend, and over the hour that a night has more or less
        ("2026-12-04T16:00", Due(amount=24, unit=DueUnit.ELAPSED_HOUR), "2026-12-05T16:00"),
        ("2026-03-28T12:00", Due(amount=24, unit=DueUnit.ELAPSED_HOUR), "2026-03-29T13:00"),
        ("2026-10-24T12:00", Due(amount=48, unit=DueUnit.ELAPSED_HOUR), "2026-10-26T11:00"),
        ("2026-12-04T16:00", Due(amount=-48, unit=DueUnit.ELAPSED_HOUR), "2026-12-02T16:00"),
        # days end with the working day, by the clocks
        ("2026-12-04T16:00", Due(amount=30, unit=DueUnit.DAY), "2027-01-03T18:00"),
        ("2026-12-04T16:00", Due(amount=30, unit=DueUnit.DAY, roll=Roll.FORWARD),
         "2027-01-04T18:00"),
        ("2026-12-04T16:00", Due(amount=30, unit=DueUnit.DAY, roll=Roll.BACK), "2026-12-31T18:00"),
        ("2026-12-04T16:00", Due(amount=-90, unit=DueUnit.DAY), "2026-09-05T18:00"),
        ("2026-01-31T10:00", Due(amount=30, unit=DueUnit.DAY), "2026-03-04T18:00"),
        ("2028-02-01T10:00", Due(amount=28, unit=DueUnit.DAY), "2028-02-29T18:00"),
        ("2026-03-27T10:00", Due(amount=2, unit=DueUnit.DAY, at=time(2, 30)), "2026-03-29T02:30"),
        # one business day: severity 3
        ("2026-12-04T16:00", Due(amount=1, unit=DueUnit.BUSINESS_DAY), "2026-12-07T18:00"),
        ("2026-12-07T16:00", Due(amount=1, unit=DueUnit.BUSINESS_DAY), "2026-12-09T18:00"),
        ("2026-12-04T16:00", Due(amount=0, unit=DueUnit.BUSINESS_DAY), "2026-12-04T18:00"),
        ("2026-12-04T16:00", Due(amount=2, unit=DueUnit.BUSINESS_DAY, at=time(9)),
         "2026-12-09T09:00"),
        ("2026-12-04T17:00", Due(amount=1, unit=DueUnit.BUSINESS_DAY), "2026-12-09T18:00"),
        # working time runs from the anchor, whatever Day 0 is
        ("2026-12-04T17:30", Due(amount=1, unit=DueUnit.BUSINESS_HOUR), "2026-12-07T09:30"),
        ("2026-12-04T16:00", Due(amount=4, unit=DueUnit.BUSINESS_HOUR), "2026-12-07T11:00"),
    ],
)  # fmt: skip
def test_what_is_due_when(anchor: str, rule: Due, wall: str) -> None:
    # Day 0 of 31 January 2026, a Saturday, is 2 February
    found = clock(local(anchor)).due(rule)
    assert found.wall == datetime.fromisoformat(wall)
    assert found.zone == "Europe/Rome"
    assert found.tz_version == "2026f"


@pytest.mark.requirement("J-035")
def test_the_worked_date_of_a_joint_calendar() -> None:
    signed = local("2026-11-25T10:00")
    assert clock(signed).due(TWO_DAYS).instant == utc("2026-11-27T17:00")
    joint = clock(signed, counting=ROME_AND_NEW_YORK)
    assert joint.due(TWO_DAYS).instant == utc("2026-11-30T17:00")
    # Day 0 is the customer's, also on a holiday of the other
    assert clock(local("2026-11-26T10:00"), counting=ROME_AND_NEW_YORK).due(TWO_DAYS).wall == (
        shown("2026-11-30T18:00")
    )
    hours = Due(amount=4, unit=DueUnit.BUSINESS_HOUR)
    assert joint.due(hours).wall == shown("2026-11-27T16:00")  # three hours on 25, one on 27


@pytest.mark.requirement("J-001")
def test_a_time_that_clocks_leave_out_is_the_moment_they_change() -> None:
    rule = Due(amount=2, unit=DueUnit.DAY, at=time(2, 30))
    assert clock(local("2026-03-27T10:00")).due(rule).instant == utc("2026-03-29T01:00")
    assert clock(local("2026-10-23T10:00")).due(rule).instant == utc("2026-10-25T00:30")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"amount": 4001}, "4001 is more than 4000 of day"),
        ({"amount": -4001}, "is more than"),
        ({"unit": DueUnit.BUSINESS_DAY, "roll": Roll.BACK}, "only days of the calendar"),
        ({"unit": DueUnit.ELAPSED_HOUR, "at": time(9)}, "only a day has a time"),
        ({"unit": DueUnit.BUSINESS_HOUR, "at": time(9)}, "only a day has a time"),
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Due(**{"amount": 1, "unit": DueUnit.DAY, **changes})


def test_every_unit_has_its_largest_amount_and_can_be_computed_with_it() -> None:
    assert set(LARGEST) == set(DueUnit)
    start = clock(local("2026-12-04T10:00"), RIYADH)
    for unit in DueUnit:
        found = start.due(Due(amount=LARGEST[unit], unit=unit))
        assert found.instant > start.anchor + timedelta(days=365)


units = st.sampled_from(list(DueUnit))
moments = st.datetimes(shown("2026-01-01T00:00"), shown("2027-12-31T00:00")).map(
    lambda wall: local(wall.isoformat())
)
joint = JointCalendar((ROME, RIYADH))


@settings(deadline=None)
@given(moments, st.timedeltas(timedelta(), timedelta(days=5)), st.integers(-40, 40), units,
       st.sampled_from([SEVENTEEN, None]))  # fmt: skip
def test_a_later_anchor_is_never_due_earlier(
    anchor: datetime, later: timedelta, amount: int, unit: DueUnit, cut_off: time | None
) -> None:
    rule = Due(amount=amount, unit=unit)
    first = clock(anchor, counting=joint, cut_off=cut_off).due(rule)
    assert first.instant <= clock(anchor + later, counting=joint, cut_off=cut_off).due(rule).instant


@settings(deadline=None)
@given(moments, st.integers(-40, 40), units)
def test_a_due_time_survives_its_document(anchor: datetime, amount: int, unit: DueUnit) -> None:
    found = clock(anchor).due(Due(amount=amount, unit=unit))
    document = json.loads(json.dumps(found.to_document()))
    assert DueInstant.from_document(document) == found
    assert found.recomputed("2026f") == found


# --- other rules of a zone -------------------------------------------------------------------
@pytest.fixture
def rome_without_summer_time(tmp_path: Path) -> Iterator[None]:
    """Zone files in which Rome keeps the time of Tunis, as if summer time had been given up."""
    folder = tmp_path / "zoneinfo" / "Europe"
    folder.mkdir(parents=True)
    source = next(
        Path(each) / "Africa" / "Tunis"
        for each in zoneinfo.TZPATH
        if (Path(each) / "Africa" / "Tunis").is_file()
    )
    shutil.copy(source, folder / "Rome")
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path / "zoneinfo"), *before])
    ZoneInfo.clear_cache(only_keys=["Europe/Rome"])
    yield
    zoneinfo.reset_tzpath(before)
    ZoneInfo.clear_cache(only_keys=["Europe/Rome"])


@pytest.fixture
def promised() -> tuple[DueInstant, DueInstant]:
    """A wall time and an instant, by the rules of before."""
    start = clock(local("2027-06-01T10:00"))
    hours = start.due(Due(amount=24, unit=DueUnit.ELAPSED_HOUR))
    return start.due(Due(amount=1, unit=DueUnit.DAY)), hours


def test_working_time_that_ends_in_a_repeated_hour_keeps_its_instant() -> None:
    night = calendar(country=None, weekend=frozenset(), workday_start=time(1), workday_end=time(5))
    start = clock(local("2026-10-25T01:00"), night)
    for hours, hand, is_wall in ((1, 2, True), (2, 2, False), (3, 3, True)):
        found = start.due(Due(amount=hours, unit=DueUnit.BUSINESS_HOUR))
        assert (found.wall, found.is_wall) == (shown(f"2026-10-25T{hand:02}:00"), is_wall)
        assert found.recomputed("2026f") == found


def test_with_new_rules_a_wall_time_moves_its_instant_and_hours_keep_theirs(
    promised: tuple[DueInstant, DueInstant], rome_without_summer_time: None
) -> None:
    by_wall, by_hours = promised
    assert by_wall.instant == utc("2027-06-02T16:00")
    moved = by_wall.recomputed("2027a")
    assert moved == replace(by_wall, instant=utc("2027-06-02T17:00"), tz_version="2027a")
    kept = by_hours.recomputed("2027a")
    assert kept.instant == by_hours.instant
    assert kept.wall == by_hours.wall - timedelta(hours=1)
