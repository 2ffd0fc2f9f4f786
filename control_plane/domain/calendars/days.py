"""What is known of the days of a year in a country, and days that a document or tenant adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

Value = TypeVar("Value")
SATURDAY: Final = 5  # as ``date.weekday`` counts
ESTIMATED: Final = "(estimated)"
_LEAP_YEAR: Final = 2024  # has every day that a year may have
_NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class YearOfDays:
    """The days of one year: public holidays by name, weekends, weekend days that are worked.

    ``is_known`` is false where nobody knows the holidays, so that there are none here.
    """

    year: int
    rest: frozenset[date]
    closed: Mapping[date, str] = field(default_factory=dict)
    worked: frozenset[date] = frozenset()
    is_known: bool = True


Years = Callable[[int], YearOfDays]


@lru_cache(maxsize=32)
def unknown_year(year: int) -> YearOfDays:
    """Return a year with free Saturdays and Sundays whose holidays nobody knows."""
    first = date(year, 1, 1)
    days = (first + timedelta(days=number) for number in range(366))
    rest = frozenset(day for day in days if day.year == year and day.weekday() >= SATURDAY)
    return YearOfDays(year=year, rest=rest, is_known=False)


@dataclass(frozen=True, kw_only=True)
class Marked(Generic[Value]):
    """Values of days: of dates, and of a day of every year by ``(month, day)``. A date wins."""

    dates: Mapping[date, Value] = field(default_factory=lambda: _NONE)
    yearly: Mapping[tuple[int, int], Value] = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        for month, day in self.yearly:
            date(_LEAP_YEAR, month, day)  # raises ValueError for one that no year has

    def of(self, day: date) -> Value | None:
        """Return the value of a day, None where it has none."""
        found = self.dates.get(day)
        return self.yearly.get((day.month, day.day)) if found is None else found

    def over(self, below: Marked[Value]) -> Marked[Value]:
        """Return these on top of others."""
        return Marked(dates={**below.dates, **self.dates}, yearly={**below.yearly, **self.yearly})

    def but(self, named: Marked[Any]) -> Marked[Value]:
        """Return them without the days that others name."""
        return Marked(
            dates={day: value for day, value in self.dates.items() if day not in named.dates},
            yearly={day: value for day, value in self.yearly.items() if day not in named.yearly},
        )

    def where(self, holds: Callable[[Value], bool]) -> Marked[Value]:
        """Return those whose values a condition holds for."""
        return Marked(
            dates={day: value for day, value in self.dates.items() if holds(value)},
            yearly={day: value for day, value in self.yearly.items() if holds(value)},
        )
