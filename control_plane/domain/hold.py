"""Hold: while one stands, nothing of what it is on begins to be applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from control_plane.domain.actor import Actor, ActorKind, Role


class HoldKind(StrEnum):
    """Why something is held."""

    LEGAL = "legal"  # a dispute, an investigation: what exists has to stay
    COMPLIANCE = "compliance"  # a promise is not kept, such as where data is
    SAFETY = "safety"  # to continue could do harm
    PAUSE = "pause"  # nothing is wrong; somebody wants quiet


class Applying(StrEnum):
    """What becomes of an apply that began before the hold."""

    FINISHES = "finishes"  # it is resumed also when it was interrupted
    STOPS = "stops"  # at its next gate: when it is interrupted it is not resumed


@dataclass(frozen=True, kw_only=True)
class HoldRule:
    """What holds of one kind take.

    ``by_another``: a person releases it, and not one who placed it. ``stops_clocks``: dates after
    which something of the tenant is deleted or expires do not pass while it stands.
    """

    placed_by: tuple[Role, ...]
    released_by: tuple[Role, ...]
    by_another: bool
    stops_clocks: bool


_OPERATORS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
HOLD_RULES: Final[Mapping[HoldKind, HoldRule]] = {
    HoldKind.LEGAL: HoldRule(
        placed_by=_OPERATORS, released_by=(Role.PLATFORM_ADMIN,), by_another=True,
        stops_clocks=True,
    ),
    HoldKind.COMPLIANCE: HoldRule(
        placed_by=_OPERATORS, released_by=(Role.PLATFORM_ADMIN,), by_another=True,
        stops_clocks=True,
    ),
    HoldKind.SAFETY: HoldRule(
        placed_by=_OPERATORS, released_by=_OPERATORS, by_another=False, stops_clocks=False
    ),
    HoldKind.PAUSE: HoldRule(
        placed_by=_OPERATORS, released_by=_OPERATORS, by_another=False, stops_clocks=False
    ),
}  # fmt: skip
BY_ANOTHER: Final = frozenset(kind for kind, rule in HOLD_RULES.items() if rule.by_another)
STOPS_CLOCKS: Final = frozenset(kind for kind, rule in HOLD_RULES.items() if rule.stops_clocks)
PLACERS: Final = frozenset(role for rule in HOLD_RULES.values() for role in rule.placed_by)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One hold on a tenant or on a Hub. It is placed once, released once, and stays as a record.

    ``placers`` is everyone who stands behind its placing. ``released_person`` is who the account
    ``released_by`` belongs to.
    """

    id: str
    tenant_id: str | None
    hub_id: str | None
    kind: HoldKind
    applying: Applying
    reason: str
    placed_by: str
    placers: tuple[str, ...]
    placed_at: datetime
    released_by: str | None = None
    released_person: str | None = None
    released_kind: ActorKind | None = None
    release_reason: str | None = None
    released_at: datetime | None = None
    version: int = 1

    @property
    def stands(self) -> bool:
        """Tell whether nobody has released it."""
        return self.released_at is None

    def is_placer(self, actor: Actor) -> bool:
        """Tell whether an actor stands behind its placing, under whatever account."""
        return not set(self.placers).isdisjoint(actor.subjects)

    def released(self, actor: Actor, reason: str, now: datetime) -> Hold:
        """Return the hold as ``actor`` releases it."""
        return replace(
            self,
            released_by=actor.id,
            released_person=actor.person,
            released_kind=actor.kind,
            release_reason=reason,
            released_at=now,
            version=self.version + 1,
        )
