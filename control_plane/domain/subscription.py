"""A subscription to public events: where they go, which ones, and how they are signed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from control_plane.domain.documents import Documented, Readers
from control_plane.domain.errors import InvalidInput
from control_plane.domain.public_events import PUBLIC_TYPES
from control_plane.domain.transitions import move

# between two attempts, from Standard Webhooks 1.0.0: the last one is made after three days
PAUSES: Final = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2),
    timedelta(hours=5), timedelta(hours=10), timedelta(hours=14), timedelta(hours=20),
    timedelta(hours=24),
)  # fmt: skip
LONGEST_PAUSE: Final = timedelta(hours=24)  # that an answer may ask for
DISABLED_AFTER: Final = timedelta(days=5)  # of failures without a success in between
OVERLAP: Final = timedelta(hours=24)  # in which the former secret signs too
EVENTS_LIFE: Final = timedelta(days=30)  # of what was sent, or waits for a disabled receiver
MOST_SECRETS: Final = 2
MOST_TYPES: Final = 30
_PATTERN: Final = re.compile(r"\*|[a-z_]+\.\*|[a-z_]+\.[a-z_]+")

GONE: Final = "gone"  # the receiver answered 410
FAILING: Final = "failing"  # it has failed for too long


class SubscriptionStatus(StrEnum):
    """Whether events are sent; they are kept for it in each status."""

    ACTIVE = "active"
    PAUSED = "paused"  # by a person
    DISABLED = "disabled"  # by its receiver's answers; ``code`` says why


_S = SubscriptionStatus
SUBSCRIPTION_TRANSITIONS: Final[Mapping[SubscriptionStatus, frozenset[SubscriptionStatus]]] = {
    _S.ACTIVE: frozenset({_S.PAUSED, _S.DISABLED}),
    _S.PAUSED: frozenset({_S.ACTIVE}),
    _S.DISABLED: frozenset({_S.ACTIVE}),
}


class SendStatus(StrEnum):
    """What became of one event for one subscription."""

    PENDING = "pending"
    SENT = "sent"  # the receiver answered with success
    FAILED = "failed"  # every attempt failed; it can be replayed


@dataclass(frozen=True, kw_only=True)
class SealedSecret(Documented):
    """One generation of a signing secret, sealed with the key ``key_id`` of the workers.

    ``retires_at`` is None for the newest.
    """

    _readers: ClassVar[Readers] = {
        "created_at": datetime.fromisoformat,
        "retires_at": lambda value: None if value is None else datetime.fromisoformat(value),
    }

    generation: int
    key_id: str
    sealed: str
    created_at: datetime
    retires_at: datetime | None = None

    def to_document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "generation": self.generation,
            "key_id": self.key_id,
            "sealed": self.sealed,
            "created_at": self.created_at.isoformat(),
            "retires_at": self.retires_at.isoformat() if self.retires_at else None,
        }


@dataclass(frozen=True, kw_only=True)
class EventSubscription:
    """Where events go. ``tenant_id`` is None for those of all tenants and of the platform.

    ``types`` are names of public events, such as ``tenant.ready``, ``tenant.*`` or ``*``.
    """

    id: str
    url: str
    types: tuple[str, ...]
    tenant_id: str | None
    description: str | None
    secrets: tuple[SealedSecret, ...]
    status: SubscriptionStatus
    code: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    version: int

    def moved(self, status: SubscriptionStatus, now: datetime, *, code: str | None = None) -> Self:
        """Return it in another status. Raises ``IllegalTransition``."""
        move(SUBSCRIPTION_TRANSITIONS, self.status, status, subject=self.id)
        return self.changed(now, status=status, code=code)

    def changed(self, now: datetime, **changes: Any) -> Self:
        """Return it with other fields."""
        return replace(self, **changes, updated_at=now, version=self.version + 1)

    @property
    def generation(self) -> int:
        """The number of the newest secret."""
        return self.secrets[-1].generation

    def with_secret(self, secret: SealedSecret, now: datetime) -> Self:
        """Return it with a new secret; the former one signs too until the overlap has ended."""
        former = replace(self.secrets[-1], retires_at=now + OVERLAP)
        return self.changed(now, secrets=(former, secret)[-MOST_SECRETS:])

    def active_secrets(self, now: datetime) -> tuple[SealedSecret, ...]:
        """Return the secrets that sign now, the newest first."""
        return tuple(
            each
            for each in reversed(self.secrets)
            if each.retires_at is None or now < each.retires_at
        )


def checked_types(given: Sequence[str]) -> tuple[str, ...]:
    """Return patterns of event types, each once.

    Raises ``InvalidInput`` naming the first that matches no type.
    """
    if not given or len(given) > MOST_TYPES:
        raise InvalidInput(f"name 1 to {MOST_TYPES} types of events, or *", field="types")
    for index, pattern in enumerate(given):
        if not _PATTERN.fullmatch(pattern) or not any(matches(pattern, n) for n in PUBLIC_TYPES):
            raise InvalidInput(
                f"there is no type {pattern[:60]!a}; `tenantctl subscription types` lists "
                "them, and tenant.* means all that begin with tenant.",
                field=f"types.{index}",
            )
    return tuple(dict.fromkeys(given))


def matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern names a type of event."""
    return pattern in {"*", name, f"{name.partition('.')[0]}.*"}


def patterns_of(name: str) -> tuple[str, ...]:
    """Return the patterns that name a type of event."""
    return ("*", name, f"{name.partition('.')[0]}.*")


def pause_after(attempts: int, asked: timedelta | None) -> timedelta | None:
    """Return how long to wait after so many attempts that failed; None when it was the last one.

    ``asked`` is what the receiver's answer asked for, which only makes it longer.
    """
    if attempts > len(PAUSES):
        return None
    return max(PAUSES[attempts - 1], min(asked or timedelta(0), LONGEST_PAUSE))
