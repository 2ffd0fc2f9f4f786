"""What the API answers about holds."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.hold import Applying, Hold, HoldKind
from control_plane.services import holds


class HoldView(View):
    """A hold on a tenant or on a Hub; it stands while `released_at` is null."""

    id: str
    tenant_id: str | None
    hub_id: str | None
    kind: HoldKind
    applying: Applying
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    release_reason: str | None
    released_at: datetime | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, hold: Hold, reader: Actor) -> Self:
        """Return the view of a hold for whom it is shown to."""
        return cls.like(hold, allowed_actions=holds.allowed_actions(hold, reader))
