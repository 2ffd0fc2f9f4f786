"""The team document: who works for customers, for which segments, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from control_plane.domain.calendars.business import BusinessCalendar
from control_plane.domain.calendars.rules import CalendarRules, Hours, Place, PublicDays

MOST_SPONSORED: Final = 3  # tenants that an executive sponsors, whatever the document says


class TeamRole(StrEnum):
    """What somebody of the vendor does for a tenant."""

    CSM = "csm"
    SOLUTIONS_ENGINEER = "solutions_engineer"
    EXECUTIVE_SPONSOR_PARTNER = "executive_sponsor_partner"


@dataclass(frozen=True, kw_only=True)
class SegmentFacts:
    """What decides on the segment of a customer; None is unknown."""

    subscription: str
    seats: int | None = None
    contract_value: int | None = None
    is_strategic: bool = False
    region: str | None = None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A segment of customers: all conditions that are named have to hold.

    ``roles`` are those that somebody is assigned in; ``weights`` say how many points that takes of
    a person, ``queue_owners`` whose it is while nobody has capacity.
    """

    key: str
    subscriptions: frozenset[str] | None = None
    least_seats: int | None = None
    least_value: int | None = None
    is_strategic: bool | None = None
    regions: frozenset[str] | None = None
    weight: int = 1
    roles: tuple[TeamRole, ...] = ()
    queue_owners: Mapping[TeamRole, str] = field(default_factory=dict)

    @property
    def is_unconditional(self) -> bool:
        """Whether it fits every customer."""
        conditions = (
            self.subscriptions, self.least_seats, self.least_value, self.is_strategic, self.regions
        )  # fmt: skip
        return all(each is None for each in conditions)

    def fits(self, facts: SegmentFacts) -> bool:
        """Tell whether every condition holds; one about what nobody knows does not."""
        return (
            (self.subscriptions is None or facts.subscription in self.subscriptions)
            and _reaches(facts.seats, self.least_seats)
            and _reaches(facts.contract_value, self.least_value)
            and self.is_strategic in {None, facts.is_strategic}
            and (self.regions is None or facts.region in self.regions)
        )


def _reaches(value: int | None, least: int | None) -> bool:
    return least is None or (value is not None and value >= least)


@dataclass(frozen=True, kw_only=True)
class Absence:
    """Days on which somebody is unavailable, the last one included, by their own clocks."""

    first: date
    last: date


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the vendor. ``key`` stands in logs and rows, so it names nobody.

    ``level`` counts for solutions engineers alone.
    """

    key: str
    name: str = field(repr=False)
    email: str = field(repr=False)
    roles: tuple[TeamRole, ...]
    segments: frozenset[str]
    languages: frozenset[str]
    place: Place
    hours: Hours
    max_points: int
    level: int = 1
    certifications: frozenset[str] = frozenset()
    absences: tuple[Absence, ...] = ()

    def calendar(self, rules: CalendarRules, public: PublicDays) -> BusinessCalendar:
        """Return when the person works; absences are not in it."""
        return rules.customer_calendar(self.place, public, hours=self.hours)

    def is_away(self, first: date, last: date) -> bool:
        """Tell whether the person is unavailable on a day of a time, its last day included."""
        return any(each.first <= last and first <= each.last for each in self.absences)


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A certification that a role needs, for tenants of some modes, or of all."""

    role: TeamRole
    certification: str
    modes: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """How difficult a tenant is for an engineer, in points, and the level that this asks for.

    ``levels`` has the least points of each level from the second on.
    """

    modes: Mapping[str, int]
    integration: int
    migration: int
    strict_residency: int
    levels: tuple[int, ...]

    def score(
        self, mode: str | None, *, integrations: int, has_migration: bool, is_strict: bool
    ) -> int:
        """Return the points of a tenant; a mode that is not known yet counts as none."""
        return (
            self.modes.get(mode or "", 0)
            + self.integration * integrations
            + self.migration * has_migration
            + self.strict_residency * is_strict
        )

    def level(self, score: int) -> int:
        """Return the level of engineer that a score asks for, from 1 on."""
        return 1 + sum(score >= least for least in self.levels)


@dataclass(frozen=True, kw_only=True)
class TeamRules:
    """The team document. The first segment that fits is a customer's; the last one fits all.

    Customers whose language nobody in a role speaks are served in ``shared_language``.
    """

    digest: str
    segments: tuple[Segment, ...]
    people: tuple[Person, ...]
    overlap_hours: int
    shared_language: str
    most_sponsored: int
    certified: tuple[Certified, ...]
    complexity: Complexity

    @property
    def by_key(self) -> Mapping[str, Person]:
        """The people by their keys."""
        return {each.key: each for each in self.people}

    def segment(self, key: str) -> Segment | None:
        """Return a segment, None where the document does not have it any more."""
        return next((each for each in self.segments if each.key == key), None)

    def segment_of(self, facts: SegmentFacts) -> Segment:
        """Return the segment of a customer."""
        return next(each for each in self.segments if each.fits(facts))
