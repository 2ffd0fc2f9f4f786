"""Business calendars: which days are worked, in which hours, and for several parties at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Protocol

from control_plane.domain.calendars.days import Marked, YearOfDays, Years, unknown_year
from control_plane.domain.calendars.moments import Span, intersection, moment_of

_DAY = timedelta(days=1)
WEEKEND = "weekend"


class Calendar(Protocol):
    """What counting needs of a calendar; days are those of the clocks of ``zone``."""

    @property
    def zone(self) -> str:
        """The time zone whose dates the days are."""

    def why_closed(self, day: date) -> str | None:
        """Return why a day is not worked, None for a business day."""

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return the working times of a day, in their order."""


def is_business(calendar: Calendar, day: date) -> bool:
    """Tell whether a day is a business day."""
    return calendar.why_closed(day) is None


@dataclass(frozen=True, kw_only=True)
class BusinessCalendar:
    """The working days and hours of one party, by the clocks of ``zone``.

    ``years`` knows the public holidays of ``country`` and ``subdivision``, and weekends there;
    ``weekend`` (0 is Monday) replaces these. ``extra_closed`` names more closed days,
    ``extra_open`` days that are worked all the same, ``half_days`` when a business day ends early.
    A date counts before a day of every year, and both before what ``years`` says. Raises
    ``ValueError`` for hours that end before they begin and a week without a working day.
    """

    zone: str
    workday_start: time
    workday_end: time
    country: str | None = None
    subdivision: str | None = None
    weekend: frozenset[int] | None = None
    extra_closed: Marked[str] = field(default_factory=Marked[str])
    extra_open: Marked[bool] = field(default_factory=Marked[bool])
    half_days: Marked[time] = field(default_factory=Marked[time])
    years: Years = field(default=unknown_year, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.workday_end <= self.workday_start:
            raise ValueError("a working day ends after its start")
        if self.weekend is not None and not self.weekend < frozenset(range(7)):
            raise ValueError("a weekend has days from 0 to 6 and leaves a working day")
        for end in (*self.half_days.dates.values(), *self.half_days.yearly.values()):
            if not self.workday_start < end < self.workday_end:
                raise ValueError("a half day ends within the working hours")

    def why_closed(self, day: date) -> str | None:
        """Return the name of the holiday, or ``weekend``; None for a business day."""
        if day in self.extra_open.dates:
            return None
        if day in self.extra_closed.dates:
            return self.extra_closed.dates[day]
        if self.extra_open.of(day):
            return None
        return self.extra_closed.of(day) or self._why_closed_there(day, self.years(day.year))

    def _why_closed_there(self, day: date, year: YearOfDays) -> str | None:
        if day in year.worked:
            return None
        holiday = year.closed.get(day)
        if holiday is not None:
            return holiday
        return WEEKEND if self.is_rest(day) else None

    def is_rest(self, day: date) -> bool:
        """Tell whether a day is one of the weekend, worked or not."""
        if self.weekend is not None:
            return day.weekday() in self.weekend
        return day in self.years(day.year).rest

    def closing(self, day: date) -> time:
        """Return when a day ends by the clocks, whether it is a business day or not."""
        return self.half_days.of(day) or self.workday_end

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return the working hours of a day; none on a closed one."""
        if not is_business(self, day):
            return ()
        start = moment_of(datetime.combine(day, self.workday_start), self.zone)
        end = moment_of(datetime.combine(day, self.closing(day)), self.zone)
        return (Span(start=start, end=end),) if start < end else ()

    def warnings(self, first: date, last: date) -> tuple[str, ...]:
        """Return a sentence for each thing that is not known about the days of a time."""
        if self.country is None:
            return ("No country is known: its public holidays count as working days.",)
        place = "-".join(filter(None, (self.country, self.subdivision)))
        missing = [
            str(year) for year in range(first.year, last.year + 1) if not self.years(year).is_known
        ]
        if not missing:
            return ()
        sentence = f"The public holidays of {place} are not known for {', '.join(missing)}"
        return (f"{sentence}: they count as working days.",)


@dataclass(frozen=True)
class JointCalendar:
    """Open only where all of its calendars are. Days are those of the first one's zone."""

    calendars: tuple[BusinessCalendar, ...]

    def __post_init__(self) -> None:
        if not self.calendars:
            raise ValueError("a joint calendar has at least one calendar")

    @property
    def zone(self) -> str:
        """The zone of the first calendar."""
        return self.calendars[0].zone

    def why_closed(self, day: date) -> str | None:
        """Return the first reason of any calendar, with the country it is from."""
        for calendar in self.calendars:
            reason = calendar.why_closed(day)
            if reason is not None:
                return f"{reason} ({calendar.country})" if calendar.country else reason
        return None

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return the times of a day that are in the working hours of all.

        Each party's own date decides whether it works then, so that a Friday in Auckland is open
        while it is Thursday in Los Angeles.
        """
        found = self.calendars[0].spans(day)
        for calendar in self.calendars[1:]:
            found = intersection(found, tuple(_around(calendar, day)))
        return found

    def warnings(self, first: date, last: date) -> tuple[str, ...]:
        """Return the warnings of all calendars, each once."""
        found = (text for each in self.calendars for text in each.warnings(first, last))
        return tuple(dict.fromkeys(found))


def _around(calendar: BusinessCalendar, day: date) -> Iterator[Span]:
    """Yield the working hours that may overlap with a day anywhere on earth."""
    for near in (day - _DAY, day, day + _DAY):
        yield from calendar.spans(near)
