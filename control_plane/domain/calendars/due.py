"""When something is due: a rule, the clock of a tenant's journey, and an instant that is kept.

A day of the journey ends with the customer's working day. Hours run from the anchor itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.calendars.business import BusinessCalendar, Calendar, is_business
from control_plane.domain.calendars.counting import add_business_days, add_business_time
from control_plane.domain.calendars.moments import aware, moment_of, wall_of

LARGEST: Final[Mapping[str, int]] = {
    "elapsed_hour": 100_000, "day": 4_000, "business_hour": 10_000, "business_day": 2_500,
}  # fmt: skip


class DueUnit(StrEnum):
    """What an amount counts."""

    ELAPSED_HOUR = "elapsed_hour"  # hours on any day and at night, from the anchor
    DAY = "day"  # days of the calendar, from Day 0
    BUSINESS_HOUR = "business_hour"  # hours of working time, from the anchor
    BUSINESS_DAY = "business_day"  # business days, from Day 0


class Roll(StrEnum):
    """Where a day goes that is not a business day."""

    NONE = "none"  # it stays
    FORWARD = "forward"  # to the next business day
    BACK = "back"  # to the one before


@dataclass(frozen=True, kw_only=True)
class Due:
    """A rule: an amount of a unit after the anchor, before it where the amount is negative.

    ``at`` is a time by the customer's clocks for units of days, None the end of the working day;
    ``roll`` is for the unit ``day``. Raises ``ValueError`` for what does not fit the unit.
    """

    amount: int
    unit: DueUnit
    roll: Roll = Roll.NONE
    at: time | None = None

    def __post_init__(self) -> None:
        if abs(self.amount) > LARGEST[self.unit]:
            raise ValueError(f"{self.amount} is more than {LARGEST[self.unit]} of {self.unit}")
        if self.roll is not Roll.NONE and self.unit is not DueUnit.DAY:
            raise ValueError("only days of the calendar are moved to a business day")
        if self.at is not None and self.unit not in {DueUnit.DAY, DueUnit.BUSINESS_DAY}:
            raise ValueError("only a day has a time at which it is due")


@dataclass(frozen=True, kw_only=True)
class DueInstant:
    """When something is due, with all that is needed to compute it again.

    ``instant`` is aware, UTC; ``wall`` is what clocks of ``zone`` show then, by the rules of
    ``tz_version``. With ``is_wall`` people were promised the wall time, otherwise the instant.
    """

    instant: datetime
    zone: str
    wall: datetime
    tz_version: str
    is_wall: bool

    def recomputed(self, tz_version: str) -> DueInstant:
        """Return it by the rules of zones that this process has, whose version is given."""
        if self.is_wall:
            moved = replace(self, instant=moment_of(self.wall, self.zone))
        else:
            moved = replace(self, wall=wall_of(self.instant, self.zone))
        return replace(moved, tz_version=tz_version)

    def to_document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "instant": self.instant.isoformat().replace("+00:00", "Z"),
            "zone": self.zone,
            "wall": self.wall.isoformat(),
            "tz_version": self.tz_version,
            "is_wall": self.is_wall,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> DueInstant:
        """Read it from its JSON object."""
        return cls(
            instant=aware(datetime.fromisoformat(document["instant"])),
            zone=document["zone"],
            wall=datetime.fromisoformat(document["wall"]),
            tz_version=document["tz_version"],
            is_wall=document["is_wall"],
        )


@dataclass(frozen=True, kw_only=True)
class JourneyClock:
    """A tenant's time: an anchor such as the signing, its Day 0, and what is due after it.

    ``customer`` says what days and clocks are; ``counting`` counts business days and hours, and is
    a joint calendar where both parties have to work. Without ``cut_off`` Day 0 is the local date of
    the anchor; with it, only a business day before that time is, and later the next business day.
    """

    anchor: datetime
    customer: BusinessCalendar
    counting: Calendar
    tz_version: str
    cut_off: time | None = None

    @property
    def day_zero(self) -> date:
        """The date of Day 0 by the customer's clocks.

        On a half day it is the end of that day that counts, where it is before the cut-off.
        """
        wall = wall_of(self.anchor, self.customer.zone)
        day = wall.date()
        if self.cut_off is None:
            return day
        ends = min(self.cut_off, self.customer.half_days.of(day) or self.cut_off)
        if is_business(self.customer, day) and wall.time() < ends:
            return day
        return add_business_days(self.customer, day, 1)

    def day_number(self, now: datetime) -> int:
        """Return which day of the journey it is by the customer's clocks; Day 0 is 0."""
        return (wall_of(now, self.customer.zone).date() - self.day_zero).days

    def due(self, rule: Due) -> DueInstant:
        """Return when a rule is due. Raises ``InvalidInput`` where there is no working time."""
        match rule.unit:
            case DueUnit.ELAPSED_HOUR:
                return self._at(aware(self.anchor) + timedelta(hours=rule.amount), is_wall=False)
            case DueUnit.BUSINESS_HOUR:
                amount = timedelta(hours=rule.amount)
                return self._at(add_business_time(self.counting, self.anchor, amount), is_wall=True)
            case DueUnit.DAY:
                day = self._rolled(self.day_zero + timedelta(days=rule.amount), rule.roll)
            case DueUnit.BUSINESS_DAY:
                day = add_business_days(self.counting, self.day_zero, rule.amount)
        at = self.customer.closing(day) if rule.at is None else rule.at
        return DueInstant(
            instant=moment_of(datetime.combine(day, at), self.customer.zone),
            zone=self.customer.zone,
            wall=datetime.combine(day, at),
            tz_version=self.tz_version,
            is_wall=True,
        )

    def _rolled(self, day: date, roll: Roll) -> date:
        if roll is Roll.NONE or is_business(self.counting, day):
            return day
        return add_business_days(self.counting, day, 1 if roll is Roll.FORWARD else -1)

    def _at(self, moment: datetime, *, is_wall: bool) -> DueInstant:
        zone = self.customer.zone
        wall = wall_of(moment, zone)
        return DueInstant(
            instant=moment,
            zone=zone,
            wall=wall,
            tz_version=self.tz_version,
            # a wall time that is there twice does not say which of the two this is
            is_wall=is_wall and moment_of(wall, zone) == moment,
        )  # fmt: skip
