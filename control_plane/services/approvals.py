"""Deciding on a plan: one person's yes or no on exactly one digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.actor import ActorKind, Role
from control_plane.domain.approval import Approval, ApprovalStatus, Decision, outcome
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    Conflict,
    DomainError,
    InvalidInput,
    MachineMayNotDecide,
    NotFound,
    PlanMoved,
    PlanOutOfDate,
    RunSuperseded,
    SeparationOfDuties,
)
from control_plane.domain.plan import PlanHead
from control_plane.domain.run import Run, RunStatus
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import TimerKind
from control_plane.ports import UnitOfWork
from control_plane.services.permission import require_role, require_sight, visible_tenants
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.moving import enqueue, locked_run, move_run
from control_plane.workflows.placing import spec_of
from control_plane.workflows.recording import record, record_denied

READERS = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR, Role.PLATFORM_AUDITOR)
VERDICTS = ("approve", "reject")
_REASON_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class ApprovalDetails:
    """An approval with what people need to decide; ``tenant`` is None for a Hub of the platform."""

    approval: Approval
    plan: PlanHead
    run: Run
    deployment: Deployment
    tenant: Tenant | None
    decisions: tuple[Decision, ...]
    barred: tuple[tuple[str, str], ...]  # subject, reason


def decide(
    core: Core, caller: Caller, approval_id: str, *, verdict: str, plan_digest: str, reason: str
) -> ApprovalDetails:
    """Decide on an approval; a yes enqueues the apply of exactly this plan.

    Each refusal has its own code and an audit event: ``MachineMayNotDecide``, ``NotAllowed``,
    ``SeparationOfDuties``, ``AlreadyDecided``, ``ApprovalExpired``, ``PlanOutOfDate``,
    ``PlanMoved`` (naming the part).
    """
    tenant_id = _tenant_of(core, approval_id)
    require_sight(core, caller, tenant_id, act="decisions.create")
    targets = (("approval", approval_id),)
    try:
        roles = _roles_of(core, approval_id)
        require_role(core, caller, *roles, act="decisions.create", tree=tenant_id)
        _require_person(caller)
        _check_words(verdict, reason)
        with core.uow() as uow:
            _decide(core, uow, caller, approval_id, verdict, plan_digest, reason)
            view = _view(uow, approval_id)
            uow.commit()
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


def _roles_of(core: Core, approval_id: str) -> tuple[Role, ...]:
    """Return the roles that the approval rules named when the decision was asked for."""
    with core.uow() as uow:
        approval = uow.approvals.get(approval_id)
    if approval is None:
        raise NotFound("there is no such approval")
    return tuple(Role(role) for role in approval.roles)


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
) -> None:
    """Store the decision and what follows from it."""
    found = uow.approvals.get(approval_id)
    if found is None:
        raise NotFound("there is no such approval")
    run, deployment = locked_run(uow, found.run_id)  # before the approval, as everywhere
    approval = uow.approvals.get(approval_id, lock=True) or found
    _require_distance(uow, caller, approval)
    if approval.status is ApprovalStatus.EXPIRED or core.clock.now() >= approval.expires_at:
        raise ApprovalExpired("the approval has expired")
    if approval.status is not ApprovalStatus.WAITING:
        raise AlreadyDecided(
            f"this approval is {approval.status}", present_status=str(approval.status)
        )
    newest = uow.queries.newest_run(run.deployment_id)
    if newest is not None and newest.number > run.number:
        raise RunSuperseded(f"{newest.id} takes the place of this run", newest=newest.id)
    if plan_digest != approval.plan_digest:
        raise PlanOutOfDate("the digest is not that of the waiting plan")
    if verdict == "approve":
        _require_unmoved(core, uow, run, deployment)
    _store(core, uow, caller, approval, run, verdict, reason)


def _require_distance(uow: UnitOfWork, caller: Caller, approval: Approval) -> None:
    subjects = set(caller.actor.subjects)
    for barred in uow.barred.find(approval_id=approval.id):
        if barred.subject in subjects:
            sentence = {
                "editor": "You edited the facts of this change, so you cannot decide on it.",
            }.get(barred.reason, "You requested this change, so you cannot decide on it.")
            raise SeparationOfDuties(sentence, barred_as=barred.reason)


def _require_unmoved(core: Core, uow: UnitOfWork, run: Run, deployment: Deployment) -> None:
    """Refuse what can be seen to have moved without asking the engine; the apply looks at all."""
    plan = uow.plans.get(run.plan_id or "")
    if plan is None:
        raise NotFound("the plan is gone")
    present = {
        "spec": digest(dict(spec_of(uow, deployment, run.spec_number).document)),
        "policies": core.policies.digest(),
        "rules": core.rules.approvals.digest,
    }
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
        person=caller.actor.person,
        actor_kind=str(caller.actor.kind),
        reason=reason.strip(),
        decided_at=now,
    )
    try:
        uow.decisions.add(decision)
    except Conflict:
        raise AlreadyDecided("you have decided on this approval already") from None
    given = uow.decisions.find(approval_id=approval.id)
    status = outcome(approval.needed, given)
    if status is not ApprovalStatus.WAITING:
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
        plan_digest=approval.plan_digest, needed=approval.needed,
        approvals=sum(d.decision == "approve" for d in given),
    )  # fmt: skip
    data = {"plan": approval.plan_id, "plan_digest": approval.plan_digest}
    if status is ApprovalStatus.APPROVED:
        moved = move_run(
            core, uow, caller, run, RunStatus.APPROVED, action="run.approved",
            approval=named, data={**data, "rule": approval.rule},
        )  # fmt: skip
        enqueue(core, uow, moved)
    elif status is ApprovalStatus.REJECTED:
        move_run(
            core, uow, caller, run, RunStatus.REJECTED, action="run.rejected",
            approval=named, data=data,
            error={
                "code": "rejected", "message": "The plan was rejected.",
                "remedy": "Read the reason of the decision, change the request, and retry.",
                "data": {"approval": approval.id},
            },
        )  # fmt: skip
        uow.timers.cancel(TimerKind.APPROVAL_EXPIRY, approval.id)


def get_approval(core: Core, caller: Caller, approval_id: str) -> ApprovalDetails:
    """Return an approval with its plan and decisions. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="approvals.read")
    require_sight(core, caller, _tenant_of(core, approval_id), act="approvals.read")
    with core.uow() as uow:
        return _view(uow, approval_id)


def list_approvals(
    core: Core, caller: Caller, *, limit: int, before: str | None, status: str | None
) -> list[ApprovalDetails]:
    """Return approvals the caller may see, newest first."""
    require_role(core, caller, *READERS, act="approvals.read")
    equals: dict[str, object] = {"status": status} if status else {}
    if "*" not in caller.actor.tenants:
        equals["tenant_id"] = visible_tenants(caller)
    with core.uow() as uow:
        return _details(uow, uow.approvals.page(limit=limit, before=before, **equals))


def _view(uow: UnitOfWork, approval_id: str) -> ApprovalDetails:
    approval = uow.approvals.get(approval_id)
    if approval is None:
        raise NotFound("there is no such approval")
    return _details(uow, [approval])[0]


def _details(uow: UnitOfWork, found: Sequence[Approval]) -> list[ApprovalDetails]:
    """Read what belongs to some approvals, with one statement for each kind of thing."""
    if not found:
        return []
    ids = tuple(approval.id for approval in found)
    runs = {run.id: run for run in uow.runs.find(id=tuple({a.run_id for a in found}))}
    places = tuple({run.deployment_id for run in runs.values()})
    deployments = {d.id: d for d in uow.deployments.find(id=places)}
    owners = tuple({a.tenant_id for a in found if a.tenant_id is not None})
    tenants = {t.id: t for t in uow.tenants.find(id=owners)} if owners else {}
    plans = uow.queries.plan_heads([approval.plan_id for approval in found])
    decisions, barred = uow.decisions.find(approval_id=ids), uow.barred.find(approval_id=ids)
    return [
        ApprovalDetails(
            approval=approval,
            plan=plans[approval.plan_id],
            run=runs[approval.run_id],
            deployment=deployments[runs[approval.run_id].deployment_id],
            tenant=tenants.get(approval.tenant_id or ""),
            decisions=tuple(d for d in decisions if d.approval_id == approval.id),
            barred=tuple((b.subject, b.reason) for b in barred if b.approval_id == approval.id),
        )
        for approval in found
    ]
