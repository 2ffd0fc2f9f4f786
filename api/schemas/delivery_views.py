"""What the API takes and answers about deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.delivery import Delivery, DeliveryStatus
from control_plane.services import deliveries


class ReceiptOfDelivery(View):
    """That something was stored; nothing of its content."""

    delivery_id: str


class DeliveryDecision(Body):
    """What becomes of a delivery that waits for a person."""

    decision: Literal["accept_additional", "dismiss"]
    reason: Reason


class DeliveryView(View):
    """A delivery and what became of it; `times_received` counts each time it was posted."""

    id: str
    source: str
    account: str | None
    envelope_id: str | None
    event: str | None
    sha256: str
    size: int
    key_name: str | None
    has_content: bool
    status: DeliveryStatus
    error: dict[str, Any] | None
    request_id: str | None
    tenant_id: str | None
    times_received: int
    received_at: datetime
    last_received_at: datetime
    settled_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    decided_at: datetime | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, delivery: Delivery, reader: Actor) -> Self:
        """Return the view of a delivery for whom it is shown to."""
        return cls.like(
            delivery,
            has_content=delivery.body is not None,
            allowed_actions=deliveries.allowed_actions(delivery, reader),
        )


class ContentView(View):
    """The content of a delivery; `encoding` says how the text stands for its bytes."""

    id: str
    sha256: str
    size: int
    encoding: Literal["utf-8", "base64"]
    content: str
