"""Addresses that mail is not sent to, by digest, so that no address has to be kept for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Self

from control_plane.domain.actor import Actor
from control_plane.domain.errors import IllegalTransition


class SuppressionKind(StrEnum):
    """Why nothing is sent to an address."""

    OPTED_OUT = "opted_out"  # its owner asked for it; what is needed for the contract goes out
    BOUNCED = "bounced"  # nothing arrives there


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """An address that mail is not sent to until it is lifted. ``domain`` is that of the address."""

    id: str
    address_sha256: str
    domain: str
    kind: SuppressionKind
    reason: str
    added_by: str
    added_at: datetime
    lifted_by: str | None = None
    lift_reason: str | None = None
    lifted_at: datetime | None = None
    version: int = 1

    def lifted(self, actor: Actor, reason: str, now: datetime) -> Self:
        """Return it as somebody lifted it. Raises ``IllegalTransition`` when that was done."""
        if self.lifted_at is not None:
            raise IllegalTransition(f"{self.id} was lifted already", subject=self.id)
        return replace(
            self, lifted_by=actor.id, lift_reason=reason, lifted_at=now, version=self.version + 1
        )


def address_digest(email: str) -> str:
    """Return the digest that an address is known by; upper and lower case are the same."""
    return sha256(email.strip().casefold().encode()).hexdigest()
