"""The calendars document: working hours, the cut-off of Day 0, days that differ from the public."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time

from control_plane.domain.calendars.business import BusinessCalendar
from control_plane.domain.calendars.days import Marked, Years, unknown_year

# of a country and a subdivision, None for the whole country
PublicDays = Callable[[str, str | None], Years]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where somebody works: a time zone, a country and perhaps a part of it."""

    zone: str
    country: str | None = None
    subdivision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Working hours of a day by local clocks."""

    start: time
    end: time


@dataclass(frozen=True, kw_only=True)
class OwnDays:
    """Days that are not as the public holidays say; ``weekend`` None leaves that as it is."""

    weekend: frozenset[int] | None = None
    closed: Marked[str] = field(default_factory=Marked[str])
    open: Marked[bool] = field(default_factory=Marked[bool])
    half_days: Marked[time] = field(default_factory=Marked[time])

    def over(self, below: OwnDays) -> OwnDays:
        """Return these days on top of others: what is named here counts."""
        return OwnDays(
            weekend=below.weekend if self.weekend is None else self.weekend,
            closed=self.closed.over(below.closed),
            # of two days with the same key a calendar takes the open one
            open=self.open.over(below.open.but(self.closed)),
            half_days=self.half_days.over(below.half_days),
        )


_NOTHING = OwnDays()


@dataclass(frozen=True, kw_only=True)
class CalendarRules:
    """The calendars document. ``places`` has the days of countries and of subdivisions."""

    digest: str
    cut_off: time
    vendor: Place
    vendor_hours: Hours
    vendor_days: OwnDays
    customer_hours: Hours
    places: Mapping[tuple[str, str | None], OwnDays]

    def vendor_calendar(self, public: PublicDays) -> BusinessCalendar:
        """Return the calendar of the vendor's team."""
        return self._calendar(self.vendor, self.vendor_hours, self.vendor_days, public)

    def customer_calendar(
        self,
        place: Place,
        public: PublicDays,
        *,
        hours: Hours | None = None,
        days: OwnDays = _NOTHING,
    ) -> BusinessCalendar:
        """Return the calendar of a customer; ``hours`` and ``days`` are what it stated itself.

        A half day of the document that does not end within the customer's hours is left out.
        """
        return self._calendar(place, hours or self.customer_hours, days, public)

    def _calendar(
        self, place: Place, hours: Hours, own: OwnDays, public: PublicDays
    ) -> BusinessCalendar:
        found = _NOTHING
        if place.country is not None:
            found = self.places.get((place.country, None), _NOTHING)
            if place.subdivision is not None:
                found = self.places.get((place.country, place.subdivision), _NOTHING).over(found)
        within = found.half_days.where(lambda end: hours.start < end < hours.end)
        days = own.over(OwnDays(
            weekend=found.weekend, closed=found.closed, open=found.open, half_days=within
        ))  # fmt: skip
        years = unknown_year if place.country is None else public(place.country, place.subdivision)
        return BusinessCalendar(
            zone=place.zone,
            workday_start=hours.start,
            workday_end=hours.end,
            country=place.country,
            subdivision=place.subdivision,
            weekend=days.weekend,
            extra_closed=days.closed,
            extra_open=days.open,
            half_days=days.half_days,
            years=years,
        )
