"""Tasks: what waits for a person, whatever it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.actions import OWNERS
from control_plane.domain.actor import Role
from control_plane.domain.cause import Cause
from control_plane.domain.transitions import move

Json = Mapping[str, Any]


class TaskStatus(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    DONE = "done"  # terminal: somebody did it
    CANCELED = "canceled"  # terminal: nobody has to do it any more


TASK_TRANSITIONS: Final[Mapping[TaskStatus, frozenset[TaskStatus]]] = {
    TaskStatus.OPEN: frozenset({TaskStatus.DONE, TaskStatus.CANCELED}),
    TaskStatus.DONE: frozenset(),
    TaskStatus.CANCELED: frozenset(),
}

# the roles of tokens that stand for an owner; an administrator stands for each
_ROLES_OF: Final[Mapping[str, tuple[Role, ...]]] = {
    "ops": (Role.OPS_APPROVER,),
    "solutions_architect": (Role.SOLUTIONS_ARCHITECT,),
}


def roles_of(owner: str) -> tuple[Role, ...]:
    """Return the roles whose holders may do what an owner has to do."""
    return (*_ROLES_OF.get(owner, ()), Role.PLATFORM_ADMIN)


def owners_of(roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Return the owners that a holder of some roles stands for."""
    return tuple(owner for owner in OWNERS if not set(roles).isdisjoint(roles_of(owner)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something that somebody has to do.

    ``about_kind`` and ``about_id`` name what it is about: a step, a check of a gate, a delivery, a
    message. ``owner`` is a role of ``domain.actions.OWNERS``, ``assignee`` a person of it. One of a
    ``dedupe_key`` is open at a time. ``answer`` is what was answered when it ended.
    """

    id: str
    tenant_id: str | None
    about_kind: str
    about_id: str
    owner: str
    assignee: str | None = None
    title: str
    instructions: str
    due_at: datetime | None
    status: TaskStatus
    answer: Json | None = None
    cause: Cause | None
    dedupe_key: str
    created_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = None
    version: int = 1

    def moved(self, status: TaskStatus, now: datetime, **changes: Any) -> Task:
        """Return it ended. Raises ``IllegalTransition``."""
        move(TASK_TRANSITIONS, self.status, status, subject=self.id)
        return replace(self, status=status, ended_at=now, version=self.version + 1, **changes)

    def changed(self, **changes: Any) -> Task:
        """Return it with other facts in the same status."""
        if "status" in changes:
            raise ValueError("only moved() changes a status")
        return replace(self, version=self.version + 1, **changes)

    def is_late(self, now: datetime) -> bool:
        """Tell whether it should have been done by now."""
        return self.status is TaskStatus.OPEN and self.due_at is not None and self.due_at < now
