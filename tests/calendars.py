"""Calendars that tests of business days share, with real public holidays."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, Final

from control_plane.adapters.public_holidays import LibraryHolidays
from control_plane.domain.calendars.business import BusinessCalendar, JointCalendar
from control_plane.domain.calendars.moments import Span, moment_of

PUBLIC: Final = LibraryHolidays()


def calendar(
    zone: str = "Europe/Rome",
    country: str | None = "IT",
    subdivision: str | None = None,
    **changes: Any,
) -> BusinessCalendar:
    """Return a calendar from nine to six with the public holidays of a place."""
    facts: dict[str, Any] = {"workday_start": time(9), "workday_end": time(18), **changes}
    if country is not None:
        facts["years"] = PUBLIC(country, subdivision)
    return BusinessCalendar(zone=zone, country=country, subdivision=subdivision, **facts)


ROME: Final = calendar()
LOS_ANGELES: Final = calendar("America/Los_Angeles", "US", "CA")
NEW_YORK: Final = calendar("America/New_York", "US", "NY")
DUBAI: Final = calendar("Asia/Dubai", "AE")
RIYADH: Final = calendar("Asia/Riyadh", "SA")
AUCKLAND: Final = calendar("Pacific/Auckland", "NZ", "AUK")
ROME_AND_NEW_YORK: Final = JointCalendar((ROME, calendar("America/New_York", "US")))


def utc(text: str) -> datetime:
    """Return an instant of a text in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str = "Europe/Rome") -> datetime:
    """Return the instant of a wall time."""
    return moment_of(datetime.fromisoformat(text), zone)


def span(start: str, end: str, zone: str = "Europe/Rome") -> Span:
    """Return a span between two wall times."""
    return Span(start=local(start, zone), end=local(end, zone))


def shown(text: str) -> datetime:
    """Return a wall time: no instant until a zone is added."""
    return datetime.fromisoformat(text)
