"""Whether somebody else changed a stack, or what it made, since a plan: for those who decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from control_plane.domain.deployment import Deployment
from control_plane.domain.plan import PlanHead
from control_plane.ports.rows import UnitOfWork


class MovedWhen(StrEnum):
    """When a state was changed that none of our runs had written."""

    BEFORE_PLAN = "before_plan"  # the plan was made over what somebody else wrote
    SINCE_PLAN = "since_plan"  # the plan no longer holds: the apply will be refused


@dataclass(frozen=True, kw_only=True)
class StateMoved:
    """What is known without asking the engine: the apply itself looks at everything.

    ``when`` is None where no change of the state is known. ``open_findings`` counts what the last
    look found not to be as it was applied.
    """

    when: MovedWhen | None
    seen_at: datetime | None
    open_findings: int


def state_moved(uow: UnitOfWork, deployment: Deployment, plan: PlanHead) -> StateMoved:
    """Return what the rows say of a plan's state: that of the last apply, and of the last look."""
    findings = uow.findings.count(deployment_id=deployment.id, closed_at=None)
    newest = next(iter(uow.evidence.page(limit=1, deployment_id=deployment.id)), None)
    is_later = newest is not None and newest.looked_at > plan.created_at
    if newest is not None and is_later and newest.state_digest != plan.state:
        return StateMoved(
            when=MovedWhen.SINCE_PLAN, seen_at=newest.looked_at, open_findings=findings
        )
    if deployment.state_digest not in {None, plan.state}:
        return StateMoved(
            when=MovedWhen.BEFORE_PLAN, seen_at=plan.created_at, open_findings=findings
        )
    return StateMoved(when=None, seen_at=None, open_findings=findings)
