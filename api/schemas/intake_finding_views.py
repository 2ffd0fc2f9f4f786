"""What the API answers about differences between sources of contracts and this installation."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.reconciling import (
    DifferenceKind,
    IntakeFinding,
    IntakeFindingStatus,
    IntakeLook,
)
from control_plane.services import intake_findings


class IntakeFindingView(View):
    """A difference; `delivery_id` is the delivery that was made for it."""

    id: str
    source: str
    kind: DifferenceKind
    subject: str
    explanation: str
    delivery_id: str | None
    tenant_id: str | None
    status: IntakeFindingStatus
    found_at: datetime
    last_seen_at: datetime
    reason: str | None
    settled_by: str | None
    ended_at: datetime | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, finding: IntakeFinding, reader: Actor) -> Self:
        """Return the view of a finding for whom it is shown to."""
        return cls.like(finding, allowed_actions=intake_findings.allowed_actions(finding, reader))


class IntakeLookView(View):
    """How far the looks at a source came; `error` is what stopped the last one."""

    source: str
    position: datetime
    looked_at: datetime | None
    error: dict[str, Any] | None

    @classmethod
    def of(cls, look: IntakeLook) -> Self:
        """Return the view of a look."""
        return cls.like(look, source=look.id)
