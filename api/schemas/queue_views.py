"""The queue, and what runs wait for, as the API answers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from api.schemas.views import View, WaitingView
from control_plane.domain.run import Run, RunKind, RunStatus
from control_plane.domain.waiting import Waiting
from control_plane.services.queue import QueueView


class PauseView(View):
    """The pause that stands."""

    id: str
    reason: str
    paused_by: str
    paused_at: datetime


class QueuedRunView(View):
    """A run that waits for its turn or for its change window."""

    run_id: str
    tenant_id: str | None
    kind: RunKind
    status: RunStatus
    waiting: WaitingView


class QueueStateView(View):
    """The queue of runs and builds; ``runs`` are those that wait, in the order of their turns."""

    paused: bool
    pause: PauseView | None
    runs: list[QueuedRunView]
    allowed_actions: list[str]

    @classmethod
    def of(cls, found: QueueView, queued: Sequence[tuple[Run, Waiting]]) -> Self:
        """Return the view of the queue."""
        pause = PauseView.like(found.pause) if found.pause is not None else None
        return cls(
            paused=pause is not None,
            pause=pause,
            runs=[
                QueuedRunView.like(run, run_id=run.id, waiting=WaitingView.like(waiting))
                for run, waiting in queued
            ],
            allowed_actions=list(found.allowed_actions),
        )
