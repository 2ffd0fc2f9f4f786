"""An assignment: who of the vendor works for a tenant in a role, and why it is them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from control_plane.domain.cause import Cause
from control_plane.domain.errors import DomainError, IllegalTransition
from control_plane.domain.team import TeamRole


class PersonUnavailable(DomainError):
    """Somebody cannot be assigned: no capacity, no certificate, or another role."""

    code = "person_unavailable"
    title = "The person cannot be assigned"
    remedy = "Name somebody else, or nobody: then the person with most capacity left is assigned."


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Somebody in a role of a tenant, from ``since`` until ``until``.

    ``weight`` is what it takes of the person's points, ``capacity`` how many they had then. The
    owner of a queue has it while nobody else could, and it takes none of their points.
    ``explanation`` has a word on each candidate. ``previous_id`` is the assignment that it took
    over, ``reason`` why: both together are the hand-over. ``segment`` is the tenant's then.
    """

    id: str
    tenant_id: str
    role: TeamRole
    person_key: str
    segment: str
    weight: int
    capacity: int
    is_queue_owner: bool
    reason: str
    explanation: tuple[Mapping[str, Any], ...]
    cause: Cause | None = None
    previous_id: str | None = None
    assigned_by: str
    since: datetime
    until: datetime | None = None
    ended_by: str | None = None
    end_reason: str | None = None
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Whether the person has the role now."""
        return self.until is None

    def ended(self, actor_id: str, reason: str, now: datetime) -> Self:
        """Return it with its end. Raises ``IllegalTransition`` for one that has ended."""
        if not self.is_open:
            raise IllegalTransition(f"{self.id} has ended", subject=self.id)
        return replace(
            self, until=now, ended_by=actor_id, end_reason=reason, version=self.version + 1
        )

    def erased(self) -> Self:
        """Return it without what people wrote."""
        end_reason = None if self.end_reason is None else ""
        return replace(self, reason="", end_reason=end_reason, version=self.version + 1)
