"""Journeys of tenants, their steps, and the tasks of people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import journey_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.journey import JourneyStatus
from control_plane.domain.task import TaskStatus
from control_plane.services import journeys, tasks
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["journeys"], route_class=StrictRoute)


@router.get("/tenants/{key}/journey")
def tenant_journey(have: SharedDep, who: CallerDep, key: str) -> views.JourneyView:
    """Show how far the newest journey of a tenant is, step by step."""
    return views.JourneyView.of(perform(have.core, who, journeys.tenant_journey, key), who.actor)


@router.get("/tenants/{key}/journeys")
def tenant_journeys(have: SharedDep, who: CallerDep, key: str) -> list[views.JourneySummary]:
    """List all journeys of a tenant, newest first."""
    found = perform(have.core, who, journeys.journeys_of_tenant, key)
    return [views.JourneySummary.of(each) for each in found]


@router.get("/journeys")
def list_journeys(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    status: JourneyStatus | None = None,
    late: bool = False,
) -> Page[views.JourneySummary]:
    """List journeys, newest first; by status, or those that are late, if asked."""
    found = perform(
        have.core, who, journeys.list_journeys,
        limit=page.limit, before=page.before, status=status, late=late,
    )  # fmt: skip
    items = [views.JourneySummary.of(each) for each in found]
    return Page(items=items, next_page_token=page.token(each.id for each in items))


@router.get("/journeys/{journey_id}")
def get_journey(have: SharedDep, who: CallerDep, journey_id: str) -> views.JourneyView:
    """Show a journey, step by step."""
    return views.JourneyView.of(
        perform(have.core, who, journeys.get_journey, journey_id), who.actor
    )


@router.post("/journeys/{journey_id}/steps/{step}/retry")
def retry_step(have: SharedDep, who: WriterDep, journey_id: str, step: str) -> views.JourneyView:
    """Let a step be taken again that failed or asked a person, with a new budget."""
    found = perform(have.core, who, journeys.retry_step, journey_id, step)
    return views.JourneyView.of(found, who.actor)


@router.post("/journeys/{journey_id}/steps/{step}/skip")
def skip_step(
    have: SharedDep, who: WriterDep, journey_id: str, step: str, body: bodies.Explained
) -> views.JourneyView:
    """Leave a step out, with a reason; what needs it continues."""
    found = perform(have.core, who, journeys.skip_step, journey_id, step, reason=body.reason)
    return views.JourneyView.of(found, who.actor)


@router.post("/journeys/{journey_id}/steps/{step}/done")
def finish_step(
    have: SharedDep, who: WriterDep, journey_id: str, step: str, body: views.StepDone
) -> views.JourneyView:
    """Say that a step is done which waits for a person, or which failed."""
    found = perform(
        have.core, who, journeys.finish_step, journey_id, step,
        reason=body.reason, outcome=body.outcome,
    )  # fmt: skip
    return views.JourneyView.of(found, who.actor)


@router.post("/journeys/{journey_id}/cancel")
def cancel_journey(
    have: SharedDep, who: WriterDep, journey_id: str, body: bodies.Explained
) -> views.JourneyView:
    """Let a journey go no further, and take back what it did, newest first."""
    found = perform(have.core, who, journeys.cancel_journey, journey_id, reason=body.reason)
    return views.JourneyView.of(found, who.actor)


@router.get("/tasks")
def list_tasks(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    status: TaskStatus | None = None,
    mine: bool = False,
    owner: Annotated[str | None, Query(max_length=64)] = None,
    late: bool = False,
) -> Page[views.TaskView]:
    """List tasks, newest first; by status or owner, those of the caller's roles, or late ones."""
    found = perform(
        have.core, who, tasks.list_tasks,
        limit=page.limit, before=page.before, status=status, mine=mine, owner=owner,
        late=late,
    )  # fmt: skip
    now = have.core.clock.now()
    items = [views.TaskView.of(each, who.actor, now) for each in found]
    return Page(items=items, next_page_token=page.token(each.id for each in items))


@router.get("/tasks/{task_id}")
def get_task(have: SharedDep, who: CallerDep, task_id: str) -> views.TaskView:
    """Show a task with its instructions."""
    found = perform(have.core, who, tasks.get_task, task_id)
    return views.TaskView.of(found, who.actor, have.core.clock.now())


@router.post("/tasks/{task_id}/done")
def finish_task(
    have: SharedDep, who: WriterDep, task_id: str, body: views.TaskDone
) -> views.TaskView:
    """Say that a task is done, with an answer; its step is done with it."""
    found = perform(
        have.core, who, tasks.finish_task, task_id, answer=body.answer, outcome=body.outcome
    )
    return views.TaskView.of(found, who.actor, have.core.clock.now())


@router.post("/tasks/{task_id}/reassign")
def reassign_task(
    have: SharedDep, who: WriterDep, task_id: str, body: views.Reassigned
) -> views.TaskView:
    """Give a task to another owner, or to a person."""
    found = perform(
        have.core, who, tasks.reassign_task, task_id, owner=body.owner, assignee=body.assignee
    )
    return views.TaskView.of(found, who.actor, have.core.clock.now())
