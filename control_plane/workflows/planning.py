"""Keeping a plan: its parts, its digest, what the policies say of it, whom it asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from control_plane.domain.approval import Approval, ApprovalStatus, ExcludedApprover
from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment, Desired, spec_digest
from control_plane.domain.engine import CloudDifference
from control_plane.domain.errors import PlanMoved
from control_plane.domain.plan import Plan, plan_digest, summarize
from control_plane.domain.risk import Risk, risks_of
from control_plane.domain.run import Run, RunKind, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.engine import EnginePlan
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.facts import terms_of
from control_plane.workflows.moving import move_run
from control_plane.workflows.placing import policy_scope, spec_of
from control_plane.workflows.recording import record_foreign_update, record_run

_NAMED: Final = 5  # differences named in the text of an error; its data has all


def present_parts(
    act: Act, run: Run, deployment: Deployment, engine_plan: EnginePlan
) -> dict[str, str]:
    """Return the digests of all parts of a plan, as things stand now."""
    if run.draft is not None:
        spec = spec_digest(run.draft, Desired.PRESENT)
    else:
        spec = spec_of(act.uow, deployment, run.spec_number).content_digest
    return {
        **engine_plan.parts,
        "spec": spec,
        "policies": act.core.policies.digest(),
        "rules": act.core.rules.approvals.digest,
    }


def keep_plan(act: Act, run: Run, engine_plan: EnginePlan) -> tuple[Run, Deployment, Plan]:
    """Store a plan with its policy evaluation and record both."""
    deployment = act.uow.deployments.need(run.deployment_id, lock=True)
    now = act.now()
    parts = present_parts(act, run, deployment, engine_plan)
    if deployment.state_digest not in {None, parts["state"]}:
        record_foreign_update(act, run, deployment, parts["state"])
    plan_id = act.new_id("plan")
    evaluation = act.core.policies.evaluate_plan(
        engine_plan.resources, policy_scope(act.uow, deployment)
    )
    signs = act.core.policies.signs_of(engine_plan.operations, engine_plan.resources)
    plan = Plan(
        id=plan_id,
        run_id=run.id,
        deployment_id=deployment.id,
        digest=plan_digest(parts),
        parts=parts,
        operations=tuple(engine_plan.operations),
        outputs=tuple(engine_plan.outputs),
        resources=tuple(engine_plan.resources),
        summary=summarize(engine_plan.operations),
        evaluation=evaluation,
        risks=risks_of(
            engine_plan.operations,
            evaluation,
            signs,
            act.core.rules.approvals.prices,
            is_first=run.kind is RunKind.PROVISION,
        ),
        created_at=now,
    )
    act.uow.plans.add(plan)
    run = run.changed(now, plan_id=plan.id, state_before=parts["state"], failures=0)
    act.uow.runs.save(run)
    _record_plan(act, run, plan)
    return run, deployment, plan


def _record_plan(act: Act, run: Run, plan: Plan) -> None:
    targets = (("plan", plan.id),)
    record_run(
        act, "run.planned", run, targets=targets, plan=plan.id, plan_digest=plan.digest,
        parts=dict(plan.parts),
        summary={key.replace("-", "_"): n for key, n in plan.summary.items()},
    )  # fmt: skip
    found = plan.evaluation.summary()
    record_run(
        act, "run.policy_evaluated", run, targets=targets, phase="plan",
        stage=Stage.COMPLETED if plan.evaluation.ok else Stage.FAILED,
        violations=found["violations"], count=found["count"], digest=found["violations_digest"],
        policies_digest=plan.parts["policies"],
    )  # fmt: skip


def ask_for_decision(act: Act, run: Run, deployment: Deployment) -> Run:
    """Let the run wait for people's decisions on exactly its plan, as the rules want."""
    plan = act.uow.plans.need(run.plan_id)
    terms = terms_of(act, run, deployment, plan)
    now = act.now()
    approval = Approval(
        id=act.new_id("approval"),
        run_id=run.id,
        plan_id=plan.id,
        plan_digest=plan.digest,
        tenant_id=run.tenant_id,
        status=ApprovalStatus.WAITING,
        rule=terms.rule.id,
        needed=terms.needed,
        rules=tuple(rule.id for rule in terms.rules),
        roles=terms.roles,
        windows=terms.windows,
        signed=terms.signed,
        expires_at=now + (act.core.limits.approval_life or terms.expires_after),
        created_at=now,
        updated_at=now,
    )
    act.uow.approvals.add(approval)
    act.uow.timers.set(TimerKind.APPROVAL_EXPIRY, approval.id, approval.expires_at)
    barred = barred_from_deciding(act.uow, run)
    for subject, reason in barred.items():
        act.uow.barred.add(excluded(approval.id, subject, reason))
    return move_run(
        act, run, RunStatus.AWAITING_APPROVAL, action="run.approval_requested",
        data={
            "plan": plan.id, "plan_digest": plan.digest, "barred": len(barred),
            "expires_at": approval.expires_at.isoformat(), "needed": approval.needed,
            "rules": list(approval.rules),
            "rules_digest": act.core.rules.approvals.digest, "windows": list(approval.windows),
            "risks": recorded_risks(plan.risks), "signed": approval.signed,
        },
        approval_id=approval.id,
    )  # fmt: skip


def recorded_risks(risks: Sequence[Risk]) -> list[dict[str, Any]]:
    """Return what an event holds of risks: kinds with resources and properties, without values."""
    seen = dict.fromkeys((str(risk.kind), risk.urn, risk.path) for risk in risks)
    return [{"kind": kind, "resource": urn, "path": path} for kind, urn, path in seen]


def exclude_from_deciding(act: Act, run: Run, subjects: Sequence[str], reason: str) -> None:
    """Exclude somebody who was not excluded when the run's decisions were asked for."""
    if run.approval_id is None:
        return
    known = {each.subject for each in act.uow.barred.find(approval_id=run.approval_id)}
    for subject in dict.fromkeys(subjects):
        if subject not in known:
            act.uow.barred.add(excluded(run.approval_id, subject, reason))


def excluded(approval_id: str, subject: str, reason: str) -> ExcludedApprover:
    """Return that somebody may not decide on an approval."""
    return ExcludedApprover(
        id=f"{approval_id}:{subject}", approval_id=approval_id, subject=subject, reason=reason
    )


def barred_from_deciding(uow: UnitOfWork, run: Run) -> dict[str, str]:
    """Return who may not decide on the run's plan, with the reason for each.

    ``run.requesters`` holds those of the runs that it follows and of its Hub as well.
    """
    barred: dict[str, str] = {}
    if run.tenant_id is not None:
        barred |= dict.fromkeys(uow.tenants.need(run.tenant_id).editors, "editor")
        for request in uow.requests.find(tenant_id=run.tenant_id):
            for subject in (request.requested_by, request.on_behalf_of):
                if subject is not None:
                    barred.setdefault(subject, "requester")
    for subject in run.requesters:
        barred.setdefault(subject, "requester")
    return barred


def plan_moved(parts: Sequence[str], found: Sequence[CloudDifference]) -> PlanMoved:
    """Return the error of a plan that is no longer what was approved, with every difference."""
    text = f"changed since the approval: {', '.join(parts)}"
    if not found:
        return PlanMoved(text, parts=list(parts))
    names = list(dict.fromkeys(f"{each.name} ({each.path or each.kind})" for each in found))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return PlanMoved(
        f"{text}; in the cloud differ: {', '.join(names[:_NAMED])}{more}",
        parts=list(parts),
        differences=[each.to_document() for each in found],
    )
