"""The queue: whether it is paused, and steering that."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, SharedDep, WriterDep
from api.schemas import requests as bodies
from api.schemas.queue_views import QueueStateView
from api.strict_json import StrictRoute
from control_plane.services import queue
from control_plane.services.performing import perform
from control_plane.services.waiting import queued_runs
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/queue", tags=["queue"], route_class=StrictRoute)


@router.get("")
def show_queue(have: SharedDep, who: CallerDep) -> QueueStateView:
    """Show whether the queue is paused, since when and why, and what waits in it."""
    return perform(have.core, who, lambda act: _view(act, queue.show_queue(act)))


@router.post("/pause")
def pause_queue(have: SharedDep, who: WriterDep, body: bodies.Explained) -> QueueStateView:
    """Pause the queue: workers finish what they have and take nothing up until it is resumed."""

    def do(act: Act) -> QueueStateView:
        return _view(act, queue.pause_queue(act, reason=body.reason))

    return perform(have.core, who, do)


@router.post("/resume")
def resume_queue(have: SharedDep, who: WriterDep, body: bodies.Explained) -> QueueStateView:
    """Resume the queue: workers take up what waits."""

    def do(act: Act) -> QueueStateView:
        return _view(act, queue.resume_queue(act, reason=body.reason))

    return perform(have.core, who, do)


def _view(act: Act, found: queue.QueueView) -> QueueStateView:
    return QueueStateView.of(found, queued_runs(act))
