"""A visit of the console by somebody who signed in at the identity provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from control_plane.domain.actor import Actor, ActorKind, Role

SESSION_LIFE: Final = timedelta(hours=8)
SESSION_IDLE: Final = timedelta(hours=1)
SEEN_EVERY: Final = timedelta(minutes=5)  # a visit is noted that often, not with each page
_TOKEN: Final = re.compile(r"(cns_[0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, kw_only=True)
class ConsoleSession:
    """Who the person is, as the access token said that was verified when they signed in."""

    id: str
    actor: Actor
    secret_hmac: str = field(repr=False)
    started_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    version: int = 1

    def is_open(self, now: datetime) -> bool:
        """Tell whether it is valid now: neither ended, nor idle, nor older than it may get."""
        return self.ended_at is None and now < self.expires_at and now < self.seen_at + SESSION_IDLE

    def is_seen_late(self, now: datetime) -> bool:
        """Tell whether it is time to note that it is in use."""
        return now >= self.seen_at + SEEN_EVERY

    def seen(self, now: datetime) -> Self:
        """Return it as it was seen now; a clock that moved backwards changes nothing."""
        return replace(self, seen_at=max(now, self.seen_at), version=self.version + 1)

    def ended(self, now: datetime) -> Self:
        """Return it ended."""
        return replace(self, ended_at=now, version=self.version + 1)


def read_session(text: str) -> tuple[str, str] | None:
    """Return id and secret of a session's token, None for anything else."""
    found = _TOKEN.match(text)
    return (found[1], found[2]) if found else None


def actor_document(actor: Actor) -> dict[str, Any]:
    """Return an actor as it is kept with a session."""
    return {
        "id": actor.id,
        "kind": str(actor.kind),
        "roles": [str(role) for role in actor.roles],
        "tenants": list(actor.tenants),
        "issuer": actor.issuer,
        "methods": list(actor.methods),
        "person": actor.person,
        "session": actor.session,
    }


def actor_from(document: Mapping[str, Any]) -> Actor:
    """Return the actor of a session; a role that is no more has no effect."""
    known = frozenset(Role)
    return Actor(
        id=document["id"],
        kind=ActorKind(document["kind"]),
        roles=tuple(Role(name) for name in document["roles"] if name in known),
        tenants=tuple(document["tenants"]),
        issuer=document["issuer"],
        methods=tuple(document["methods"]),
        person=document["person"],
        session=document["session"],
    )
