"""What the API takes and answers about event subscriptions."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field

from api.schemas.requests import Body
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.addresses import LONGEST_URL
from control_plane.domain.public_events import PublicType, envelope
from control_plane.domain.subscription import SendStatus, SubscriptionStatus
from control_plane.ports.events import Outgoing
from control_plane.services import subscriptions
from control_plane.services.subscriptions import Subscribed

Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
Types = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(min_length=1, max_length=30, examples=[["tenant.*", "bundle.ready"]]),
]
Note = Annotated[str, Field(max_length=200)]


class NewSubscription(Body):
    """Where public events are to go. `tenant_id` limits them to those of one tenant."""

    url: Url
    types: Types
    tenant_id: Annotated[str, Field(max_length=40)] | None = None
    description: Note | None = None


class SubscriptionChange(Body):
    """What is to be different; `paused` stops the sending or lets it begin again."""

    url: Url | None = None
    types: Types | None = None
    description: Note | None = None
    paused: bool | None = None


class ReplaySince(Body):
    """From when on events are sent again."""

    since: AwareDatetime


class SubscriptionView(View):
    """A subscription and how it fares. `secrets` are the generations that sign now."""

    id: str
    url: str
    types: list[str]
    tenant_id: str | None
    description: str | None
    status: SubscriptionStatus
    code: str | None
    secret_generation: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    failures: int
    failing_since: datetime | None
    retry_at: datetime | None
    last_success_at: datetime | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, found: Subscribed, reader: Actor) -> Self:
        """Return the view of a subscription for whom it is shown to."""
        return cls.like(found.subscription, **_more(found, reader))


class SecretView(SubscriptionView):
    """A subscription with its new secret, which is shown this once."""

    secret: str

    @classmethod
    def of(cls, found: Subscribed, reader: Actor) -> Self:
        """Return the view of a subscription for whom it is shown to."""
        return cls.like(found.subscription, secret=found.secret, **_more(found, reader))


def _more(found: Subscribed, reader: Actor) -> dict[str, Any]:
    health = found.health
    return {
        "types": list(found.subscription.types),
        "secret_generation": found.subscription.generation,
        "failures": health.failures,
        "failing_since": health.failing_since,
        "retry_at": health.retry_at,
        "last_success_at": health.last_success_at,
        "allowed_actions": subscriptions.allowed_actions(found.subscription, reader),
    }


class SentView(View):
    """One event for one subscription: what it says, and how the newest attempt ended."""

    id: str
    event_id: str
    type: str
    tenant_id: str | None
    status: SendStatus
    attempts: int
    occurred_at: datetime
    tried_at: datetime | None
    next_at: datetime | None
    sent_at: datetime | None
    answer_code: int | None
    failure: str | None
    answer: str | None
    payload: dict[str, Any]

    @classmethod
    def of(cls, sent: Outgoing) -> Self:
        """Return the view of an event that goes out."""
        return cls.like(
            sent,
            id=str(sent.id),
            type=sent.name,
            next_at=sent.next_at if sent.status is SendStatus.PENDING else None,
            answer=sent.answer.decode("utf-8", "replace") if sent.answer is not None else None,
            payload=json.loads(envelope(sent.event, sent.sequence)),
        )


class Replayed(View):
    """How many events go out again."""

    count: int


class EventTypeView(View):
    """A type of public event, with the JSON Schema of its data."""

    name: str
    type: str
    version: int
    description: str
    data_schema: dict[str, Any]

    @classmethod
    def of(cls, kind: PublicType) -> Self:
        """Return the view of a type."""
        return cls.like(kind, data_schema=kind.schema())


class EventTypes(View):
    """Every type of public event."""

    types: list[EventTypeView]
