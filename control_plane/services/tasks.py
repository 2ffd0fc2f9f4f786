"""Tasks of people: who has to do what, and what they answered."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actions import OWNERS
from control_plane.domain.actor import Actor
from control_plane.domain.errors import IllegalTransition, InvalidInput
from control_plane.domain.task import Task, TaskStatus, owners_of, roles_of
from control_plane.services import journeys
from control_plane.services.permission import listed, require_role, visible
from control_plane.workflows.core import Act
from control_plane.workflows.journey_rows import wake_journey
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.tasks import end_task, facts_of, targets_of

READERS: Final = journeys.READERS
DOERS: Final = journeys.STEERERS


def list_tasks(
    act: Act,
    *,
    limit: int,
    before: str | None,
    status: TaskStatus | None = None,
    mine: bool = False,
    owner: str | None = None,
    late: bool = False,
) -> list[Task]:
    """Return tasks, newest first; ``mine`` are those of owners that the caller stands for.

    With ``late`` those that are open and should have been done by now.
    """
    require_role(act, *READERS, wanted="tasks.read")
    equals = listed(act, status=status)
    if mine:
        own = owners_of(act.caller.actor.roles)
        equals["owner"] = tuple(each for each in own if owner in {None, each})
    elif owner is not None:
        equals["owner"] = (owner,)
    if not late:
        return act.uow.tasks.page(limit=limit, before=before, **equals)
    if status not in {None, TaskStatus.OPEN}:
        return []
    found = act.uow.late.tasks(
        act.now(), limit=limit, before=before, tenants=equals.get("tenant_id"),
        owners=equals.get("owner"),
    )  # fmt: skip
    return list(reversed(act.uow.tasks.find(id=tuple(found))))


def get_task(act: Act, task_id: str) -> Task:
    """Return a task. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="tasks.read")
    return visible(act, act.uow.tasks.get(task_id), wanted="tasks.read")


def allowed_actions(task: Task, actor: Actor) -> list[str]:
    """Return what somebody may ask of a task now."""
    if task.status is not TaskStatus.OPEN or not actor.has(*roles_of(task.owner)):
        return []
    return ["reassign"] if _is_of_failed_step(task) else ["done", "reassign"]


def finish_task(act: Act, task_id: str, *, answer: str, outcome: str | None = None) -> Task:
    """Say that a task is done; the step that asked for it is done with it.

    Raises ``InvalidInput`` without an answer, ``IllegalTransition`` for one that has ended, and
    for that of a step that failed: the step is retried, skipped, or said to be done.
    """
    task = _may_do(act, task_id, "done")
    with refused_as(
        act, "task.refused", tree=task.tenant_id, targets=targets_of(task), wanted="done"
    ):
        if not answer.strip():
            raise InvalidInput("an answer is required", field="answer")
        if task.status is not TaskStatus.OPEN:
            raise IllegalTransition(f"it is {task.status}", present_status=str(task.status))
        if _is_of_failed_step(task):
            raise IllegalTransition("its step failed: retry or skip the step, or say it is done")
        cause = task.cause
        if cause is not None:  # before the task, as everywhere
            act.uow.journeys.need(cause.journey_id, lock=True)
        task = act.uow.tasks.need(task_id, lock=True)
        said = {"said": answer.strip(), "by": act.caller.actor.id}
        done = end_task(act, task, TaskStatus.DONE, answer=said)
        if cause is not None and task.dedupe_key == cause.key:
            journeys.finish_step(
                act, cause.journey_id, cause.step, reason=answer, outcome=outcome, task=task
            )
        elif cause is not None:
            wake_journey(act, cause.journey_id)
        return done


def reassign_task(
    act: Act, task_id: str, *, owner: str | None = None, assignee: str | None = None
) -> Task:
    """Give a task to another owner's role, or to a person of it.

    Raises ``InvalidInput`` for an unknown owner, ``IllegalTransition`` once it has ended.
    """
    task = _may_do(act, task_id, "reassign")
    with refused_as(
        act, "task.refused", tree=task.tenant_id, targets=targets_of(task), wanted="reassign"
    ):
        if owner is not None and owner not in OWNERS:
            raise InvalidInput(f"there is no owner {owner}", field="owner")
        if owner is None and assignee is None:
            raise InvalidInput("an owner or an assignee is required", field="owner")
        task = act.uow.tasks.need(task_id, lock=True)
        if task.status is not TaskStatus.OPEN:
            raise IllegalTransition(f"it is {task.status}", present_status=str(task.status))
        given = task.changed(owner=owner or task.owner, assignee=assignee)
        act.uow.tasks.save(given)
        record(
            act, "task.reassigned",
            tree=task.tenant_id, targets=targets_of(task), previous_owner=task.owner,
            personal={"assignee": assignee} if assignee else {}, **facts_of(given),
        )  # fmt: skip
        return given


def _may_do(act: Act, task_id: str, wanted: str) -> Task:
    require_role(act, *DOERS, wanted=f"tasks.{wanted}")
    task = visible(act, act.uow.tasks.get(task_id), wanted=f"tasks.{wanted}")
    require_role(act, *roles_of(task.owner), wanted=f"tasks.{wanted}", tree=task.tenant_id)
    return task


def _is_of_failed_step(task: Task) -> bool:
    return task.about_kind == "step" and task.dedupe_key.endswith(".failed")
