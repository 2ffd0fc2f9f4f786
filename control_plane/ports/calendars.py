"""Public holidays and the rules of time zones, as business calendars need them."""

from __future__ import annotations

from typing import Protocol

from control_plane.domain.calendars.days import Years


class PublicHolidays(Protocol):
    """The public holidays of countries and their subdivisions."""

    def __call__(self, country: str, subdivision: str | None) -> Years:
        """Return what knows the years of a place; ``country`` is an ISO 3166-1 code.

        A year of a place that nobody knows is one whose ``is_known`` is false: Saturday and Sunday
        are free there, and no holiday is. Nothing is raised.
        """


class TimeZones(Protocol):
    """The zone rules that this process has."""

    def version(self, zone: str) -> str:
        """Return the version of the rules of a zone, for example ``2026f``."""
