"""Tasks as they are opened and closed by what needs a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control_plane.domain.cause import Cause
from control_plane.domain.errors import Conflict
from control_plane.domain.task import Task, TaskStatus
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record


def open_task(
    act: Act,
    *,
    owner: str,
    title: str,
    instructions: str,
    about: tuple[str, str],
    dedupe_key: str,
    tenant_id: str | None = None,
    cause: Cause | None = None,
    due_at: datetime | None = None,
) -> Task:
    """Open a task for an owner's role, or return the one that is open under the dedupe key.

    ``about`` is a kind and an id: ``("step", …)``, ``("delivery", …)``, ``("message", …)``.
    """
    found = task_under(act.uow, dedupe_key)
    if found is not None:
        return found
    task = Task(
        id=act.new_id("task"),
        tenant_id=tenant_id,
        about_kind=about[0],
        about_id=about[1],
        owner=owner,
        title=title,
        instructions=instructions,
        due_at=due_at,
        status=TaskStatus.OPEN,
        cause=cause,
        dedupe_key=dedupe_key,
        created_at=act.now(),
    )
    try:
        act.uow.add(task)
    except Conflict:  # another transaction was faster
        found = task_under(act.uow, dedupe_key)
        if found is None:
            raise
        return found
    record(
        act, "task.opened",
        tree=tenant_id, targets=targets_of(task),
        due_at=due_at.isoformat() if due_at else None, **facts_of(task),
    )  # fmt: skip
    return task


def close_task(act: Act, dedupe_key: str, *, why: str) -> None:
    """Close the task that is open under a dedupe key, if there is one: nobody has to do it."""
    task = task_under(act.uow, dedupe_key, lock=True)
    if task is not None:
        end_task(act, task, TaskStatus.CANCELED, answer={"why": why})


def task_under(uow: UnitOfWork, dedupe_key: str, *, lock: bool = False) -> Task | None:
    """Return the task that is open under a dedupe key."""
    found = next(iter(uow.tasks.find(dedupe_key=dedupe_key, status=TaskStatus.OPEN)), None)
    if found is None or not lock:
        return found
    locked = uow.tasks.get(found.id, lock=True)
    return locked if locked is not None and locked.status is TaskStatus.OPEN else None


def end_task(act: Act, task: Task, status: TaskStatus, *, answer: dict[str, Any]) -> Task:
    """End a task that is locked, as the caller answered. Raises ``IllegalTransition``."""
    ended = task.moved(status, act.now(), answer=answer, ended_by=act.caller.actor.id)
    act.uow.tasks.save(ended)
    record(
        act, "task.ended",
        tree=task.tenant_id, targets=targets_of(task), status=str(status), **facts_of(task),
    )  # fmt: skip
    return ended


def targets_of(task: Task) -> tuple[tuple[str, str], ...]:
    """Return what an event about a task is about."""
    own = ("task", task.id)
    return (("tenant", task.tenant_id), own) if task.tenant_id else (own,)


def facts_of(task: Task) -> dict[str, Any]:
    """Return what each event says of a task, None left out later."""
    return {
        "about": f"{task.about_kind}/{task.about_id}",
        "owner": task.owner,
        "step": task.cause.step if task.cause else None,
    }
