"""The first slot for a meeting in the working hours of all parties, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from typing import Final

from control_plane.domain.calendars.business import BusinessCalendar, JointCalendar
from control_plane.domain.calendars.moments import Span, aware, wall_of, without

LONGEST: Final = timedelta(hours=8)
_GRID: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)
_DAYS_AFTER: Final = 60  # in which an alternative is looked for


class NoSlot(StrEnum):
    """Why there is no slot up to the limit."""

    TOO_LATE = "too_late"  # the limit had passed before anybody could meet
    NO_COMMON_HOURS = "no_common_hours"  # the working hours do not overlap for long enough
    ALL_BUSY = "all_busy"  # they do, and in each slot somebody has something else


@dataclass(frozen=True, kw_only=True)
class Attendee:
    """Somebody who is needed: when they work, and when they have something else."""

    name: str
    calendar: BusinessCalendar
    busy: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A time for the meeting, and the candidate who holds it, if candidates were named."""

    time: Span
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """The first slot; without one the reason, and the first slot after the limit if there is one.

    ``because_of`` names those whose hours do not overlap or who are busy.
    """

    slot: Slot | None
    reason: NoSlot | None = None
    because_of: tuple[str, ...] = ()
    alternative: Slot | None = None

    @property
    def sentence(self) -> str:
        """What a person reads of the reason; empty with a slot."""
        names = " and ".join(self.because_of)
        match self.reason:
            case None:
                return ""
            case NoSlot.TOO_LATE:
                return "The limit had passed before a meeting could start."
            case NoSlot.NO_COMMON_HOURS if len(self.because_of) == 1:
                return f"{names} has no working time of that length up to the limit."
            case NoSlot.NO_COMMON_HOURS:
                return f"The working hours of {names} do not overlap for long enough."
            case NoSlot.ALL_BUSY:
                return f"In every common slot somebody is busy: {names}."


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is looked for: a meeting of ``length`` that starts from ``earliest`` up to ``latest``.

    All of ``attendees`` take part, and one of ``candidates`` where there are any. The first
    attendee is the customer: half hours are those of its clocks. Raises ``ValueError``.
    """

    earliest: datetime
    latest: datetime
    length: timedelta
    attendees: tuple[Attendee, ...]
    candidates: tuple[Attendee, ...] = ()

    def __post_init__(self) -> None:
        if not self.attendees:
            raise ValueError("a meeting has at least one attendee")
        if not timedelta() < self.length <= LONGEST:
            raise ValueError(f"a meeting takes more than no time and at most {LONGEST}")
        aware(self.earliest)
        aware(self.latest)

    @property
    def groups(self) -> tuple[tuple[Attendee, ...], ...]:
        """Who could meet: the attendees with each candidate, in the candidates' order."""
        if not self.candidates:
            return (self.attendees,)
        return tuple((*self.attendees, each) for each in self.candidates)


def first_meeting(wish: Wish) -> Meeting:
    """Return the first slot on a full or half hour; the same input has the same answer.

    Of slots that begin at the same time it is that of the candidate named first.
    """
    found = _first(wish, wish.earliest, wish.latest)
    if found is not None:
        return Meeting(slot=found)
    after = max(aware(wish.latest), aware(wish.earliest))
    alternative = _first(wish, after, after + _DAYS_AFTER * _DAY)
    reason, names = _reason(wish)
    return Meeting(slot=None, reason=reason, because_of=names, alternative=alternative)


def _first(wish: Wish, earliest: datetime, latest: datetime) -> Slot | None:
    best: Slot | None = None
    for group in wish.groups:
        found = next(_slots(wish, group, earliest, latest, are_free=True), None)
        if found is not None and (best is None or found.start < best.time.start):
            best = Slot(time=found, host=group[-1].name if wish.candidates else None)
    return best


def _slots(
    wish: Wish, group: Sequence[Attendee], earliest: datetime, latest: datetime, *, are_free: bool
) -> Iterator[Span]:
    """Yield the slots that a group has in its hours, in which nobody is busy with ``are_free``."""
    earliest, latest = aware(earliest), aware(latest)
    joint = JointCalendar(tuple(each.calendar for each in group))
    taken = [span for each in group for span in each.busy] if are_free else []
    day = wall_of(earliest, joint.zone).date() - _DAY
    while day <= wall_of(latest, joint.zone).date():
        for span in without(joint.spans(day), taken):
            start = _next_half_hour(max(span.start, earliest), joint.zone)
            while start <= latest and start + wish.length <= span.end:
                yield Span(start=start, end=start + wish.length)
                start = _next_half_hour(start + timedelta.resolution, joint.zone)
        day += _DAY


def _next_half_hour(moment: datetime, zone: str) -> datetime:
    """Return the instant itself or the next at which clocks of a zone show a full or half hour."""
    wall = wall_of(moment, zone)
    past = timedelta(minutes=wall.minute % 30, seconds=wall.second, microseconds=wall.microsecond)
    return moment + (_GRID - past) if past else moment


def _reason(wish: Wish) -> tuple[NoSlot, tuple[str, ...]]:
    if aware(wish.latest) < aware(wish.earliest):
        return NoSlot.TOO_LATE, ()
    for group in wish.groups:
        common = list(_slots(wish, group, wish.earliest, wish.latest, are_free=False))
        if common:
            busy = [a.name for a in group if any(_meet(a, slot) for slot in common)]
            return NoSlot.ALL_BUSY, tuple(busy)
    group = wish.groups[0]
    for some in (*combinations(group, 1), *combinations(group, 2)):
        if next(_slots(wish, some, wish.earliest, wish.latest, are_free=False), None) is None:
            return NoSlot.NO_COMMON_HOURS, tuple(each.name for each in some)
    return NoSlot.NO_COMMON_HOURS, tuple(each.name for each in group)


def _meet(attendee: Attendee, slot: Span) -> bool:
    return any(busy.start < slot.end and slot.start < busy.end for busy in attendee.busy)
