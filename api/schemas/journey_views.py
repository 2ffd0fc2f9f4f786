"""What the API takes and answers about journeys and tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.actor import Actor
from control_plane.domain.journey import Journey, JourneyStatus, StepStatus
from control_plane.domain.playbook import StepKind
from control_plane.domain.task import Task, TaskStatus
from control_plane.services import journeys, tasks

Word = Annotated[str, Field(min_length=1, max_length=64)]


class StepDone(Body):
    """That a step is done, with its outcome where it has outcomes."""

    reason: Reason
    outcome: Word | None = None


class TaskDone(Body):
    """What was done for a task, with the outcome of its step where that has outcomes."""

    answer: Reason
    outcome: Word | None = None


class Reassigned(Body):
    """Whose a task is from now on: a role that owns steps, and perhaps a person."""

    owner: Word | None = None
    assignee: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class TaskView(View):
    """Something that a person has to do; `about` is a kind and an id."""

    id: str
    tenant_id: str | None
    about: str
    owner: str
    assignee: str | None
    title: str
    instructions: str
    due_at: datetime | None
    status: TaskStatus
    is_late: bool
    answer: dict[str, Any] | None
    cause: dict[str, Any] | None
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    allowed_actions: list[str]

    @classmethod
    def of(cls, task: Task, reader: Actor, now: datetime) -> Self:
        """Return the view of a task for whom it is shown to."""
        return cls.like(
            task,
            about=f"{task.about_kind}/{task.about_id}",
            is_late=task.is_late(now),
            cause=task.cause.to_document() if task.cause else None,
            allowed_actions=tasks.allowed_actions(task, reader),
        )


class StepView(View):
    """A step of a journey; `checks` of a gate each have their evidence."""

    key: str
    kind: StepKind
    title: str
    owner: str
    round: int
    status: StepStatus
    outcome: str | None
    reason: str | None
    waits_on: str | None
    due_at: datetime | None
    is_late: bool
    wakes_at: datetime | None
    attempts: int
    error: dict[str, Any] | None
    result: dict[str, Any]
    cause: dict[str, Any]
    started_at: datetime | None
    ended_at: datetime | None
    undone_at: datetime | None
    tasks: list[str]
    allowed_actions: list[str]

    @classmethod
    def of(cls, found: journeys.StepProgress, reader: Actor, journey: Journey) -> Self:
        """Return the view of a step for whom it is shown to."""
        return cls.like(
            found.step,
            title=found.declared.title,
            waits_on=found.waits_on,
            is_late=found.is_late,
            cause=found.cause.to_document(),
            tasks=[task.id for task in found.tasks],
            allowed_actions=journeys.allowed_actions(found, reader, journey),
        )


class JourneySummary(View):
    """A journey as a list shows it."""

    id: str
    tenant_id: str
    playbook: str
    status: JourneyStatus
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, journey: Journey) -> Self:
        """Return the view of a journey."""
        return cls.like(journey)


class JourneyView(View):
    """A playbook under way for a tenant; `day` is the customer's, Day 0 being 0."""

    id: str
    tenant_id: str
    playbook: str
    playbook_digest: str
    title: str
    status: JourneyStatus
    reason: str | None
    day: int
    is_late: bool
    anchors: dict[str, datetime]
    next_action: str
    steps: list[StepView]
    started_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, found: journeys.JourneyProgress, reader: Actor) -> Self:
        """Return the view of a journey for whom it is shown to."""
        return cls.like(
            found.journey,
            title=found.playbook.title,
            day=found.day,
            is_late=found.is_late,
            next_action=found.next_action,
            steps=[StepView.of(each, reader, found.journey) for each in found.steps],
        )
