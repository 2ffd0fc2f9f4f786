"""The first slot for a kickoff, and why there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.calendars.business import BusinessCalendar, is_business
from control_plane.domain.calendars.due import Due, DueUnit, JourneyClock
from control_plane.domain.calendars.meeting import (
    Attendee,
    Meeting,
    NoSlot,
    Slot,
    Wish,
    first_meeting,
)
from control_plane.domain.calendars.moments import Span, wall_of
from tests.calendars import LOS_ANGELES, NEW_YORK, ROME, calendar, local, shown, span

HOUR = timedelta(hours=1)
KATHMANDU = calendar("Asia/Kathmandu", None)


def customer(of: BusinessCalendar = ROME, *busy: Span) -> Attendee:
    return Attendee(name="Customer", calendar=of, busy=busy)


def vendor(of: BusinessCalendar = ROME, *busy: Span, name: str = "Vendor") -> Attendee:
    return Attendee(name=name, calendar=of, busy=busy)


def wish(earliest: datetime, latest: datetime, *who: Attendee, **changes) -> Wish:
    facts = {"length": HOUR, **changes}
    return Wish(earliest=earliest, latest=latest, attendees=who or (customer(), vendor()), **facts)


FRIDAY, WEDNESDAY = local("2026-12-04T16:10"), local("2026-12-09T18:00")
ALL_DAY = span("2026-12-04T00:00", "2026-12-10T00:00")


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        (wish(FRIDAY, WEDNESDAY), "2026-12-04T16:30"),
        (wish(local("2026-12-04T16:30"), WEDNESDAY), "2026-12-04T16:30"),
        (wish(local("2026-12-04T17:01"), WEDNESDAY), "2026-12-07T09:00"),  # not until after six
        (wish(FRIDAY, WEDNESDAY, length=timedelta(minutes=100)), "2026-12-07T09:00"),
        (wish(FRIDAY, WEDNESDAY, customer(), vendor(NEW_YORK)), "2026-12-04T16:30"),
        (wish(local("2026-12-05T10:00"), WEDNESDAY, customer(), vendor(NEW_YORK)),
         "2026-12-07T15:00"),
        # busy until ten past, so at the next half hour; ends meet without a gap
        (wish(FRIDAY, WEDNESDAY, customer(), vendor(
            ROME, span("2026-12-04T16:00", "2026-12-07T09:10"),
            span("2026-12-07T10:30", "2026-12-07T12:00"))), "2026-12-07T09:30"),
        (wish(FRIDAY, WEDNESDAY, customer(ROME, span("2026-12-04T16:00", "2026-12-07T10:00")),
              vendor(ROME, span("2026-12-07T10:30", "2026-12-07T12:00"))), "2026-12-07T12:00"),
        # it may begin at the limit itself
        (wish(FRIDAY, local("2026-12-04T16:30")), "2026-12-04T16:30"),
        # half hours are those of the customer's clocks: Kathmandu is 5:45 ahead of UTC
        (wish(local("2026-12-07T08:00"), WEDNESDAY, customer(), vendor(KATHMANDU)),
         "2026-12-07T09:00"),
        (wish(local("2026-12-07T08:00"), WEDNESDAY, customer(KATHMANDU), vendor()),
         "2026-12-07T09:15"),
    ],
)  # fmt: skip
def test_the_first_slot(asked: Wish, start: str) -> None:
    begin = local(start)
    assert first_meeting(asked) == Meeting(
        slot=Slot(time=Span(start=begin, end=begin + asked.length))
    )


def test_the_half_hours_are_the_customers() -> None:
    found = first_meeting(wish(local("2026-12-07T08:00"), WEDNESDAY, customer(KATHMANDU), vendor()))
    assert found.slot is not None
    assert wall_of(found.slot.time.start, "Asia/Kathmandu") == shown("2026-12-07T14:00")


def test_the_candidate_who_is_free_first_holds_it_and_the_first_named_of_two() -> None:
    early = vendor(ROME, name="Ada")
    busy = vendor(ROME, ALL_DAY, name="Bea")
    asked = wish(FRIDAY, WEDNESDAY, customer(), candidates=(busy, early))
    assert first_meeting(asked).slot == Slot(
        time=span("2026-12-04T16:30", "2026-12-04T17:30"), host="Ada"
    )
    both = wish(FRIDAY, WEDNESDAY, customer(), candidates=(vendor(name="Cid"), early))
    found = first_meeting(both).slot
    assert found is not None
    assert found.host == "Cid"


def test_rome_and_los_angeles_have_no_common_hours() -> None:
    found = first_meeting(wish(FRIDAY, WEDNESDAY, customer(), vendor(LOS_ANGELES)))
    assert found == Meeting(
        slot=None, reason=NoSlot.NO_COMMON_HOURS, because_of=("Customer", "Vendor")
    )
    assert found.sentence == (
        "The working hours of Customer and Vendor do not overlap for long enough."
    )


def test_the_nearest_slot_after_the_limit_is_named() -> None:
    # from 8 to 29 March 2026 it is an hour less between them
    late = wish(
        local("2026-03-04T10:00"), local("2026-03-06T18:00"), customer(), vendor(LOS_ANGELES)
    )
    found = first_meeting(late)
    assert found.reason is NoSlot.NO_COMMON_HOURS
    assert found.alternative == Slot(time=span("2026-03-09T17:00", "2026-03-09T18:00"))
    early = replace(vendor(LOS_ANGELES), name="Early", calendar=calendar(
        "America/Los_Angeles", "US", "CA", workday_start=time(7)))  # fmt: skip
    asked = wish(FRIDAY, WEDNESDAY, customer(), candidates=(vendor(LOS_ANGELES), early))
    assert first_meeting(asked).slot == Slot(
        time=span("2026-12-04T16:30", "2026-12-04T17:30"), host="Early"
    )


def test_all_busy_names_those_who_are() -> None:
    found = first_meeting(wish(FRIDAY, WEDNESDAY, customer(), vendor(ROME, ALL_DAY)))
    assert found.reason is NoSlot.ALL_BUSY
    assert found.because_of == ("Vendor",)
    assert found.sentence == "In every common slot somebody is busy: Vendor."
    assert found.alternative == Slot(time=span("2026-12-10T09:00", "2026-12-10T10:00"))


def test_a_holiday_of_one_up_to_the_limit_is_named_alone() -> None:
    asked = wish(local("2026-12-24T18:00"), local("2026-12-26T18:00"), customer(), vendor(NEW_YORK))
    found = first_meeting(asked)
    assert found.reason is NoSlot.NO_COMMON_HOURS
    assert found.because_of == ("Customer",)
    assert found.sentence == "Customer has no working time of that length up to the limit."
    assert found.alternative == Slot(time=span("2026-12-28T15:00", "2026-12-28T16:00"))


def test_a_limit_that_has_passed_is_named_and_the_next_slot_is_not_before_now() -> None:
    found = first_meeting(wish(WEDNESDAY, FRIDAY))
    assert found.reason is NoSlot.TOO_LATE
    assert found.sentence == "The limit had passed before a meeting could start."
    assert found.alternative == Slot(time=span("2026-12-10T09:00", "2026-12-10T10:00"))


def test_an_absence_of_months_leaves_no_alternative() -> None:
    away = vendor(ROME, span("2026-12-01T00:00", "2027-12-01T00:00"))
    found = first_meeting(wish(FRIDAY, WEDNESDAY, customer(), away))
    assert found == Meeting(slot=None, reason=NoSlot.ALL_BUSY, because_of=("Vendor",))


def test_a_kickoff_within_two_business_days_of_the_signing() -> None:
    signed = local("2026-12-04T16:10")
    clock = JourneyClock(
        anchor=signed, customer=ROME, counting=ROME, tz_version="2026f", cut_off=time(17)
    )
    limit = clock.due(Due(amount=2, unit=DueUnit.BUSINESS_DAY)).instant
    assert limit == WEDNESDAY
    found = first_meeting(wish(signed, limit, customer(), vendor(NEW_YORK)))
    assert found.slot == Slot(time=span("2026-12-04T16:30", "2026-12-04T17:30"))


@pytest.mark.parametrize("length", [timedelta(), -HOUR, timedelta(hours=9)])
def test_a_length_that_cannot_be_is_refused(length: timedelta) -> None:
    with pytest.raises(ValueError, match="a meeting takes"):
        wish(FRIDAY, WEDNESDAY, length=length)


def test_a_meeting_of_nobody_or_at_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one attendee"):
        Wish(earliest=FRIDAY, latest=WEDNESDAY, length=HOUR, attendees=())
    with pytest.raises(ValueError, match="needs a time zone"):
        wish(shown("2026-12-04T00:00"), WEDNESDAY)


moments = st.datetimes(shown("2026-11-20T00:00"), shown("2026-12-20T00:00")).map(
    lambda wall: local(wall.replace(microsecond=0).isoformat())
)
spans = st.builds(
    lambda start, length: Span(start=start, end=start + length),
    moments, st.timedeltas(timedelta(minutes=1), timedelta(days=2)),
)  # fmt: skip
busy = st.lists(spans, max_size=6).map(tuple)


@settings(max_examples=60, deadline=None)
@given(moments, st.sampled_from([ROME, NEW_YORK]), busy, busy, st.sampled_from([30, 60, 90]))
def test_a_slot_is_in_everybodys_hours_and_time_and_nothing_earlier_is(
    earliest: datetime, other: BusinessCalendar, one: tuple[Span, ...], two: tuple[Span, ...],
    minutes: int,
) -> None:  # fmt: skip
    length = timedelta(minutes=minutes)
    who = (customer(ROME, *one), vendor(other, *two))
    asked = Wish(
        earliest=earliest, latest=earliest + timedelta(days=3), length=length, attendees=who
    )
    found = first_meeting(asked)

    def fits(start: datetime) -> bool:
        return all(_is_free(each, Span(start=start, end=start + length)) for each in who)

    half_hours = (
        local((shown("2026-11-19T00:00") + timedelta(minutes=30) * number).isoformat())
        for number in range(48 * 40)
    )
    expected = next((s for s in half_hours if s >= earliest and fits(s)), None)
    if expected is not None and expected <= asked.latest:
        assert found.slot == Slot(time=Span(start=expected, end=expected + length))
    else:
        assert found.slot is None
        assert found.reason is not None
        if expected is not None:
            assert found.alternative == Slot(time=Span(start=expected, end=expected + length))


def _is_free(attendee: Attendee, slot: Span) -> bool:
    """Tell by the attendee's own clocks, without what the product computes spans with."""
    first, last = (wall_of(at, attendee.calendar.zone) for at in (slot.start, slot.end))
    return (
        first.date() == last.date()
        and is_business(attendee.calendar, first.date())
        and time(9) <= first.time()
        and last.time() <= time(18)
        and not any(each.start < slot.end and slot.start < each.end for each in attendee.busy)
    )
