"""What is compared between a source of contracts and this installation, and what differs.

A provider does not promise that each message arrives. A look asks it what was signed since the
last look and explains each difference as a finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from control_plane.domain.actor import Actor
from control_plane.domain.transitions import move, terminal

CRM: Final = "crm"  # the source of deals; no source of the intake rules has that name
READ_BACK: Final = "read_back"  # the key's name of a delivery that a look made; none has that name


class DifferenceKind(StrEnum):
    """What differs between a source and this installation."""

    MISSING_HERE = "missing_here"  # signed there, and nothing of it was delivered
    MISSING_THERE = "missing_there"  # delivered, and the provider does not know it
    OTHER_CONTENT = "other_content"  # its tenant was made from other facts
    VOIDED_THERE = "voided_there"  # withdrawn there, and its tenant lives
    WON_WITHOUT_CONTRACT = "won_without_contract"  # won in the CRM, and no contract has its number


class IntakeFindingStatus(StrEnum):
    """Where a finding stands."""

    OPEN = "open"
    AGREED = "agreed"  # terminal: both sides agree again
    SETTLED = "settled"  # terminal: a person decided, with a reason


_S = IntakeFindingStatus
INTAKE_FINDING_TRANSITIONS: Final[Mapping[IntakeFindingStatus, frozenset[IntakeFindingStatus]]] = {
    _S.OPEN: frozenset({_S.AGREED, _S.SETTLED}),
    _S.AGREED: frozenset(),
    _S.SETTLED: frozenset(),
}
ENDED_FINDING: Final = terminal(INTAKE_FINDING_TRANSITIONS)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference, explained in a sentence that names no person.

    ``subject`` is the envelope or the deal. ``digest`` tells two differences of one subject apart:
    one that was settled stays so while its digest is the same.
    """

    kind: DifferenceKind
    subject: str
    explanation: str
    digest: str
    tenant_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class IntakeFinding:
    """A difference that was found. ``delivery_id`` is the delivery that was made for it."""

    id: str
    source: str
    kind: DifferenceKind
    subject: str
    digest: str
    explanation: str
    delivery_id: str | None
    tenant_id: str | None
    status: IntakeFindingStatus
    found_at: datetime
    last_seen_at: datetime
    reason: str | None
    settled_by: str | None
    ended_at: datetime | None
    version: int

    def moved(self, status: IntakeFindingStatus, now: datetime, **changes: Any) -> Self:
        """Return it as it ended. Raises ``IllegalTransition``."""
        move(INTAKE_FINDING_TRANSITIONS, self.status, status, subject=self.id)
        return replace(self, status=status, ended_at=now, version=self.version + 1, **changes)

    def agreed(self, why: str, now: datetime) -> Self:
        """Return it as both sides agree again. Raises ``IllegalTransition``."""
        return self.moved(_S.AGREED, now, reason=why)

    def settled(self, actor: Actor, reason: str, now: datetime) -> Self:
        """Return it as a person decided. Raises ``IllegalTransition``."""
        return self.moved(_S.SETTLED, now, reason=reason, settled_by=actor.id)

    def seen_again(self, now: datetime) -> Self:
        """Return it as it still stands."""
        seen = max(now, self.last_seen_at)
        return replace(self, last_seen_at=seen, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class IntakeLook:
    """How far the looks at a source have come; its id is the source.

    ``position`` is the provider's time of the last change that was compared, never the time of a
    clock here: what was changed since then has not been seen. ``checked`` is the id of the last
    delivery that the provider was asked about. ``turn`` counts looks that were enqueued.
    """

    id: str
    position: datetime
    checked: str
    turn: int
    looked_at: datetime | None
    error: Mapping[str, Any] | None
    version: int

    def advanced(self, position: datetime, now: datetime) -> Self:
        """Return it after everything up to ``position`` was compared; it never goes back."""
        at = max(self.position, min(position, now))
        return replace(self, position=at, version=self.version + 1)

    def next_turn(self) -> Self:
        """Return it for its next look."""
        return replace(self, turn=self.turn + 1, version=self.version + 1)

    def asked_about(self, delivery_id: str) -> Self:
        """Return it after the provider was asked about deliveries up to one."""
        checked = max(self.checked, delivery_id)
        return replace(self, checked=checked, version=self.version + 1)

    def ended(self, now: datetime, error: Mapping[str, Any] | None) -> Self:
        """Return it after a look; with an error the last good one stays known."""
        at = self.looked_at if error is not None else now
        return replace(self, looked_at=at, error=error, version=self.version + 1)


def jitter(source: str, turn: int, most: timedelta) -> timedelta:
    """Return a pause up to ``most`` that is another one for each source and turn."""
    number = int.from_bytes(hashlib.sha256(f"{source}:{turn}".encode()).digest()[:4], "big")
    return most * (number / 2**32)


def fields_that_differ(here: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of two requests that differ, as dotted names in order."""
    ours, theirs = dict(_leaves(here, "")), dict(_leaves(there, ""))
    names = {*ours, *theirs} - {"additional_tenant"}  # what a person decided here
    return tuple(sorted(name for name in names if ours.get(name) != theirs.get(name)))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, value
