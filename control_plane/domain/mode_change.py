"""Confirming or raising the mode of a tenant: which way leads there, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.errors import (
    ModeConfirmed,
    ModeConflict,
    ModeDowngrade,
    ModeUnchanged,
)
from control_plane.domain.facts import Facts
from control_plane.domain.mode import Mode, ModeDecision, Outcome, confirm, resolve
from control_plane.domain.mode_rules import ModeRules

KEEP_DAYS: Final = 14  # that a former slice is kept, unless the request says otherwise


class Way(StrEnum):
    """How a tenant gets to a mode."""

    CONFIRM = "confirm"  # it has it; only the decision is no longer provisional
    REPLACE = "replace"  # nothing is stored yet: the empty slice gives way to a dedicated Hub
    UPGRADE = "upgrade"  # a dedicated Hub is built beside the slice, and the data is moved
    HANDOVER = "handover"  # the customer builds its own Hub, and the data is handed over


WAYS: Final[Mapping[Way, str]] = {
    Way.CONFIRM: "The mode stays, and is no longer provisional.",
    Way.REPLACE: "The slice is checked to be empty, then replaced by a dedicated Hub.",
    Way.UPGRADE: "A dedicated Hub is built beside the slice, gets its data, and takes over.",
    Way.HANDOVER: (
        "The customer builds a Hub in its own account from a signed bundle and imports the data; "
        "that Hub takes over once its report equals the manifest."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a change of mode comes to: the way, and the facts and decision afterwards."""

    way: Way
    facts: Facts
    decision: ModeDecision


def resolve_confirmation(facts: Mapping[str, Any], rules: ModeRules) -> Resolved:
    """Return what confirming the present mode comes to; the rules are asked again.

    Raises ``ModeConflict`` where facts and contract contradict each other by now.
    """
    given = Facts.from_document(dict(facts))
    return Resolved(way=Way.CONFIRM, facts=given, decision=confirm(resolve(given, rules)))


def resolve_raise(
    facts: Mapping[str, Any],
    present: Mode,
    to: Mode,
    rules: ModeRules,
    *,
    is_confirmed: bool,
    upgrade: bool,
) -> Resolved:
    """Return what raising the mode comes to, bought by an amendment of the contract.

    Mode C is always handed over with the data. Raises ``ModeUnchanged``, ``ModeDowngrade``,
    ``ModeConflict`` where the rules do not let the contract have this mode, and ``ModeConfirmed``
    for a replacement of what the kickoff has confirmed.
    """
    if to is present:
        raise ModeUnchanged(f"the tenant is in mode {present}")
    if to < present:
        raise ModeDowngrade(f"the tenant is in mode {present}; mode {to} isolates less")
    way = Way.HANDOVER if to is Mode.C else Way.UPGRADE if upgrade else Way.REPLACE
    if is_confirmed and way is Way.REPLACE:
        raise ModeConfirmed(f"mode {present} was confirmed; a tenant in use is upgraded")
    asked = {"contract_mode": to.value}
    if facts.get("requested_mode") is not None:
        asked["requested_mode"] = to.value
    given = Facts.from_document({**facts, **asked})
    decision = resolve(given, rules)
    if decision.outcome is Outcome.MODE_CONFLICT:
        raise ModeConflict(decision.summary, rules=[fired.rule for fired in decision.fired])
    return Resolved(way=way, facts=given, decision=confirm(decision))
