"""What the API takes and answers about messages, and about addresses that get none."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.message import Channel, Message, MessageClass, MessageStatus
from control_plane.domain.message import Reason as Why
from control_plane.domain.suppression import Suppression, SuppressionKind
from control_plane.services import messages


class MessageView(View):
    """A message and what became of it. Who gets it and what it says is shown by its preview."""

    id: str
    tenant_id: str
    event: str
    persona: str
    channel: Channel
    locale: str
    message_class: MessageClass
    status: MessageStatus
    reason: Why | None
    error: dict[str, Any] | None
    attempts: int
    may_be_twice: bool
    template: str | None
    template_digest: str | None
    calendar_method: str | None
    system: str | None
    system_id: str | None
    message_id: str
    cause: dict[str, Any] | None
    queued_at: datetime
    settled_at: datetime | None
    erased_at: datetime | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, message: Message, reader: Actor) -> Self:
        """Return the view of a message for whom it is shown to."""
        return cls.like(
            message,
            cause=message.cause.to_document() if message.cause else None,
            allowed_actions=messages.allowed_actions(message, reader),
        )


class PreviewView(View):
    """A message as its recipient sees it; in the place of a secret stands its name."""

    id: str
    recipient_name: str
    recipient_email: str
    template: str
    locale: str
    subject: str
    text: str
    html: str

    @classmethod
    def of(cls, seen: messages.Preview) -> Self:
        """Return the view of a preview."""
        return cls(
            id=seen.message.id,
            recipient_name=seen.message.recipient_name,
            recipient_email=seen.message.recipient_email,
            template=seen.template.name,
            locale=seen.template.locale,
            subject=seen.rendered.subject,
            text=seen.rendered.text,
            html=seen.rendered.html,
        )


class NewSuppression(Body):
    """An address that nothing is sent to any more; it is kept as a digest."""

    email: Annotated[str, Field(min_length=3, max_length=254)]
    kind: SuppressionKind
    reason: Reason


class SuppressionView(View):
    """An address that nothing is sent to, by its digest and domain."""

    id: str
    address_sha256: str
    domain: str
    kind: SuppressionKind
    reason: str
    added_by: str
    added_at: datetime
    lifted_by: str | None
    lift_reason: str | None
    lifted_at: datetime | None

    @classmethod
    def of(cls, suppression: Suppression) -> Self:
        """Return the view of a suppression."""
        return cls.like(suppression)
