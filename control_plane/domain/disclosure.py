"""Personal values of the log: who may read them, and what is erased of them.

An *opening* shows named values to one person for a minute. A *grant* for an export is asked for by
one person and given by another, since what has left cannot be taken back. An *erasure* names each
value when it is asked for; another person confirms exactly this list, and it is erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final, Self
from uuid import UUID

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import event_id
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import PLATFORM

OPENING_LIFE: Final = timedelta(seconds=60)
GRANT_LIFE_DAYS: Final = 7  # unless the request says otherwise
MAX_GRANT_LIFE_DAYS: Final = 90
ERASURE_LIFE: Final = timedelta(days=7)  # of a request that nobody confirms
MAX_OPENED: Final = 50  # values of one opening
MAX_ERASED: Final = 5000  # values of one erasure
_PART: Final = 400  # values that one event names


class GrantKind(StrEnum):
    """What a grant is for."""

    OPENING = "opening"  # one person reads named values now
    EXPORT = "export"  # an export holds values


class ErasureScope(StrEnum):
    """How the values of an erasure were named."""

    SUBJECT = "subject"  # all values of one person
    PATHS = "paths"  # a list


@dataclass(frozen=True, kw_only=True)
class ValueKey:
    """Where a value is: log, event (the 128 bits of its id, as a UUID's text) and path."""

    tree: str
    event: str
    path: str


@dataclass(frozen=True, kw_only=True)
class OpenedValue:
    """A value as it is shown. ``value`` is canonical JSON: the bytes that were committed to.

    ``value`` and ``salt`` are None once it was erased; ``idx`` while it has no place in the log.
    """

    idx: int | None
    event_id: str
    path: str
    value: str | None
    salt: bytes | None
    erased_at: datetime | None
    erasure_event: str | None


@dataclass(frozen=True, kw_only=True)
class DisclosureGrant:
    """Who may read which values of one log, until when.

    ``tenant_id`` is None for the platform's log. ``items`` are the (event, path) of an opening. An
    export has those below ``paths`` (all if none is named) of entries from ``first_idx`` to
    ``last_idx``. ``requesters`` is everyone who stands behind the request.
    """

    id: str
    tenant_id: str | None
    kind: GrantKind
    items: tuple[Sequence[str], ...] = ()
    paths: tuple[str, ...] = ()
    first_idx: int | None = None
    last_idx: int | None = None
    reason: str
    requested_by: str
    requesters: tuple[str, ...]
    requested_at: datetime
    expires_at: datetime
    granted_by: str | None = None
    granted_person: str | None = None
    granted_kind: ActorKind | None = None
    granted_at: datetime | None = None
    version: int = 1

    def granted(self, actor: Actor, now: datetime) -> Self:
        """Return it as ``actor`` gives it."""
        return replace(
            self, granted_by=actor.id, granted_person=actor.person, granted_kind=actor.kind,
            granted_at=now, version=self.version + 1,
        )  # fmt: skip

    def status_at(self, now: datetime) -> str:
        """Return ``requested``, ``granted`` or ``expired``."""
        if self.expires_at <= now:
            return "expired"
        return "granted" if self.granted_at is not None else "requested"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """A list of values to be erased, asked for by one person and confirmed by another.

    ``parts`` are objects {tree, values}, each as much as one event names; ``digest`` is of them.
    ``done_events`` are the events of the parts. It holds nothing personal: a subject is not kept.
    """

    id: str
    tenant_id: str | None
    is_everywhere: bool
    scope: ErasureScope
    parts: tuple[dict[str, Any], ...]
    digest: str
    count: int
    reason: str
    legal_reference: str
    requested_by: str
    requesters: tuple[str, ...]
    requested_at: datetime
    requested_event: str
    expires_at: datetime
    confirmed_by: str | None = None
    confirmed_person: str | None = None
    confirmed_kind: ActorKind | None = None
    confirm_reason: str | None = None
    confirmed_at: datetime | None = None
    done_events: tuple[str, ...] = ()
    version: int = 1

    @property
    def trees(self) -> tuple[str, ...]:
        """The logs that have values of it, sorted."""
        return tuple(sorted({str(part["tree"]) for part in self.parts}))

    def confirmed(
        self, actor: Actor, reason: str, now: datetime, done_events: Sequence[str]
    ) -> Self:
        """Return it as ``actor`` confirms it."""
        return replace(
            self, confirmed_by=actor.id, confirmed_person=actor.person, confirmed_kind=actor.kind,
            confirm_reason=reason, confirmed_at=now, done_events=tuple(done_events),
            version=self.version + 1,
        )  # fmt: skip

    def status_at(self, now: datetime) -> str:
        """Return ``requested``, ``done`` or ``expired``."""
        if self.confirmed_at is not None:
            return "done"
        return "expired" if self.expires_at <= now else "requested"


def is_another_person(requesters: Iterable[str], actor: Actor) -> bool:
    """Tell whether an actor is a person, and not one who stands behind a request."""
    return actor.kind is ActorKind.USER and set(requesters).isdisjoint(actor.subjects)


def tree_of(tenant_id: str | None) -> str:
    """Return the log of a tenant, or the platform's."""
    return tenant_id or PLATFORM


def parts_of(keys: Iterable[ValueKey]) -> tuple[dict[str, Any], ...]:
    """Return values as parts, each of one log and as large as one event can name."""
    found = []
    ordered = sorted(set(keys), key=lambda key: (key.tree, key.event, key.path))
    for tree, group in groupby(ordered, key=lambda key: key.tree):
        values = [[key.event, key.path] for key in group]
        found += [
            {"tree": tree, "values": values[start : start + _PART]}
            for start in range(0, len(values), _PART)
        ]
    return tuple(found)


def digest_of(parts: Sequence[dict[str, Any]]) -> str:
    """Return the digest that the second person confirms."""
    return digest(list(parts))


def listed(part: dict[str, Any]) -> list[str]:
    """Return the values of a part as an event names them: event id and path."""
    return [f"{event_id_of(event)} {path}" for event, path in part["values"]]


def event_id_of(event: str) -> str:
    """Return the event id whose 128 bits the text of a UUID holds."""
    return event_id(UUID(event))
