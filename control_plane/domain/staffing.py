"""Who of the team is assigned to a tenant, and why everybody else is not.

The same input has the same answer. Nothing here reads a clock or a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from control_plane.domain.calendars.business import BusinessCalendar
from control_plane.domain.calendars.moments import Span, intersection, moment_of
from control_plane.domain.team import MOST_SPONSORED, Person, Segment, TeamRole, TeamRules

_DAY: Final = timedelta(days=1)
_NEVER: Final = ""  # before every instant in ISO 8601
Calendars = Mapping[str, BusinessCalendar]  # by the keys of people


@dataclass(frozen=True, kw_only=True)
class Load:
    """What somebody has: points of all roles, tenants that they sponsor, the last assignment."""

    points: int = 0
    sponsored: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Who is looked for. ``first_day`` to ``last_day`` are the days on which the kickoff may be.

    ``preferred`` is who has the role at another tenant of the company. ``besides`` are not
    candidates, and with ``chosen`` only that person is one.
    """

    role: TeamRole
    segment: Segment
    language: str | None
    mode: str | None
    level: int
    customer: BusinessCalendar
    first_day: date
    last_day: date
    preferred: str | None = None
    besides: frozenset[str] = frozenset()
    chosen: str | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A person of the role, and why they are not assigned; None for the one who is.

    ``despite`` is what was set aside by who named them.
    """

    key: str
    points: int
    max_points: int
    why_not: str | None
    despite: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "person": self.key, "points": self.points, "max_points": self.max_points,
            "why_not": self.why_not, "despite": self.despite,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Who is assigned: ``person``, or the owner of the queue where nobody could be."""

    person: Person
    weight: int
    is_queue_owner: bool
    language: str | None
    candidates: tuple[Candidate, ...] = field(default_factory=tuple)


def pick(rules: TeamRules, wanted: Wanted, loads: Mapping[str, Load], calendars: Calendars) -> Pick:
    """Return who is assigned, with a word on each person of the role; never nobody.

    ``calendars`` has the working time of each person by key.
    """
    of_role = [each for each in rules.people if wanted.role in each.roles]
    language = spoken(rules, wanted, of_role)
    reasons = {
        each.key: why_not(rules, wanted, each, loads.get(each.key, Load()), language, calendars)
        for each in of_role
    }
    fitting = [each for each in of_role if reasons[each.key] is None]
    fitting.sort(key=lambda each: _order(each, loads.get(each.key, Load()), wanted))
    for place, each in enumerate(fitting):
        if place:
            reasons[each.key] = _behind(fitting[0], each, loads, wanted)
    owner = rules.by_key[wanted.segment.queue_owners[wanted.role]]
    return Pick(
        person=fitting[0] if fitting else owner,
        weight=wanted.segment.weight,
        is_queue_owner=not fitting,
        language=language,
        candidates=tuple(
            Candidate(
                key=each.key,
                points=loads.get(each.key, Load()).points,
                max_points=each.max_points,
                why_not=reasons[each.key],
                despite=(
                    unsuited(rules, wanted, each, language, calendars)
                    if each.key == wanted.chosen
                    else None
                ),
            )
            for each in sorted(of_role, key=lambda each: (reasons[each.key] is not None, each.key))
        ),
    )


def spoken(rules: TeamRules, wanted: Wanted, people: Sequence[Person]) -> str | None:
    """Return the language that counts: the customer's, or the shared one where nobody has it."""
    if wanted.language is None:
        return None
    is_spoken = any(wanted.language in each.languages for each in people)
    return wanted.language if is_spoken else rules.shared_language


def why_not(
    rules: TeamRules,
    wanted: Wanted,
    person: Person,
    load: Load,
    language: str | None,
    calendars: Calendars,
) -> str | None:
    """Return why a person does not get it, None for those who can; the first reason counts.

    Who was named needs certificate, level and capacity, and nothing else.
    """
    if wanted.chosen not in {None, person.key}:
        return "somebody else was named"
    if person.key in wanted.besides:
        return "has it now"
    suits = None if wanted.chosen else unsuited(rules, wanted, person, language, calendars)
    return suits or _missing(rules, wanted, person) or _no_capacity(rules, wanted, person, load)


def unsuited(
    rules: TeamRules,
    wanted: Wanted,
    person: Person,
    language: str | None,
    calendars: Calendars,
) -> str | None:
    """Return what a person who decides may set aside: segment, language, absence, hours."""
    if wanted.segment.key not in person.segments:
        return f"does not work for the segment {wanted.segment.key}"
    if language is not None and language not in person.languages:
        return f"does not speak {language}"
    if person.is_away(wanted.first_day, wanted.last_day):
        return f"is unavailable between {wanted.first_day} and {wanted.last_day}"
    shared = overlap(wanted.customer, calendars[person.key], wanted.first_day, wanted.last_day)
    if shared < timedelta(hours=rules.overlap_hours):
        return f"shares {_hours(shared)} h of a working day, less than {rules.overlap_hours} h"
    return None


def _missing(rules: TeamRules, wanted: Wanted, person: Person) -> str | None:
    for each in rules.certified:
        applies = each.role is wanted.role and (each.modes is None or wanted.mode in each.modes)
        if applies and each.certification not in person.certifications:
            return f"lacks the certification {each.certification}"
    if wanted.role is TeamRole.SOLUTIONS_ENGINEER and person.level < wanted.level:
        return f"is of level {person.level}, and level {wanted.level} is needed"
    return None


def _no_capacity(rules: TeamRules, wanted: Wanted, person: Person, load: Load) -> str | None:
    most = min(rules.most_sponsored, MOST_SPONSORED)
    if wanted.role is TeamRole.EXECUTIVE_SPONSOR_PARTNER and load.sponsored >= most:
        return f"sponsors {load.sponsored} tenants, of at most {most}"
    if load.points + wanted.segment.weight > person.max_points:
        return (
            f"has {load.points} of {person.max_points} points, and this takes "
            f"{wanted.segment.weight}"
        )
    return None


def overlap(
    customer: BusinessCalendar, person: BusinessCalendar, first: date, last: date
) -> timedelta:
    """Return the most working time that both share on a day from ``first`` to ``last``.

    Hours alone count, so that a holiday does not make two places look far apart.
    """
    most = timedelta()
    day = first
    while day <= last:
        ours = _hours_of(customer, day)
        theirs = [_hours_of(person, day + _DAY * number) for number in (-1, 0, 1)]
        shared = intersection((ours,), tuple(theirs))
        most = max(most, sum((span.length for span in shared), timedelta()))
        day += _DAY
    return most


def _hours_of(calendar: BusinessCalendar, day: date) -> Span:
    start = moment_of(datetime.combine(day, calendar.workday_start), calendar.zone)
    end = moment_of(datetime.combine(day, calendar.workday_end), calendar.zone)
    return Span(start=start, end=end)


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):g}"


def _order(person: Person, load: Load, wanted: Wanted) -> tuple[bool, Fraction, str, str]:
    last = load.last_at.isoformat() if load.last_at else _NEVER
    return person.key != wanted.preferred, _ratio(person, load), last, person.key


def _ratio(person: Person, load: Load) -> Fraction:
    return Fraction(load.points, person.max_points)


def _behind(first: Person, person: Person, loads: Mapping[str, Load], wanted: Wanted) -> str:
    """Return what put somebody who fits behind the one who is assigned."""
    ahead, own = loads.get(first.key, Load()), loads.get(person.key, Load())
    if first.key == wanted.preferred:
        return f"{first.key} has another tenant of the company"
    if _ratio(first, ahead) != _ratio(person, own):
        return f"{first.key} has more capacity left"
    if ahead.last_at != own.last_at:
        return f"{first.key} was assigned longer ago"
    return f"{first.key} comes first by key"
