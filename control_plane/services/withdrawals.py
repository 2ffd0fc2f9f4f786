"""Withdrawing an approval that one has given, until the apply begins."""

from __future__ import annotations

from control_plane.domain.approval import (
    Approval,
    ApprovalStatus,
    Decision,
    Withdrawal,
    approvers,
    outcome,
    standing,
)
from control_plane.domain.errors import ApplyStarted, IllegalTransition
from control_plane.domain.run import Run, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.services.approvals import (
    ApprovalDetails,
    check_reason,
    details_of,
    is_own_approval,
    is_withdrawable,
    require_decider,
)
from control_plane.services.permission import visible
from control_plane.workflows.core import Act
from control_plane.workflows.moving import locked_run, move_run
from control_plane.workflows.recording import record, refused_as

_VERDICT = "withdraw"  # in the events of refusals


def withdraw(act: Act, approval_id: str, *, reason: str) -> ApprovalDetails:
    """Withdraw the caller's approval: it counts no more, and the run waits again if it needed it.

    Whichever of this and the beginning of the apply has the run's row first wins. Raises
    ``ApplyStarted`` once it has begun, ``IllegalTransition`` where the caller has approved nothing
    or the approval has ended. The same person may decide again.
    """
    asked = visible(act, act.uow.approvals.get(approval_id), wanted="decisions.create")
    with refused_as(
        act, "decision.refused",
        tree=asked.tenant_id, targets=(("approval", approval_id),), verdict=_VERDICT,
    ):  # fmt: skip
        require_decider(act, asked)
        check_reason(reason)
        _withdraw(act, asked, reason.strip())
    return details_of(act, [act.uow.approvals.need(approval_id)])[0]


def _withdraw(act: Act, asked: Approval, reason: str) -> None:
    run, _ = locked_run(act.uow, asked.run_id)  # before the approval, as everywhere
    approval = act.uow.approvals.need(asked.id, lock=True)
    if approval.status is ApprovalStatus.CONSUMED:
        raise ApplyStarted(f"the run is {run.status}: what was approved has begun")
    if not is_withdrawable(approval, run):
        status = run.status if approval.status is ApprovalStatus.APPROVED else approval.status
        raise IllegalTransition(
            f"nothing can be applied under this approval: it is {approval.status}, and the run is"
            f" {run.status}",
            present_status=str(status),
        )
    given = standing(
        act.uow.decisions.find(approval_id=approval.id),
        act.uow.withdrawals.find(approval_id=approval.id),
    )
    actor = act.caller.actor
    own = next((each for each in given if is_own_approval(each, approval, actor)), None)
    if own is None:
        raise IllegalTransition(
            "you have no approval to withdraw", present_status=str(approval.status)
        )
    left = tuple(each for each in given if each.id != own.id)
    _store(act, approval, run, own, left, reason)


def _store(
    act: Act,
    approval: Approval,
    run: Run,
    own: Decision,
    left: tuple[Decision, ...],
    reason: str,
) -> None:
    now, actor = act.now(), act.caller.actor
    act.uow.withdrawals.add(
        Withdrawal(
            id=act.new_id("withdrawal"),
            approval_id=approval.id,
            decision_id=own.id,
            actor_id=actor.id,
            person=actor.person,
            reason=reason,
            withdrawn_at=now,
        )
    )
    named = {
        "approval_id": approval.id, "decision_id": own.id, "plan_digest": approval.plan_digest,
        "approver": own.actor_id,
    }  # fmt: skip
    record(
        act, "decision.withdrawn",
        tree=run.tenant_id, targets=(("approval", approval.id), ("run", run.id)), run=run.id,
        approval=named, personal={"reason": reason}, decision=own.id,
        plan_digest=approval.plan_digest, needed=approval.needed, approvals=approvers(left),
    )  # fmt: skip
    is_approved = approval.status is ApprovalStatus.APPROVED
    if not is_approved or outcome(approval.needed, left) is ApprovalStatus.APPROVED:
        return
    act.uow.approvals.save(approval.moved(ApprovalStatus.WAITING, now))
    act.uow.timers.cancel(TimerKind.RUN_TURN, run.id)
    act.uow.timers.cancel(TimerKind.RUN_WATCH, run.id)
    move_run(
        act, run, RunStatus.AWAITING_APPROVAL, action="run.approval_withdrawn",
        data={"plan": approval.plan_id, "plan_digest": approval.plan_digest}, error=None,
    )  # fmt: skip
