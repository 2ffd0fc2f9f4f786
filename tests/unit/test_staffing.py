"""Who is assigned, and why nobody else: pure, the same for the same input."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import permutations
from typing import Any

import pytest

from control_plane.domain.calendars.business import BusinessCalendar
from control_plane.domain.calendars.rules import Hours, Place
from control_plane.domain.staffing import Load, Pick, Wanted, overlap, pick
from control_plane.domain.team import (
    Absence,
    Certified,
    Complexity,
    Person,
    Segment,
    SegmentFacts,
    TeamRole,
    TeamRules,
)
from tests.world import _rules

CSM, ENGINEER, SPONSOR = TeamRole
FIRST, LAST = date(2026, 11, 23), date(2026, 11, 25)
STANDARD = Segment(
    key="standard", weight=1, roles=tuple(TeamRole),
    queue_owners=dict.fromkeys(TeamRole, "lead"),
)  # fmt: skip


def person(key: str, **changes: Any) -> Person:
    facts = {
        "key": key, "name": key.title(), "email": f"{key}@example.com", "roles": tuple(TeamRole),
        "segments": frozenset({"standard"}), "languages": frozenset({"en", "it"}),
        "place": Place(zone="Europe/Rome", country="IT"),
        "hours": Hours(start=time(9), end=time(18)), "max_points": 10, "level": 3,
        **changes,
    }  # fmt: skip
    return Person(**facts)


def team(*people: Person, **changes: Any) -> TeamRules:
    lead = person("lead", roles=(CSM,), segments=frozenset())
    facts = {
        "digest": "sha256:x", "segments": (STANDARD,), "people": (*people, lead),
        "overlap_hours": 4, "shared_language": "en", "most_sponsored": 3, "certified": (),
        "complexity": Complexity(
            modes={"A": 1, "B": 3, "C": 5}, integration=1, migration=3, strict_residency=2,
            levels=(3, 7),
        ),
        **changes,
    }  # fmt: skip
    return TeamRules(**facts)


def calendar(zone: str = "Europe/Rome", start: str = "09:00", end: str = "18:00") -> Any:
    return BusinessCalendar(
        zone=zone, workday_start=time.fromisoformat(start), workday_end=time.fromisoformat(end)
    )


def wanted(role: TeamRole = CSM, **changes: Any) -> Wanted:
    facts = {
        "role": role, "segment": STANDARD, "language": "it", "mode": "A", "level": 1,
        "customer": calendar(), "first_day": FIRST, "last_day": LAST, **changes,
    }  # fmt: skip
    return Wanted(**facts)


def picked(rules: TeamRules, want: Wanted, **loads: Load) -> Pick:
    calendars = {
        each.key: BusinessCalendar(
            zone=each.place.zone, workday_start=each.hours.start, workday_end=each.hours.end
        )
        for each in rules.people
    }
    return pick(rules, want, loads, calendars)


def reasons(found: Pick) -> dict[str, str | None]:
    return {each.key: each.why_not for each in found.candidates}


@pytest.mark.parametrize(("change", "want", "load", "says"), [
    ({"segments": frozenset({"lite"})}, {}, Load(), "does not work for the segment standard"),
    ({"languages": frozenset({"en"})}, {}, Load(), "does not speak it"),
    ({"absences": (Absence(first=LAST, last=date(2026, 12, 1)),)}, {}, Load(),
     "is unavailable between 2026-11-23 and 2026-11-25"),
    ({"place": Place(zone="America/Los_Angeles")}, {}, Load(),
     "shares 0 h of a working day, less than 4 h"),
    ({"max_points": 3}, {}, Load(points=3), "has 3 of 3 points, and this takes 1"),
    ({}, {"role": SPONSOR}, Load(sponsored=3), "sponsors 3 tenants, of at most 3"),
    ({"level": 1}, {"role": ENGINEER, "level": 2}, Load(),
     "is of level 1, and level 2 is needed"),
    ({}, {"role": ENGINEER, "mode": "C"}, Load(), "lacks the certification customer_cloud"),
    ({}, {"besides": frozenset({"ann"})}, Load(), "has it now"),
])  # fmt: skip
def test_each_filter_leaves_somebody_out_and_says_why(
    change: dict[str, Any], want: dict[str, Any], load: Load, says: str
) -> None:
    certified = Certified(role=ENGINEER, certification="customer_cloud", modes=frozenset({"C"}))
    fits = person("ben", certifications=frozenset({"customer_cloud"}))
    rules = team(person("ann", **change), fits, certified=(certified,))
    found = picked(rules, wanted(**want), ann=load, ben=Load(points=1))
    assert found.person.key == "ben"
    assert reasons(found)["ann"] == says
    without = picked(
        team(person("ann", **change), certified=(certified,)), wanted(**want), ann=load
    )
    assert without.is_queue_owner
    assert without.person.key == "lead"


@pytest.mark.requirement("J-028")
def test_order_is_company_then_load_then_time_then_key() -> None:
    rules = team(person("ann"), person("ben"), person("cleo"))
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    assert picked(rules, wanted()).person.key == "ann"
    assert picked(rules, wanted(), ann=Load(last_at=late), ben=Load(last_at=late),
                  cleo=Load(last_at=early)).person.key == "cleo"  # fmt: skip
    assert picked(rules, wanted(), ann=Load(last_at=late), ben=Load(last_at=early)
                  ).person.key == "cleo"  # fmt: skip
    assert picked(rules, wanted(), ann=Load(points=2), cleo=Load(points=1)).person.key == "ben"
    found = picked(rules, wanted(preferred="ann"), ann=Load(points=9))
    assert found.person.key == "ann"
    assert reasons(found)["ben"] == "ann has another tenant of the company"


def test_load_is_a_ratio_and_not_a_number() -> None:
    rules = team(person("ann", max_points=4), person("ben", max_points=40))
    assert picked(rules, wanted(), ann=Load(points=1), ben=Load(points=9)).person.key == "ben"


def test_the_order_of_the_document_changes_nothing() -> None:
    members = [person("ann"), person("ben", max_points=20), person("cleo")]
    loads = {"ann": Load(points=2), "ben": Load(points=4), "cleo": Load(points=2)}
    found = {
        (picked(team(*order), wanted(), **loads).person.key,
         picked(team(*order), wanted(), **loads).candidates)
        for order in permutations(members)
    }  # fmt: skip
    assert len(found) == 1


def test_a_language_that_nobody_speaks_is_served_in_the_shared_one() -> None:
    found = picked(team(person("ann")), wanted(language="fi"))
    assert (found.person.key, found.language) == ("ann", "en")


def test_who_was_named_needs_capacity_and_certificates_alone() -> None:
    away = person("ann", segments=frozenset(), languages=frozenset({"fi"}))
    found = picked(team(away, person("ben")), wanted(chosen="ann"))
    assert (found.person.key, found.is_queue_owner) == ("ann", False)
    assert found.candidates[0].despite == "does not work for the segment standard"
    assert reasons(found)["ben"] == "somebody else was named"
    assert picked(team(away), wanted(chosen="ann"), ann=Load(points=10)).is_queue_owner


@pytest.mark.parametrize(("zone", "start", "end", "day", "hours"), [
    ("America/New_York", "09:00", "17:30", date(2026, 11, 24), 3),
    ("America/New_York", "09:00", "17:30", date(2026, 3, 16), 4),  # clocks go forward there first
    ("Asia/Kolkata", "09:00", "18:00", date(2026, 11, 24), 4.5),
    ("Asia/Tokyo", "09:00", "18:00", date(2026, 11, 24), 1),
    ("Pacific/Auckland", "06:00", "15:00", date(2026, 11, 24), 0),
])  # fmt: skip
def test_shared_hours_follow_the_clocks_of_both(
    zone: str, start: str, end: str, day: date, hours: float
) -> None:
    shared = overlap(calendar(), calendar(zone, start, end), day, day)
    assert shared == timedelta(hours=hours)


@pytest.mark.requirement("K-021")
@pytest.mark.parametrize(("mode", "more", "score", "level"), [
    (None, {}, 0, 1),
    ("A", {}, 1, 1),
    ("A", {"is_strict": True}, 3, 2),
    ("B", {"integrations": 2}, 5, 2),
    ("C", {"is_strict": True}, 7, 3),
    ("C", {"integrations": 1, "has_migration": True, "is_strict": True}, 11, 3),
])  # fmt: skip
def test_complexity_asks_for_a_level(
    mode: str | None, more: dict[str, Any], score: int, level: int
) -> None:
    given = {"integrations": 0, "has_migration": False, "is_strict": False, **more}
    complexity = team().complexity
    assert complexity.score(mode, **given) == score
    assert complexity.level(score) == level


# subscription, seats, strategic -> the segment of the shipped document
GOLDEN = [
    ("lite", None, False, "lite"), ("lite", 5000, False, "lite"), ("lite", 10, True, "strategic"),
    ("standard", None, False, "standard"), ("standard", 5000, False, "standard"),
    ("standard", 10, True, "strategic"), ("enterprise", None, False, "standard"),
    ("enterprise", 1999, False, "standard"), ("enterprise", 2000, False, "strategic_by_size"),
    ("enterprise", 2000, True, "strategic"), ("enterprise", 0, False, "standard"),
]  # fmt: skip


@pytest.mark.requirement("J-029")
@pytest.mark.parametrize(("subscription", "seats", "strategic", "segment"), GOLDEN)
def test_every_customer_has_one_segment(
    subscription: str, seats: int | None, strategic: bool, segment: str
) -> None:
    rules = _rules().team
    facts = SegmentFacts(subscription=subscription, seats=seats, is_strategic=strategic)
    assert rules.segment_of(facts).key == segment
    last = replace(facts, subscription="unheard of", seats=None, is_strategic=False)
    assert rules.segment_of(last).is_unconditional


def test_conditions_about_value_and_region_hold_only_where_they_are_known() -> None:
    rich = Segment(key="rich", least_value=100_000, regions=frozenset({"eu-west-1"}))
    facts = SegmentFacts(subscription="lite", contract_value=100_000, region="eu-west-1")
    assert rich.fits(facts)
    assert not rich.fits(replace(facts, contract_value=99_999))
    assert not rich.fits(replace(facts, contract_value=None))
    assert not rich.fits(replace(facts, region=None))
