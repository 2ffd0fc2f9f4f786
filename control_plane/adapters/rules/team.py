"""From the team document to its rules: what no schema can say is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

from control_plane.adapters.rules.calendars import country_fault, subdivision_fault, zone_fault
from control_plane.adapters.rules.documents import Document, nearest
from control_plane.domain import spellings
from control_plane.domain.calendars.rules import Hours, Place
from control_plane.domain.team import (
    Absence,
    Certified,
    Complexity,
    Person,
    Segment,
    TeamRole,
    TeamRules,
)

Entry = Mapping[str, Any]


def parse_team(document: Document) -> TeamRules:
    """Return the team rules.

    Raises ``SettingInvalid`` naming the place of a segment that no customer or every customer
    before the last gets, an unknown person, segment, time zone or country, and what is there twice.
    """
    content = document.content
    segments = tuple(_segments(document))
    people = tuple(_people(document, {each.key for each in segments}))
    _require_owners(document, segments, people)
    complexity = content["complexity"]
    if sorted(set(complexity["levels"])) != complexity["levels"]:
        raise document.refused("complexity.levels", "each level needs more points than that before")
    return TeamRules(
        digest=document.digest,
        segments=segments,
        people=people,
        overlap_hours=content["overlap_hours"],
        shared_language=content["shared_language"],
        most_sponsored=content["most_sponsored"],
        certified=tuple(
            Certified(
                role=TeamRole(each["role"]),
                certification=each["certification"],
                modes=frozenset(each["modes"]) if "modes" in each else None,
            )
            for each in content["certified"]
        ),
        complexity=Complexity(
            modes=complexity["modes"],
            integration=complexity["integration"],
            migration=complexity["migration"],
            strict_residency=complexity["strict_residency"],
            levels=tuple(complexity["levels"]),
        ),
    )


def _segments(document: Document) -> Iterator[Segment]:
    entries = document.content["segments"]
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        where, when = f"segments.{index}", entry.get("when", {})
        if entry["key"] in seen:
            raise document.refused(f"{where}.key", f"{entry['key']} is there twice")
        seen.add(entry["key"])
        segment = Segment(
            key=entry["key"],
            subscriptions=_set(when, "subscriptions"),
            least_seats=when.get("seats_from"),
            least_value=when.get("contract_value_from"),
            is_strategic=when.get("strategic"),
            regions=_set(when, "regions"),
            weight=entry["weight"],
            roles=tuple(TeamRole(each) for each in entry["roles"]),
            queue_owners={TeamRole(role): key for role, key in entry["queue_owners"].items()},
        )
        is_last = index == len(entries) - 1
        if segment.is_unconditional != is_last:
            reason = (
                "the last segment has no condition, so that every customer has one" if is_last
                else "only the last segment has no condition: those after this one fit nobody"
            )  # fmt: skip
            raise document.refused(where, reason)
        yield segment


def _set(entry: Entry, name: str) -> frozenset[str] | None:
    return frozenset(entry[name]) if name in entry else None


def _people(document: Document, segments: set[str]) -> Iterator[Person]:
    seen: set[str] = set()
    for index, entry in enumerate(document.content["people"]):
        where = f"people.{index}"
        for name in ("key", "email"):
            if entry[name].casefold() in seen:
                raise document.refused(f"{where}.{name}", f"{entry[name]} is there twice")
            seen.add(entry[name].casefold())
        for number, segment in enumerate(entry["segments"]):
            if segment not in segments:
                reason = f"unknown segment {segment!r}{nearest(segment, segments)}"
                raise document.refused(f"{where}.segments.{number}", reason)
        yield Person(
            key=entry["key"],
            name=entry["name"],
            email=_email(document, f"{where}.email", entry["email"]),
            roles=tuple(TeamRole(each) for each in entry["roles"]),
            segments=frozenset(entry["segments"]),
            languages=frozenset(entry["languages"]),
            place=_place(document, where, entry),
            hours=_hours(document, where, entry),
            max_points=entry["max_points"],
            level=entry.get("level", 1),
            certifications=frozenset(entry.get("certifications", ())),
            absences=tuple(_absences(document, where, entry)),
        )


def _email(document: Document, where: str, text: str) -> str:
    try:
        return spellings.email(text)
    except ValueError as error:
        raise document.refused(where, str(error)) from None


def _place(document: Document, where: str, entry: Entry) -> Place:
    country, part = entry.get("country"), entry.get("subdivision")
    faults = {
        "time_zone": zone_fault(entry["time_zone"]),
        "country": country_fault(country) if country else "",
    }
    if part is not None:
        faults["subdivision"] = (
            subdivision_fault(country, part) if country else "a subdivision needs its country"
        )
    for name, fault in faults.items():
        if fault:
            raise document.refused(f"{where}.{name}", fault)
    return Place(zone=entry["time_zone"], country=country, subdivision=part)


def _hours(document: Document, where: str, entry: Entry) -> Hours:
    start, end = time.fromisoformat(entry["from"]), time.fromisoformat(entry["to"])
    if end <= start:
        reason = f"working hours end after their start, and {entry['to']} is not after"
        raise document.refused(f"{where}.to", f"{reason} {entry['from']}")
    return Hours(start=start, end=end)


def _absences(document: Document, where: str, entry: Entry) -> Iterator[Absence]:
    for index, each in enumerate(entry.get("absences", ())):
        try:
            found = Absence(
                first=date.fromisoformat(each["from"]), last=date.fromisoformat(each["to"])
            )
        except ValueError:
            raise document.refused(f"{where}.absences.{index}", "names no day") from None
        if found.last < found.first:
            reason = f"{each['to']} is before {each['from']}"
            raise document.refused(f"{where}.absences.{index}.to", reason)
        yield found


def _require_owners(
    document: Document, segments: tuple[Segment, ...], people: tuple[Person, ...]
) -> None:
    """Refuse a segment in which a role could be nobody's."""
    keys = [each.key for each in people]
    for index, segment in enumerate(segments):
        where = f"segments.{index}.queue_owners"
        for role in segment.roles:
            if role not in segment.queue_owners:
                reason = f"{role} needs an owner of its queue, so that a tenant is never ownerless"
                raise document.refused(where, reason)
        for role, key in segment.queue_owners.items():
            if role not in segment.roles:
                raise document.refused(f"{where}.{role}", "is not among the roles of the segment")
            if key not in keys:
                reason = f"unknown person {key!r}{nearest(key, keys)}"
                raise document.refused(f"{where}.{role}", reason)
