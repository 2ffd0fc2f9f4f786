"""Public holidays from the library ``holidays`` (MIT), loaded when the first are asked for.

It is about 20 MB: whatever country is asked for first, the library imports all of them. It answers
a year after the last one that it has with no holidays at all, so that the years are compared here.
Names are asked for in English, since its own choice follows the locale of the process.
"""

from __future__ import annotations

import warnings
from datetime import date, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any, Final

from control_plane.domain.calendars.days import YearOfDays, Years, unknown_year
from control_plane.domain.countries import COUNTRIES
from control_plane.domain.subdivisions import SUBDIVISIONS

_LANGUAGE: Final = "en_US"
_LOADING: Final = Lock()  # the library's first import, and the filters of warnings
_ALL: Final = 366


class LibraryHolidays:
    """The port ``PublicHolidays``."""

    def __call__(self, country: str, subdivision: str | None) -> Years:
        """Return what knows the years of a place."""

        def of_year(year: int) -> YearOfDays:
            return _year(country, subdivision, year)

        return of_year


@lru_cache(maxsize=256)
def _year(country: str, subdivision: str | None, year: int) -> YearOfDays:
    if country not in COUNTRIES:
        return unknown_year(year)
    if subdivision is not None and subdivision not in SUBDIVISIONS.get(country, ()):
        return unknown_year(year)
    with _LOADING:
        found, is_complete = _asked(country, subdivision, year)
    if not found.start_year <= year <= found.end_year:
        return unknown_year(year)
    first = date(year, 1, 1)
    days = [first + timedelta(days=number) for number in range(_ALL)]
    return YearOfDays(
        year=year,
        rest=frozenset(day for day in days if day.year == year and found.is_weekend(day)),
        closed={day: name for day, name in found.items() if day.year == year},
        worked=frozenset(day for day in found.weekend_workdays if day.year == year),
        is_known=is_complete,
    )


def _asked(country: str, subdivision: str | None, year: int) -> tuple[Any, bool]:
    """Return the library's answer, and whether it came without a warning that days are missing."""
    import holidays  # noqa: PLC0415 - some 20 MB, and most processes ask for no day

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = holidays.country_holidays(
            country, subdiv=subdivision, years=year, expand=False, language=_LANGUAGE
        )
    return found, not any("available only" in str(each.message) for each in warned)
