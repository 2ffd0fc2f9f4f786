"""The days of a calendar that are not like other days of their week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Final

from control_plane.domain.calendars.business import WEEKEND, BusinessCalendar

SEARCHED: Final = timedelta(days=366)  # in which special days are looked for


class SpecialKind(StrEnum):
    """What is special about a day."""

    CLOSED = "closed"
    HALF_DAY = "half_day"
    WORKED = "worked"  # a day of the weekend that is a business day


@dataclass(frozen=True, kw_only=True)
class SpecialDay:
    """A day with its kind; ``why`` names a closed day, ``until`` is the end of a half day."""

    day: date
    kind: SpecialKind
    why: str | None = None
    until: time | None = None


def special_days(calendar: BusinessCalendar, first: date) -> Iterator[SpecialDay]:
    """Yield closed days other than weekends, half days and worked weekends, for about a year."""
    for number in range(SEARCHED.days):
        day = first + timedelta(days=number)
        why = calendar.why_closed(day)
        if why is not None and why != WEEKEND:
            yield SpecialDay(day=day, kind=SpecialKind.CLOSED, why=why)
        elif why is None and calendar.is_rest(day):
            yield SpecialDay(day=day, kind=SpecialKind.WORKED)
        elif why is None and calendar.closing(day) != calendar.workday_end:
            kind = SpecialKind.HALF_DAY
            yield SpecialDay(day=day, kind=kind, until=calendar.closing(day))
