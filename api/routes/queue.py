"""The queue: whether it is paused, and steering that."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, SharedDep, WriterDep
from api.schemas import requests as bodies
from api.schemas.queue_views import QueueStateView
from api.strict_json import StrictRoute
from control_plane.services import queue
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1/queue", tags=["queue"], route_class=StrictRoute)


@router.get("")
def show_queue(have: SharedDep, who: CallerDep) -> QueueStateView:
    """Show whether the queue is paused, since when and why."""
    return QueueStateView.of(perform(have.core, who, queue.show_queue))


@router.post("/pause")
def pause_queue(have: SharedDep, who: WriterDep, body: bodies.Explained) -> QueueStateView:
    """Pause the queue: workers finish what they have and take nothing up until it is resumed."""
    return QueueStateView.of(perform(have.core, who, queue.pause_queue, reason=body.reason))


@router.post("/resume")
def resume_queue(have: SharedDep, who: WriterDep, body: bodies.Explained) -> QueueStateView:
    """Resume the queue: workers take up what waits."""
    return QueueStateView.of(perform(have.core, who, queue.resume_queue, reason=body.reason))
