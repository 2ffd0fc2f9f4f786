"""Deciding on a plan: one person's yes or no on exactly one digest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.approval import (
    APPROVAL_TRANSITIONS,
    Approval,
    ApprovalStatus,
    Decision,
    ExcludedApprover,
    Withdrawal,
    approvers,
    outcome,
    standing,
    ticked,
)
from control_plane.domain.approver_errors import SignatureRefused
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    Conflict,
    DomainError,
    InvalidInput,
    MachineMayNotDecide,
    NotAcknowledged,
    PlanMoved,
    PlanOutOfDate,
    RunSuperseded,
)
from control_plane.domain.kinds import KINDS
from control_plane.domain.plan import PlanHead
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.signed_decision import SignedStatement
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import Dependent
from control_plane.services.distance import require_distance, require_open
from control_plane.services.permission import listed, require_role, visible
from control_plane.services.signing import check_signed, told_of
from control_plane.workflows.core import Act
from control_plane.workflows.moving import enqueue, locked_run, move_run
from control_plane.workflows.opening import opening_of, tell_opening
from control_plane.workflows.placing import give_back, spec_of
from control_plane.workflows.recording import leave_trace, record, record_denied
from control_plane.workflows.state_moved import StateMoved, state_moved

READERS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR, Role.PLATFORM_AUDITOR)
VERDICTS = ("approve", "reject")
_REASON_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class ApprovalDetails:
    """An approval with what people need to decide; ``tenant`` is None for a Hub of the platform.

    ``affected`` are the tenants that have a slice on that Hub.
    """

    approval: Approval
    plan: PlanHead
    run: Run
    deployment: Deployment
    tenant: Tenant | None
    decisions: tuple[Decision, ...]
    withdrawals: tuple[Withdrawal, ...]
    barred: tuple[tuple[str, str], ...]  # subject, reason
    affected: Sequence[Dependent]
    is_open: bool  # to the caller, for a decision
    can_withdraw: bool  # the caller, an approval
    moved: StateMoved | None = None  # read for one approval alone, not for a list


def decide(
    act: Act,
    approval_id: str,
    *,
    verdict: str,
    plan_digest: str,
    reason: str,
    acknowledge: Sequence[str] = (),
    signed: SignedStatement | None = None,
) -> ApprovalDetails:
    """Decide on an approval; the last yes that it needs enqueues the apply of exactly this plan.

    Who approves acknowledges, by name or URN, exactly what the plan cannot undo. Each refusal has
    its own code and an audit event: ``MachineMayNotDecide``, ``NotAllowed``,
    ``SeparationOfDuties``, ``AlreadyDecided``, ``ApprovalExpired``, ``PlanOutOfDate``,
    ``PlanMoved`` (naming the part), ``NotAcknowledged`` (naming the items), ``SignatureNeeded``,
    ``SignatureRefused``.
    """
    asked = _seen(act, approval_id)
    try:
        require_decider(act, asked)
        _check_words(verdict, reason, acknowledge)
        _decide(act, asked, verdict, plan_digest, reason, acknowledge, signed)
    except DomainError as error:
        parts = error.data.get("parts")
        leave_trace(
            error,
            partial(
                record_denied, act.core, act.caller, "decision.refused", error,
                tree=asked.tenant_id, targets=(("approval", approval_id),), verdict=verdict[:20],
                part=str(parts[0]) if parts else None, barred_as=error.data.get("barred_as"),
            ),
        )  # fmt: skip
        raise
    return details_of(act, [act.uow.approvals.need(approval_id)])[0]


def may_decide(act: Act, approval_id: str) -> None:
    """Refuse who may not decide on any such approval, whatever became of this one.

    Raises ``NotFound``, ``NotAllowed``, ``MachineMayNotDecide``.
    """
    require_decider(act, _seen(act, approval_id))


def _seen(act: Act, approval_id: str) -> Approval:
    return visible(act, act.uow.approvals.get(approval_id), wanted="decisions.create")


def require_decider(act: Act, approval: Approval) -> None:
    """Refuse a caller without a role of the approval, and a machine.

    Raises ``NotAllowed``, ``MachineMayNotDecide``.
    """
    roles = (Role(role) for role in approval.roles)
    require_role(act, *roles, wanted="decisions.create", tree=approval.tenant_id)
    if act.caller.actor.kind is not ActorKind.USER:
        raise MachineMayNotDecide("a decision is made by a person, not by a machine")


def open_to_caller(
    act: Act, found: Sequence[Approval], newest: Collection[str], given: Sequence[Decision]
) -> frozenset[str]:
    """Return the ids of approvals on which the caller may decide now.

    ``newest`` are runs that no other takes the place of, ``given`` the standing decisions.
    """
    ids = tuple(approval.id for approval in found)
    if not ids:
        return frozenset()
    return _open(act, found, newest, given, act.uow.barred.find(approval_id=ids))


def _open(
    act: Act,
    found: Sequence[Approval],
    newest: Collection[str],
    decisions: Sequence[Decision],
    barred: Sequence[ExcludedApprover],
) -> frozenset[str]:
    actor, now = act.caller.actor, act.now()
    closed = {each.approval_id for each in barred if each.subject in actor.subjects}
    closed |= {each.approval_id for each in decisions if each.is_by(actor)}
    return frozenset(
        approval.id
        for approval in found
        if approval.status is ApprovalStatus.WAITING
        and now < approval.expires_at
        and approval.run_id in newest
        and actor.kind is ActorKind.USER
        and actor.has(*map(Role, approval.roles))
        and approval.id not in closed
    )


def _check_words(verdict: str, reason: str, acknowledge: Sequence[str]) -> None:
    if verdict not in VERDICTS:
        raise InvalidInput("decision must be approve or reject", field="decision")
    if acknowledge and verdict != "approve":
        raise InvalidInput("only an approval acknowledges something", field="acknowledge")
    check_reason(reason)


def check_reason(reason: str) -> None:
    """Refuse a reason that says nothing, or too much. Raises ``InvalidInput``."""
    if not 0 < len(reason.strip()) <= _REASON_LENGTH:
        raise InvalidInput(f"reason must have 1 to {_REASON_LENGTH} characters", field="reason")


def _decide(
    act: Act,
    asked: Approval,
    verdict: str,
    plan_digest: str,
    reason: str,
    acknowledge: Sequence[str],
    signed: SignedStatement | None,
) -> None:
    """Store the decision and what follows from it."""
    run, deployment = locked_run(act.uow, asked.run_id)  # before the approval, as everywhere
    approval = act.uow.approvals.need(asked.id, lock=True)
    require_distance(act.uow, act.caller.actor, approval, run)
    require_open(act.uow, approval, run)
    if approval.status is ApprovalStatus.EXPIRED or act.now() >= approval.expires_at:
        raise ApprovalExpired(f"the approval expired on {approval.expires_at:%Y-%m-%d %H:%M} UTC")
    newest = act.uow.queries.newest_run(run.deployment_id)
    if newest is not None and newest.number > run.number:
        raise RunSuperseded(f"{newest.id} supersedes this run", newest=newest.id)
    if plan_digest != approval.plan_digest:
        raise PlanOutOfDate("the digest does not match the waiting plan")
    ticks: tuple[str, ...] = ()
    if verdict == "approve":
        _require_unmoved(act, run, deployment)
        ticks = _ticks(act, approval, acknowledge)
    check_signed(
        act, approval, run, deployment, signed,
        verdict=verdict, reason=reason.strip(), ticks=ticks,
    )  # fmt: skip
    _store(act, approval, run, verdict, reason, ticks, signed)
    if verdict == "reject" and KINDS[run.kind].means[RunStatus.REJECTED].gives_back:
        give_back(act, run, deployment)


def _require_unmoved(act: Act, run: Run, deployment: Deployment) -> None:
    """Refuse what can be seen to have moved without asking the engine; the apply looks at all."""
    plan = act.uow.plans.need(run.plan_id)
    present = {
        "spec": spec_of(act.uow, deployment, run.spec_number).content_digest,
        "policies": act.core.policies.digest(),
        "rules": act.core.rules.approvals.digest,
    }
    moved = [part for part, value in present.items() if plan.parts[part] != value]
    if moved:
        raise PlanMoved(f"changed since the plan was made: {', '.join(moved)}", parts=moved)


def _ticks(act: Act, approval: Approval, acknowledge: Sequence[str]) -> tuple[str, ...]:
    """Return the URNs of what was ticked: all that the plan cannot undo, and nothing else."""
    found = ticked(act.uow.plans.need(approval.plan_id).irreversible, acknowledge)
    sentences = []
    if found.missing:
        sentences.append(f"not acknowledged: {', '.join(found.missing)}")
    if found.unknown:
        sentences.append(f"nothing irreversible of the plan: {', '.join(found.unknown)}")
    if sentences:
        raise NotAcknowledged(
            "; ".join(sentences), missing=list(found.missing), unknown=list(found.unknown)
        )
    return found.urns


def _store(
    act: Act,
    approval: Approval,
    run: Run,
    verdict: str,
    reason: str,
    ticks: tuple[str, ...],
    signed: SignedStatement | None,
) -> None:
    now = act.now()
    actor, withdrawals = act.caller.actor, act.uow.withdrawals.find(approval_id=approval.id)
    own = [each for each in act.uow.decisions.find(approval_id=approval.id) if each.is_by(actor)]
    if standing(own, withdrawals):
        raise AlreadyDecided("you have already decided on this approval")
    decision = Decision(
        id=act.new_id("decision"),
        approval_id=approval.id,
        decision=verdict,
        plan_digest=approval.plan_digest,
        actor_id=act.caller.actor.id,
        person=act.caller.actor.person,
        actor_kind=str(act.caller.actor.kind),
        reason=reason.strip(),
        decided_at=now,
        number=len(own) + 1,
        acknowledged=ticks,
        signed=signed,
    )
    try:
        act.uow.decisions.add(decision)
    except Conflict as error:
        if error.data.get("constraint") == "uq_decision_nonce":
            raise SignatureRefused("the statement was used before") from None
        raise AlreadyDecided("you have already decided on this approval") from None
    given = standing(act.uow.decisions.find(approval_id=approval.id), withdrawals)
    status = outcome(approval.needed, given)
    if status is not ApprovalStatus.WAITING:
        is_given = status is ApprovalStatus.APPROVED
        opening = opening_of(act, approval) if is_given else None
        approval = approval.moved(status, now, opening=opening)
        act.uow.approvals.save(approval)
    named = {
        "approval_id": approval.id,
        "decision_id": decision.id,
        "plan_digest": approval.plan_digest,
        "approver": act.caller.actor.id,
    }
    record(
        act, "decision.given",
        tree=run.tenant_id, targets=(("approval", approval.id), ("run", run.id)), run=run.id,
        approval={**named, **({"signature": signed.signature} if signed else {})},
        personal={
            "reason": decision.reason, **({"reason_salt": signed.reason_salt} if signed else {})
        },
        **told_of(signed), verdict=verdict,
        plan_digest=approval.plan_digest, needed=approval.needed,
        approvals=approvers(given), acknowledged=list(ticks),
    )  # fmt: skip
    data = {"plan": approval.plan_id, "plan_digest": approval.plan_digest}
    if status is ApprovalStatus.APPROVED:
        moved = move_run(
            act, run, RunStatus.APPROVED, action="run.approved",
            approval=named, data={**data, "rule": approval.rule},
        )  # fmt: skip
        tell_opening(act, moved, approval)
        enqueue(act, moved)
    elif status is ApprovalStatus.REJECTED:
        move_run(
            act, run, RunStatus.REJECTED, action="run.rejected",
            approval=named, data=data,
            error={
                "code": "rejected", "message": "The plan was rejected.",
                "remedy": "Read the reason of the decision, change the request, then retry.",
                "data": {"approval": approval.id},
            },
        )  # fmt: skip
        act.uow.timers.cancel(TimerKind.APPROVAL_EXPIRY, approval.id)


def get_approval(act: Act, approval_id: str) -> ApprovalDetails:
    """Return an approval with its plan and decisions, and whether the state moved meanwhile.

    What is over says nothing of that: its own apply moved the state. Raises ``NotFound``.
    """
    require_role(act, *READERS, wanted="approvals.read")
    approval = visible(act, act.uow.approvals.get(approval_id), wanted="approvals.read")
    found = details_of(act, [approval])[0]
    if APPROVAL_TRANSITIONS[approval.status]:
        found = replace(found, moved=state_moved(act.uow, found.deployment, found.plan))
    return found


def list_approvals(
    act: Act, *, limit: int, before: str | None, status: str | None
) -> list[ApprovalDetails]:
    """Return approvals the caller may see, newest first."""
    require_role(act, *READERS, wanted="approvals.read")
    equals = listed(act, status=status)
    return details_of(act, act.uow.approvals.page(limit=limit, before=before, **equals))


def details_of(act: Act, found: Sequence[Approval]) -> list[ApprovalDetails]:
    """Read what belongs to some approvals, with few statements for however many."""
    if not found:
        return []
    uow, actor = act.uow, act.caller.actor
    ids = tuple(approval.id for approval in found)
    runs = uow.queries.placed_runs([approval.run_id for approval in found])
    plans = uow.queries.plan_heads([approval.plan_id for approval in found])
    decisions, barred = uow.decisions.find(approval_id=ids), uow.barred.find(approval_id=ids)
    withdrawals = uow.withdrawals.find(approval_id=ids)
    stand = standing(decisions, withdrawals)
    newest = {run_id for run_id, placed in runs.items() if placed.is_newest}
    are_open = _open(act, found, newest, stand, barred)
    hubs = [each.deployment.hub_id for each in runs.values() if each.tenant is None]
    affected = uow.queries.dependents([hub for hub in hubs if hub is not None]) if hubs else {}
    return [
        ApprovalDetails(
            approval=approval,
            plan=plans[approval.plan_id],
            run=runs[approval.run_id].run,
            deployment=runs[approval.run_id].deployment,
            tenant=runs[approval.run_id].tenant,
            decisions=tuple(d for d in decisions if d.approval_id == approval.id),
            withdrawals=tuple(w for w in withdrawals if w.approval_id == approval.id),
            barred=tuple((b.subject, b.reason) for b in barred if b.approval_id == approval.id),
            affected=()
            if runs[approval.run_id].tenant is not None
            else affected.get(runs[approval.run_id].deployment.hub_id or "", ()),
            is_open=approval.id in are_open,
            can_withdraw=is_withdrawable(approval, runs[approval.run_id].run)
            and actor.has(*map(Role, approval.roles))
            and any(is_own_approval(d, approval, actor) for d in stand),
        )
        for approval in found
    ]


def is_withdrawable(approval: Approval, run: Run) -> bool:
    """Tell whether what was approved has not begun, and could still begin."""
    if approval.status is ApprovalStatus.WAITING:
        return run.status is RunStatus.AWAITING_APPROVAL
    if approval.status is not ApprovalStatus.APPROVED:
        return False
    is_blocked = run.status is RunStatus.BLOCKED and run.blocked_from is RunStatus.APPROVED
    return run.status is RunStatus.APPROVED or (
        is_blocked and run.blocked_on is not BlockedOn.STATE_MOVED
    )


def is_own_approval(decision: Decision, approval: Approval, actor: Actor) -> bool:
    """Tell whether somebody approved by a decision, under whatever account."""
    is_yes = decision.approval_id == approval.id and decision.decision == "approve"
    return is_yes and actor.kind is ActorKind.USER and decision.is_by(actor)
