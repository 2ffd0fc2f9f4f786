"""Adding and counting business days and business hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

from control_plane.domain.calendars.business import Calendar, is_business
from control_plane.domain.calendars.moments import aware, wall_of
from control_plane.domain.errors import InvalidInput

_DAY: Final = timedelta(days=1)
_LONGEST_BREAK: Final = 400  # days: who does not work within a year is taken never to work


def add_business_days(calendar: Calendar, day: date, count: int) -> date:
    """Return the ``count``-th business day after a day, before it where ``count`` is negative.

    With 0 it is the day itself or the next business day. Raises ``InvalidInput`` where the calendar
    has no business day within a year.
    """
    if count == 0:
        return day if is_business(calendar, day) else add_business_days(calendar, day, 1)
    step = _DAY if count > 0 else -_DAY
    left = abs(count)
    found = last = day
    while left:
        found += step
        if is_business(calendar, found):
            left, last = left - 1, found
        elif abs(found - last).days > _LONGEST_BREAK:
            raise _never_open(last)
    return found


def count_business_days(calendar: Calendar, start: date, end: date) -> int:
    """Return how many business days lie after ``start`` up to and with ``end``.

    Where ``end`` is earlier: minus those from ``end`` on and before ``start``.
    """
    if end < start:
        days = (end + _DAY * number for number in range((start - end).days))
        return -sum(is_business(calendar, day) for day in days)
    days = (start + _DAY * number for number in range(1, (end - start).days + 1))
    return sum(is_business(calendar, day) for day in days)


def add_business_time(calendar: Calendar, moment: datetime, amount: timedelta) -> datetime:
    """Return the instant until which ``amount`` of working time has passed, UTC.

    The earliest one: what ends with a working day is not moved to the next morning. A negative
    amount goes back to the latest such instant; with zero it is the moment itself or the next
    start of working time. Raises ``InvalidInput`` where the calendar has none within a year.
    """
    moment = aware(moment)
    left = abs(amount)
    if amount < timedelta():
        for start, end in _back(calendar, moment):
            if end - start >= left:
                return end - left
            left -= end - start
    for start, end in _forward(calendar, moment):
        if end - start >= left:
            return start + left
        left -= end - start
    raise _never_open(moment.date())


def count_business_time(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Return how much working time lies between two instants; negative where ``end`` is earlier."""
    start, end = aware(start), aware(end)
    if end < start:
        return -count_business_time(calendar, end, start)
    day, last = wall_of(start, calendar.zone).date() - _DAY, wall_of(end, calendar.zone).date()
    found = timedelta()
    while day <= last:
        for span in calendar.spans(day):
            found += max(min(span.end, end) - max(span.start, start), timedelta())
        day += _DAY
    return found


def _forward(calendar: Calendar, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the working times after a moment, until there is none within a year."""
    day = last = wall_of(moment, calendar.zone).date() - _DAY
    while (day - last).days <= _LONGEST_BREAK:
        for span in calendar.spans(day):
            if span.end > moment:
                last = day
                yield max(span.start, moment), span.end
        day += _DAY


def _back(calendar: Calendar, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the working times before a moment, latest first, until there is none in a year."""
    day = last = wall_of(moment, calendar.zone).date() + _DAY
    while (last - day).days <= _LONGEST_BREAK:
        for span in reversed(calendar.spans(day)):
            if span.start < moment:
                last = day
                yield span.start, min(span.end, moment)
        day -= _DAY
    raise _never_open(last)


def _never_open(day: date) -> InvalidInput:
    return InvalidInput(
        f"There is no common working time within a year of {day}: check weekends, closed days and "
        "hours of the calendars.",
        field="calendar",
    )
