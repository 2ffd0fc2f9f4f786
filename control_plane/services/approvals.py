"""Deciding on a plan: one person's yes or no on exactly one digest."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.approval import Approval, ApprovalStatus, Decision
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    DomainError,
    InvalidInput,
    MachineMayNotDecide,
    NotFound,
    PlanMoved,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.plan import Plan
from control_plane.domain.run import Run, RunStatus
from control_plane.ports import UnitOfWork
from control_plane.services.permission import require_role, require_sight
from control_plane.workflows.core import WORKER, Caller, Core
from control_plane.workflows.moving import expire_if_late, locked_run, move_run
from control_plane.workflows.recording import record, record_denied

READERS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR, Role.PLATFORM_AUDITOR)
VERDICTS = ("approve", "reject")
_REASON_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class ApprovalView:
    """An approval with what people need to decide."""

    approval: Approval
    plan: Plan
    run: Run
    deployment: Deployment
    decisions: tuple[Decision, ...]
    barred: tuple[tuple[str, str], ...]  # subject, reason


def decide(
    core: Core, caller: Caller, approval_id: str, *, verdict: str, plan_digest: str, reason: str
) -> ApprovalView:
    """Decide on an approval; a yes enqueues the apply of exactly this plan.

    Each refusal has its own code and an audit event: ``MachineMayNotDecide``, ``NotAllowed``,
    ``SeparationOfDuties``, ``AlreadyDecided``, ``ApprovalExpired``, ``PlanOutOfDate``,
    ``PlanMoved`` (naming the part).
    """
    tenant_id = _tenant_of(core, approval_id)
    require_sight(core, caller, tenant_id, act="decisions.create")
    targets = (("approval", approval_id),)
    try:
        _require_person(caller)
        require_role(core, caller, Role.OPS_APPROVER, act="decisions.create", tree=tenant_id)
        _check_words(verdict, reason)
        with core.uow() as uow:
            late = _decide(core, uow, caller, approval_id, verdict, plan_digest, reason)
            view = _view(uow, approval_id)
            uow.commit()
        if late:
            raise ApprovalExpired("the approval's time is over")
    except DomainError as error:
        if error.code != "not_allowed":  # recorded where it was found
            record_denied(
                core, caller, "decision.refused", error, tree=tenant_id, targets=targets,
                verdict=verdict[:20], part=_part(error), barred_as=error.data.get("barred_as"),
            )  # fmt: skip
        raise
    return view


def _part(error: DomainError) -> str | None:
    parts = error.data.get("parts")
    return str(parts[0]) if parts else None


def _tenant_of(core: Core, approval_id: str) -> str | None:
    with core.uow() as uow:
        approval = uow.approvals.get(approval_id)
    if approval is None:
        raise NotFound("there is no such thing")
    return approval.tenant_id


def _require_person(caller: Caller) -> None:
    if caller.actor.kind is not ActorKind.USER:
        raise MachineMayNotDecide("a decision is made by a person, not by a machine")


def _check_words(verdict: str, reason: str) -> None:
    if verdict not in VERDICTS:
        raise InvalidInput("decision is approve or reject", field="decision")
    if not 0 < len(reason.strip()) <= _REASON_LENGTH:
        raise InvalidInput(f"reason has 1 to {_REASON_LENGTH} characters", field="reason")


def _decide(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    approval_id: str,
    verdict: str,
    plan_digest: str,
    reason: str,
) -> bool:
    """Store the decision; returns True when the approval turned out to be late instead."""
    approval = uow.approvals.get(approval_id, lock=True)
    if approval is None:
        raise NotFound("there is no such thing")
    _require_distance(uow, caller, approval)
    if approval.status is ApprovalStatus.EXPIRED:
        raise ApprovalExpired("the approval's time is over")
    if approval.status is not ApprovalStatus.WAITING:
        raise AlreadyDecided(
            f"this approval is {approval.status}", present_status=str(approval.status)
        )
    run, _ = locked_run(uow, approval.run_id)
    if expire_if_late(core, uow, WORKER, run):
        return True
    if plan_digest != approval.plan_digest:
        raise PlanOutOfDate("the digest is not that of the waiting plan")
    if verdict == "approve":
        _require_unmoved(core, uow, run)
    _store(core, uow, caller, approval, run, verdict, reason)
    return False


def _require_distance(uow: UnitOfWork, caller: Caller, approval: Approval) -> None:
    subjects = {caller.actor.id, caller.actor.on_behalf_of}
    for barred in uow.barred.find(approval_id=approval.id):
        if barred.subject in subjects:
            raise SeparationOfDuties(
                f"you are the {barred.reason} of what you would decide on",
                barred_as=barred.reason,
            )


def _require_unmoved(core: Core, uow: UnitOfWork, run: Run) -> None:
    """Refuse what can be seen to have moved without asking the engine; the apply looks at all."""
    plan = uow.plans.get(run.plan_id or "")
    deployment = uow.deployments.get(run.deployment_id)
    if plan is None or deployment is None:
        raise NotFound("the plan is gone")
    present = {"spec": digest(dict(deployment.spec)), "policies": core.policies.digest()}
    moved = [part for part, value in present.items() if plan.parts[part] != value]
    if moved:
        raise PlanMoved(f"moved since the plan was made: {', '.join(moved)}", parts=moved)


def _store(
    core: Core,
    uow: UnitOfWork,
    caller: Caller,
    approval: Approval,
    run: Run,
    verdict: str,
    reason: str,
) -> None:
    now = core.clock.now()
    decision = Decision(
        id=core.ids.new("decision"),
        approval_id=approval.id,
        decision=verdict,
        plan_digest=approval.plan_digest,
        actor_id=caller.actor.id,
        actor_kind=str(caller.actor.kind),
        reason=reason.strip(),
        decided_at=now,
    )
    uow.decisions.add(decision)
    approve = verdict == "approve"
    status = ApprovalStatus.APPROVED if approve else ApprovalStatus.REJECTED
    uow.approvals.save(approval.moved(status, now))
    named = {
        "approval_id": approval.id,
        "decision_id": decision.id,
        "plan_digest": approval.plan_digest,
        "approver": caller.actor.id,
    }
    record(
        core, uow, caller, "decision.given",
        tree=run.tenant_id, targets=(("approval", approval.id), ("run", run.id)), run=run.id,
        approval=named, personal={"reason": decision.reason}, verdict=verdict,
        plan_digest=approval.plan_digest, approvals=1 if approve else 0, needed=1,
    )  # fmt: skip
    data = {"plan": approval.plan_id, "plan_digest": approval.plan_digest}
    if approve:
        moved = move_run(
            core, uow, caller, run, RunStatus.APPROVED, action="run.approved",
            approval=named, data={**data, "rule": "decision"},
        )  # fmt: skip
        uow.queue.enqueue("apply_run", run.id, partition=run.deployment_id, attempt=moved.attempt)
    else:
        move_run(
            core, uow, caller, run, RunStatus.REJECTED, action="run.rejected",
            approval=named, data=data,
        )  # fmt: skip


def get_approval(core: Core, caller: Caller, approval_id: str) -> ApprovalView:
    """Return an approval with its plan and decisions. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="approvals.read")
    require_sight(core, caller, _tenant_of(core, approval_id), act="approvals.read")
    with core.uow() as uow:
        return _view(uow, approval_id)


def list_approvals(
    core: Core, caller: Caller, *, limit: int, before: str | None, status: str | None
) -> list[ApprovalView]:
    """Return approvals the caller may see, newest first."""
    require_role(core, caller, *READERS, act="approvals.read")
    equals: dict[str, object] = {"status": status} if status else {}
    if "*" not in caller.actor.tenants:
        equals["tenant_id"] = caller.actor.tenants
    with core.uow() as uow:
        found = uow.approvals.page(limit=limit, before=before, **equals)
        return [_read(uow, approval) for approval in found]


def _view(uow: UnitOfWork, approval_id: str) -> ApprovalView:
    approval = uow.approvals.get(approval_id)
    if approval is None:
        raise NotFound("there is no such thing")
    return _read(uow, approval)


def _read(uow: UnitOfWork, approval: Approval) -> ApprovalView:
    plan, run = uow.plans.get(approval.plan_id), uow.runs.get(approval.run_id)
    deployment = uow.deployments.get(run.deployment_id) if run else None
    if plan is None or run is None or deployment is None:
        raise NotFound("the plan is gone")
    return ApprovalView(
        approval=approval,
        plan=plan,
        run=run,
        deployment=deployment,
        decisions=tuple(uow.decisions.find(approval_id=approval.id)),
        barred=tuple((b.subject, b.reason) for b in uow.barred.find(approval_id=approval.id)),
    )
