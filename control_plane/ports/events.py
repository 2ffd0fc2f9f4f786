"""What publishing needs of the outside: its rows many at a time, and receivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from control_plane.domain.public_events import PublicEvent
from control_plane.domain.subscription import SendStatus


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One event for one subscription, and what became of it.

    ``id`` orders what goes to a subscription. ``tree`` is a tenant id, or the name of what belongs
    to none. ``answer`` is the beginning of what the receiver answered, which nobody trusts.
    """

    id: int
    subscription_id: str
    event_id: str
    name: str
    schema_version: int
    tree: str
    sequence: int
    occurred_at: datetime
    data: Mapping[str, Any]
    status: SendStatus
    attempts: int
    next_at: datetime
    tried_at: datetime | None
    answer_code: int | None
    failure: str | None
    answer: bytes | None
    sent_at: datetime | None

    @property
    def tenant_id(self) -> str | None:
        """The tenant that it is about."""
        return self.tree if self.tree.startswith("ten_") else None

    @property
    def event(self) -> PublicEvent:
        """The event itself."""
        return PublicEvent(
            id=self.event_id,
            name=self.name,
            version=self.schema_version,
            tenant_id=self.tenant_id,
            time=self.occurred_at,
            data=self.data,
        )


@dataclass(frozen=True, kw_only=True)
class TenantEvent:
    """One line of what people watch of a tenant; ``seq`` grows with each."""

    tenant_id: str
    seq: int
    event_id: str
    name: str
    occurred_at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a subscription fares: failures since its last success, and when it is tried again."""

    retry_at: datetime | None
    failures: int
    failing_since: datetime | None
    last_success_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How one attempt ended: ``failure`` is None when the receiver took the event.

    ``next_at`` is None when it was the last one. ``holds_all``: the receiver itself is in trouble,
    so that nothing is sent to it before that time.
    """

    at: datetime
    answer_code: int | None
    failure: str | None = None
    answer: bytes | None = None
    next_at: datetime | None = None
    holds_all: bool = False


class Publications(Protocol):
    """Rows of events that go out, one statement each."""

    def begin(self, subscription_id: str) -> None:
        """Begin to count how a new subscription fares."""

    def remove(self, subscription_id: str) -> int:
        """Delete a subscription with everything that waits for it; returns how many events."""

    def test(self, subscription_id: str, event: PublicEvent, now: datetime) -> int:
        """Let an event go to one subscription at once, beside all others; returns its id."""

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[str]:
        """Take subscriptions for which something is due; nobody else does until then."""

    def release(self, subscription_id: str, now: datetime) -> None:
        """Give a claimed subscription back; what waits behind a failed event waits with it."""

    def due(self, subscription_id: str, now: datetime, *, limit: int) -> Sequence[Outgoing]:
        """Return what is due, in order; nothing that comes after a failed one of its tenant."""

    def took(self, outgoing: Outgoing, attempt: Attempt) -> Health:
        """Keep how an attempt ended, and return how its subscription fares now."""

    def wake(self, subscription_id: str) -> None:
        """Let everything that waits for a subscription be due now."""

    def health(self, subscription_ids: Sequence[str]) -> Mapping[str, Health]:
        """Return how subscriptions fare."""

    def get(self, subscription_id: str, outgoing_id: int) -> Outgoing | None:
        """Return one event of a subscription."""

    def page(
        self,
        subscription_id: str,
        *,
        limit: int,
        before: int | None,
        status: SendStatus | None = None,
    ) -> Sequence[Outgoing]:
        """Return events of a subscription, newest first."""

    def replay(
        self, subscription_id: str, now: datetime, *, since: datetime | None = None,
        outgoing_id: int | None = None,
    ) -> int:  # fmt: skip
        """Let one event go out again, or all since a time; returns how many."""

    def watched(self, tenant_id: str, after: int, *, limit: int) -> Sequence[TenantEvent]:
        """Return what can be watched of a tenant after a number, in order."""

    def forget(self, before: datetime, *, limit: int) -> int:
        """Delete events from before a time, sent and watched ones; returns how many of either."""

    def sealing_key(self) -> tuple[str, bytes] | None:
        """Return id and public key with which secrets are sealed for the workers."""

    def keep_sealing_key(self, key_id: str, public: bytes, now: datetime) -> None:
        """Keep the key of the workers, if it is not known yet."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a receiver answered with success; ``text`` is its beginning."""

    status: int
    text: bytes


class EventSender(Protocol):
    """HTTP to URLs that somebody else named."""

    def check(self, url: str) -> None:
        """Refuse a URL that may not be called. Raises ``UrlRefused``."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post to a URL; a redirect is not followed.

        Raises ``UrlRefused``, and ``ReceiverFailed`` for everything but a success.
        """


class Sealing(Protocol):
    """Secrets that one process seals and only workers open."""

    def public(self) -> tuple[str, bytes]:
        """Return id and public half of the key of this worker."""

    def seal(self, public: bytes, content: bytes, *, context: str) -> str:
        """Seal content for those who have the private half; ``context`` is needed to open it."""

    def open(self, sealed: str, *, context: str) -> bytes:
        """Open what was sealed. Raises ``Unavailable`` when this process has another key."""
