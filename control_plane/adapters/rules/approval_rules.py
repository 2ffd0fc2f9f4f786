"""From the approval rules document to the rules: what no schema can say is refused here."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from control_plane.adapters.rules.documents import Document, nearest
from control_plane.domain.approval_rules import (
    ApprovalRule,
    ApprovalRules,
    HarmlessChange,
    HarmlessRule,
    shared_roles,
)
from control_plane.domain.change_window import WEEKDAYS, Blackout, ChangeWindow
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.kinds import KINDS
from control_plane.domain.risk import Prices, RiskKind
from control_plane.domain.run import RunKind
from policies.catalog import CATALOG

Entry = Mapping[str, Any]


def parse_approval_rules(document: Document) -> ApprovalRules:
    """Return the approval rules; a rule without a time of its own has the document's.

    Raises ``SettingInvalid`` for an id that is there twice, an unknown window, type or time zone, a
    rule that asks for fewer people than its runs always need, or two that nobody can satisfy.
    """
    content = document.content
    _require_ids(document)
    windows = {
        name: _window(document, name, entry)
        for name, entry in (content.get("windows") or {}).items()
    }
    rules = tuple(
        _rule(document, index, entry, windows) for index, entry in enumerate(content["rules"])
    )
    _require_shared_roles(document, rules)
    harmless = tuple(
        _harmless(document, index, entry) for index, entry in enumerate(content.get("harmless", ()))
    )
    return ApprovalRules(
        digest=document.digest,
        resumes_within=timedelta(hours=content["resumes_within_hours"]),
        rules=rules,
        prices=_prices(content["cost"]),
        harmless=harmless,
        windows=windows,
    )


def _require_ids(document: Document) -> None:
    seen: set[str] = set()
    for section in ("harmless", "rules"):
        for index, entry in enumerate(document.content.get(section, ())):
            if entry["id"] in seen:
                raise document.refused(
                    f"{section}.{index}.id", f"{entry['id']} is the id of another rule"
                )
            seen.add(entry["id"])


def _rule(
    document: Document, index: int, entry: Entry, windows: Mapping[str, ChangeWindow]
) -> ApprovalRule:
    where = f"rules.{index}"
    window, needed = entry.get("window"), entry.get("decisions", 1)
    runs = frozenset(RunKind(kind) for kind in entry["runs"])
    if window is not None and window not in windows:
        reason = f"there is no window {window!r}{nearest(window, windows)}"
        raise document.refused(f"{where}.window", reason)
    if window is not None and not needed:
        reason = "a window bounds an approval, and this rule asks for none"
        raise document.refused(f"{where}.window", reason)
    if "signed" in entry and not needed:
        reason = "a decision is what is signed, and this rule asks for none"
        raise document.refused(f"{where}.signed", reason)
    for kind in sorted(runs):
        least = KINDS[kind].decisions
        if needed < least:
            at = f"{where}.decisions" if "decisions" in entry else f"{where}.runs"
            raise document.refused(
                at, f"a {kind} needs {least} people at least, and {entry['id']} asks for {needed}"
            )
    hours = entry.get("expires_after_hours", document.content["expires_after_hours"])
    return ApprovalRule(
        id=entry["id"],
        deployments=frozenset(DeploymentKind(kind) for kind in entry["deployments"]),
        runs=runs,
        risks=frozenset(RiskKind(kind) for kind in entry.get("risks", ())),
        needed=needed,
        roles=tuple(entry.get("roles", ("ops_approver",))),
        window=window,
        signed="signed" in entry,
        expires_after=timedelta(hours=hours),
        because=entry["because"],
    )


def _require_shared_roles(document: Document, rules: Sequence[ApprovalRule]) -> None:
    """Refuse rules that may fit the same plan and that nobody's role is in all of."""
    for deployment in DeploymentKind:
        for run in RunKind:
            together = [
                rule
                for rule in rules
                if rule.needed and deployment in rule.deployments and run in rule.runs
            ]
            if together and not shared_roles([rule.roles for rule in together]):
                index = rules.index(together[-1])
                names = ", ".join(rule.id for rule in together)
                reason = f"no role may decide by all the rules that fit together: {names}"
                raise document.refused(f"rules.{index}.roles", reason)


def _harmless(document: Document, index: int, entry: Entry) -> HarmlessRule:
    for kind in entry["runs"]:
        least = KINDS[RunKind(kind)].decisions
        if least:
            reason = f"a {kind} needs {least} people at least, so that it is never harmless"
            raise document.refused(f"harmless.{index}.runs", reason)
    changes = []
    for place, listed in enumerate(entry["changes"]):
        for number, kind in enumerate(listed["types"]):
            if kind not in CATALOG:
                at = f"harmless.{index}.changes.{place}.types.{number}"
                raise document.refused(at, f"unknown type {kind!r}{nearest(kind, CATALOG)}")
        changes.append(
            HarmlessChange(
                operation=listed["operation"],
                types=frozenset(CATALOG[kind].token for kind in listed["types"]),
                paths=frozenset(listed["paths"]),
                except_keys=tuple(listed.get("except_keys", ())),
            )
        )
    return HarmlessRule(
        id=entry["id"],
        deployments=frozenset(DeploymentKind(kind) for kind in entry["deployments"]),
        runs=frozenset(RunKind(kind) for kind in entry["runs"]),
        changes=tuple(changes),
        because=entry["because"],
    )


def _window(document: Document, name: str, entry: Entry) -> ChangeWindow:
    zones = zoneinfo.available_timezones()
    if entry["time_zone"] not in zones:
        reason = f"unknown time zone {entry['time_zone']!r}{nearest(entry['time_zone'], zones)}"
        raise document.refused(f"windows.{name}.time_zone", reason)
    if entry["from"] == entry["to"]:
        reason = "it must not end when it begins; leave the window out to allow any time"
        raise document.refused(f"windows.{name}.to", reason)
    blackouts = []
    for index, days in enumerate(entry.get("blackouts", ())):
        first, last = date.fromisoformat(days["from"]), date.fromisoformat(days["to"])
        if last < first:
            reason = f"{last} is before {first}"
            raise document.refused(f"windows.{name}.blackouts.{index}.to", reason)
        blackouts.append(Blackout(first=first, last=last))
    return ChangeWindow(
        name=name,
        weekdays=frozenset(WEEKDAYS.index(day) for day in entry["weekdays"]),
        start=time.fromisoformat(entry["from"]),
        end=time.fromisoformat(entry["to"]),
        zone=entry["time_zone"],
        blackouts=tuple(blackouts),
    )


def _prices(entry: Entry) -> Prices:
    return Prices(
        as_of=date.fromisoformat(entry["as_of"]),
        currency=entry["currency"],
        monthly_limit=entry["monthly_limit"],
        hourly={name: Decimal(price) for name, price in entry["instance_classes"].items()},
        storage_gb_month=Decimal(entry["storage_gb_month"]),
    )
