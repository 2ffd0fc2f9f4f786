"""The queue, and what runs wait for, as the API answers them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from api.schemas.views import View
from control_plane.services.queue import QueueView


class PauseView(View):
    """The pause that stands."""

    id: str
    reason: str
    paused_by: str
    paused_at: datetime


class QueueStateView(View):
    """The queue of runs and builds."""

    paused: bool
    pause: PauseView | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, found: QueueView) -> Self:
        """Return the view of the queue."""
        pause = PauseView.like(found.pause) if found.pause is not None else None
        return cls(
            paused=pause is not None, pause=pause, allowed_actions=list(found.allowed_actions)
        )
