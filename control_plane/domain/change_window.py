"""Change windows: the times in which an approved plan may begin to be applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAYS_AHEAD: Final = 400  # what does not open within a year is taken never to open
_ROUNDS: Final = 4000


@dataclass(frozen=True, kw_only=True)
class Blackout:
    """Days on which a window does not open, both included."""

    first: date
    last: date


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A time from ``start``, included, to ``end``, excluded; both aware, UTC."""

    start: datetime
    end: datetime

    def has(self, moment: datetime) -> bool:
        """Tell whether a moment is in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True, kw_only=True)
class ChangeWindow:
    """Open on ``weekdays`` (0 is Monday) from ``start`` to ``end`` by the clocks of ``zone``.

    With an end that is not after its start it closes on the next day. Neither the day on which it
    opens nor, past midnight, the next one may be in a blackout: there it ends at midnight.
    """

    name: str
    weekdays: frozenset[int]
    start: time
    end: time
    zone: str
    blackouts: tuple[Blackout, ...] = ()

    def openings(self, after: datetime) -> Iterator[Opening]:
        """Yield the openings that end after a moment, in their order, for about a year."""
        zone = ZoneInfo(self.zone)
        first = after.astimezone(zone).date() - timedelta(days=1)
        for number in range(_DAYS_AHEAD):
            day = first + timedelta(days=number)
            if day.weekday() not in self.weekdays or self._is_out(day):
                continue
            found = Opening(start=_moment(day, self.start, zone), end=self._end(day, zone))
            if found.end > after and found.start < found.end:
                yield found

    def _end(self, day: date, zone: ZoneInfo) -> datetime:
        if self.end > self.start:
            return _moment(day, self.end, zone)
        next_day = day + timedelta(days=1)
        return _moment(next_day, time() if self._is_out(next_day) else self.end, zone)

    def _is_out(self, day: date) -> bool:
        return any(each.first <= day <= each.last for each in self.blackouts)


def next_opening(windows: Sequence[ChangeWindow], now: datetime) -> Opening | None:
    """Return the next time that is inside all windows, the present one if there is one.

    None where they do not open together within a year. Without windows it never closes.
    """
    if not windows:
        raise ValueError("without a window there is nothing to open")
    streams = [iter(window.openings(now)) for window in windows]
    present = [next(stream, None) for stream in streams]
    for _ in range(_ROUNDS):
        known = [opening for opening in present if opening is not None]
        if len(known) < len(present):
            return None
        start, end = max(o.start for o in known), min(o.end for o in known)
        if start < end:
            return Opening(start=start, end=end)
        behind = min(range(len(known)), key=lambda place: known[place].end)
        present[behind] = next(streams[behind], None)
    return None


def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return a time by the clocks of a zone in UTC; the first of two where clocks go back."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
