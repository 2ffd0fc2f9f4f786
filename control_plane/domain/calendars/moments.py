"""Wall clocks and instants: the one place that says what a change of the clocks does.

A wall time that does not exist, because clocks went forward, is the moment of that change. One that
exists twice, because they went back, is the first of the two. So a later wall time is never an
earlier instant, and the same holds for a day that a country left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time from ``start``, included, to ``end``, excluded; both aware. Raises ``ValueError``."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a span needs instants with a time zone")
        if self.end <= self.start:
            raise ValueError("a span ends after its start")

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start


def moment_of(wall: datetime, zone: str) -> datetime:
    """Return the instant, in UTC, of a wall time (naive) in a zone.

    See the head of this module for wall times that do not exist or exist twice.
    """
    if wall.tzinfo is not None:
        raise ValueError("a wall time has no time zone of its own")
    clocks = ZoneInfo(zone)
    found = wall.replace(tzinfo=clocks, fold=0).astimezone(UTC)
    if found.astimezone(clocks).replace(tzinfo=None) == wall:
        return found
    return _change_between(wall.replace(tzinfo=clocks, fold=1).astimezone(UTC), found, clocks)


def wall_of(moment: datetime, zone: str) -> datetime:
    """Return what clocks of a zone show at an instant (aware), without a time zone."""
    return aware(moment).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def aware(moment: datetime) -> datetime:
    """Return an instant in UTC. Raises ``ValueError`` where it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return moment.astimezone(UTC)


def intersection(first: Iterable[Span], second: Sequence[Span]) -> tuple[Span, ...]:
    """Return the times that are in both; each argument in its order, without overlaps."""
    return tuple(
        Span(start=max(one.start, other.start), end=min(one.end, other.end))
        for one in first
        for other in second
        if max(one.start, other.start) < min(one.end, other.end)
    )


def without(spans: Iterable[Span], taken: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans without the times that are taken, which may overlap, in any order."""
    left = list(spans)
    for busy in taken:
        left = [part for span in left for part in _cut(span, busy)]
    return tuple(left)


def _cut(span: Span, busy: Span) -> Iterable[Span]:
    if busy.end <= span.start or span.end <= busy.start:
        yield span
        return
    if span.start < busy.start:
        yield Span(start=span.start, end=busy.start)
    if busy.end < span.end:
        yield Span(start=busy.end, end=span.end)


def _change_between(before: datetime, after: datetime, clocks: ZoneInfo) -> datetime:
    """Return the instant at which clocks go forward, known to lie after one and up to another."""
    old = before.astimezone(clocks).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(clocks).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
