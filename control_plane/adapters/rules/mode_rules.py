"""From the documents on modes and regions to the domain's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control_plane.adapters.rules.documents import Document, refused
from control_plane.domain.facts import STATED_FACTS
from control_plane.domain.mode_rules import (
    ALWAYS,
    CANDIDATE_FACTS,
    PLACE_FACTS,
    Clause,
    Combined,
    Comparison,
    Condition,
    Effect,
    FactCondition,
    Mode,
    ModeRules,
    Rule,
)
from control_plane.domain.residency import Regions, Zone

FACTS: Final = STATED_FACTS | PLACE_FACTS | CANDIDATE_FACTS
_COMPARISONS: Final = ("is", "in", "at_least", "more_than", "not_empty", "mode_above")


def parse_regions(document: Document) -> Regions:
    """Return the regions document. Raises ``SettingInvalid`` when it contradicts itself."""
    zones = {}
    homes: dict[str, str] = {}
    for name, entry in document.content["zones"].items():
        zone = Zone(
            name=name,
            title=entry["title"],
            partition=entry["partition"],
            regions=tuple(entry["regions"]),
            offered=tuple(entry["offered"]),
        )
        for region in zone.regions:
            if region in homes:
                reason = f"{region} is in the zone {homes[region]}, too"
                raise refused(document.file, f"zones.{name}.regions", reason)
            homes[region] = name
        for region in zone.offered:
            if region not in zone.regions:
                reason = f"{region} is not a region of the zone"
                raise refused(document.file, f"zones.{name}.offered", reason)
        zones[name] = zone
    default = document.content["default_region"]
    if default not in homes or default not in zones[homes[default]].offered:
        raise refused(document.file, "default_region", f"{default} is not offered in any zone")
    return Regions(
        digest=document.digest,
        default_region=default,
        zones=zones,
        letters=_letters(document, zones),
    )


def _letters(document: Document, zones: Mapping[str, Zone]) -> Mapping[str, str]:
    """Return the letters of availability zones; every region that can be built in has them."""
    letters: Mapping[str, str] = document.content["availability_zones"]
    known = {region: zone for zone in zones.values() for region in zone.regions}
    for region, given in letters.items():
        if region not in known:
            reason = f"{region} is not in any zone"
            raise refused(document.file, f"availability_zones.{region}", reason)
        if len(set(given)) < len(given):
            reason = f"{given} names a zone twice"
            raise refused(document.file, f"availability_zones.{region}", reason)
    for region, zone in known.items():
        if zone.partition == "aws" and region not in letters:
            raise refused(document.file, "availability_zones", f"{region} is missing")
    return letters


def parse_mode_rules(document: Document, regions: Regions) -> ModeRules:
    """Return the mode rules. Raises ``SettingInvalid`` for a document that means nothing."""
    content = document.content
    ids = [rule["id"] for rule in content["rules"]]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            raise refused(document.file, f"rules.{index}.id", f"{name} is the id of another rule")
    return ModeRules(
        digest=document.digest,
        regions=regions,
        rules=tuple(
            Rule(
                id=rule["id"],
                title=rule["title"],
                source=rule["source"],
                clauses=tuple(_clauses(document, index, rule)),
            )
            for index, rule in enumerate(content["rules"])
        ),
        clouds={Mode(m): frozenset(s["clouds"]) for m, s in content["supported"].items()},
        partitions={Mode(m): frozenset(s["partitions"]) for m, s in content["supported"].items()},
    )


def _clauses(document: Document, index: int, rule: Mapping[str, Any]) -> Iterator[Clause]:
    for number, clause in enumerate(rule["clauses"]):
        path = f"rules.{index}.clauses.{number}"
        when = _condition(document, f"{path}.when", clause["when"])
        effect = Effect(next(key for key in clause["then"] if key in tuple(Effect)))
        if effect is Effect.MIN_MODE:
            early = sorted(CANDIDATE_FACTS & set(when.named_facts()))
            if early:
                raise refused(
                    document.file,
                    f"{path}.when",
                    f"{early[0]} is known only when no rule can raise the mode any more",
                )
        yield Clause(
            when=when,
            effect=effect,
            because=clause["because"],
            min_mode=Mode(clause["then"].get("min_mode", Mode.A)),
            review_contract=bool(clause["then"].get("review_contract", False)),
        )


def _condition(document: Document, path: str, entry: Any) -> Condition:
    if entry == "always":
        return ALWAYS
    for word, every in (("all", True), ("any", False)):
        if word in entry:
            parts = tuple(
                _condition(document, f"{path}.{word}.{index}", part)
                for index, part in enumerate(entry[word])
            )
            return Combined(parts=parts, every=every)
    fact = entry["fact"]
    if fact not in FACTS:
        raise refused(document.file, f"{path}.fact", f"unknown fact {fact}")
    for word, comparison in (("in_list", Comparison.IN), ("not_in_list", Comparison.NOT_IN)):
        if word in entry:
            lists = document.content["lists"]
            if entry[word] not in lists:
                raise refused(document.file, f"{path}.{word}", f"unknown list {entry[word]}")
            return FactCondition(
                fact=fact, comparison=comparison, operand=tuple(lists[entry[word]])
            )
    word = next(word for word in _COMPARISONS if word in entry)
    operand = tuple(entry[word]) if isinstance(entry[word], list) else entry[word]
    return FactCondition(fact=fact, comparison=Comparison(word), operand=operand)
