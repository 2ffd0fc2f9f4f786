"""Who may not decide on a plan, in sentences that say why and who may."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.actor import Actor
from control_plane.domain.approval import Approval, ApprovalStatus, ExcludedApprover
from control_plane.domain.errors import AlreadyDecided, SeparationOfDuties
from control_plane.domain.run import Run
from control_plane.ports.rows import UnitOfWork

_ENDED = {
    ApprovalStatus.APPROVED: "everybody whom it needs has approved",
    ApprovalStatus.REJECTED: "somebody rejected the plan",
    ApprovalStatus.CONSUMED: "what was approved has begun to be applied",
    ApprovalStatus.CANCELED: "its run was canceled",
}


def require_distance(uow: UnitOfWork, actor: Actor, approval: Approval, run: Run) -> None:
    """Refuse who asked for a change, retried a run of it, or edited its facts.

    The person counts, under whatever account. Raises ``SeparationOfDuties``, which names who else
    may not, and the roles of those who may.
    """
    barred = uow.barred.find(approval_id=approval.id)
    own = [each for each in barred if each.subject in actor.subjects]
    if not own:
        return
    others = sorted({each.subject for each in barred} - set(actor.subjects))
    raise SeparationOfDuties(
        f"{_why(own, actor, run)} {_who_may(approval.roles, others)}",
        barred_as=own[0].reason, roles=list(approval.roles), excluded=others,
    )  # fmt: skip


def _why(own: Sequence[ExcludedApprover], actor: Actor, run: Run) -> str:
    if all(each.reason == "editor" for each in own):
        return "You edited the facts of this change, so you cannot decide on it."
    asked = {run.requested_by, run.on_behalf_of}
    if asked.isdisjoint(actor.subjects):
        return "You requested or retried a run that leads to this plan, so you cannot decide on it."
    if run.retry_of is not None:
        return "You retried this run, so you cannot decide on its plan."
    return "You requested this change, so you cannot decide on it."


def _who_may(roles: Sequence[str], others: Sequence[str]) -> str:
    except_for = f" except {', '.join(others)}" if others else ""
    return f"Anybody else with the role {' or '.join(roles)}{except_for} may."


def require_open(uow: UnitOfWork, approval: Approval, run: Run) -> None:
    """Refuse a decision on what has ended, with how it did. Raises ``AlreadyDecided``."""
    if approval.status in {ApprovalStatus.WAITING, ApprovalStatus.EXPIRED}:
        return
    why = _ENDED.get(approval.status)
    if why is None:
        newest = uow.queries.newest_run(run.deployment_id)
        why = f"{newest.id if newest is not None else 'another run'} takes its place"
    raise AlreadyDecided(
        f"this approval is already {approval.status}: {why}", present_status=str(approval.status)
    )
