"""Keeping a plan: its parts, its digest, what the policies say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain.approval import Approval, ApprovalStatus, Barred
from control_plane.domain.approval_rules import ApprovalRule
from control_plane.domain.audit import Stage
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment
from control_plane.domain.plan import Plan, plan_digest, summarize
from control_plane.domain.run import Run, RunStatus
from control_plane.ports import EnginePlan, UnitOfWork
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.moving import move_run
from control_plane.workflows.preparing import policy_scope
from control_plane.workflows.recording import record

# what holds data: deleting or replacing one cannot be undone
STATEFUL = (
    "aws:s3/bucket:Bucket", "aws:rds/instance:Instance", "aws:dynamodb/table:Table",
    "aws:kms/key:Key", "aws:secretsmanager/secret:Secret", "aws:cloudwatch/logGroup:LogGroup",
)  # fmt: skip
UNDOABLE_NOT = frozenset({"delete", "replace", "delete-replaced", "create-replacement"})


def present_parts(core: Core, deployment: Deployment, engine_plan: EnginePlan) -> dict[str, str]:
    """Return the digests of all parts of a plan, as things stand now."""
    return {
        **engine_plan.parts,
        "spec": digest(dict(deployment.spec)),
        "policies": core.policies.digest(),
    }


def keep_plan(
    core: Core, uow: UnitOfWork, caller: Caller, run: Run, engine_plan: EnginePlan
) -> tuple[Run, Plan]:
    """Store a plan with its policy evaluation and record both; the engine's file is sealed."""
    deployment = uow.deployments.get(run.deployment_id, lock=True)
    if deployment is None:
        raise LookupError(run.deployment_id)
    now = core.clock.now()
    parts = present_parts(core, deployment, engine_plan)
    evaluation = core.policies.judge_plan(engine_plan.resources, policy_scope(uow, deployment))
    plan_id = core.ids.new("plan")
    reference = f"plans/{plan_id}"
    core.objects.put(reference, core.secrets.seal(engine_plan.saved_plan, context=plan_id))
    plan = Plan(
        id=plan_id,
        run_id=run.id,
        deployment_id=deployment.id,
        digest=plan_digest(parts),
        parts=parts,
        operations=list(engine_plan.operations),
        resources=list(engine_plan.resources),
        summary=summarize(engine_plan.operations),
        irreversible=_irreversible(engine_plan),
        evaluation=evaluation,
        saved_plan_ref=reference,
        created_at=now,
    )
    uow.plans.add(plan)
    uow.deployments.save(
        replace(
            deployment,
            stack_salt=engine_plan.stack_salt or deployment.stack_salt,
            encrypted_key=engine_plan.encrypted_key or deployment.encrypted_key,
            updated_at=now,
            version=deployment.version + 1,
        )
    )
    run = run.changed(now, plan_id=plan.id, state_before=parts["state"])
    uow.runs.save(run)
    _record_plan(core, uow, caller, run, plan)
    return run, plan


def _irreversible(engine_plan: EnginePlan) -> list[dict[str, Any]]:
    return [
        {"urn": op["urn"], "type": op["type"], "name": op["name"], "op": op["op"]}
        for op in engine_plan.operations
        if op["op"] in UNDOABLE_NOT and op["type"] in STATEFUL
    ]


def _record_plan(core: Core, uow: UnitOfWork, caller: Caller, run: Run, plan: Plan) -> None:
    targets = (("run", run.id), ("plan", plan.id))
    record(
        core, uow, caller, "run.planned",
        tree=run.tenant_id, targets=targets, run=run.id, plan=plan.id, plan_digest=plan.digest,
        parts=dict(plan.parts),
        summary={key.replace("-", "_"): n for key, n in plan.summary.items()},
    )  # fmt: skip
    violations = plan.evaluation["violations"]
    record(
        core, uow, caller, "run.policy_evaluated",
        tree=run.tenant_id, targets=targets, run=run.id, phase="plan",
        stage=Stage.COMPLETED if plan.evaluation["ok"] else Stage.FAILED,
        violations=[
            {key: str(v[key]) for key in ("rule", "address", "enforcement")} for v in violations
        ],
        policies_digest=plan.parts["policies"],
    )  # fmt: skip


def fail_policy(core: Core, uow: UnitOfWork, caller: Caller, run: Run, plan: Plan) -> None:
    """End a run whose plan violates a mandatory rule."""
    mandatory = [v for v in plan.evaluation["violations"] if v["enforcement"] == "mandatory"]
    move_run(
        core, uow, caller, run, RunStatus.POLICY_FAILED, action=None,
        error={
            "code": "policy_violation",
            "message": f"{len(mandatory)} mandatory violations; first: {mandatory[0]['reason']}",
            "remedy": mandatory[0]["remedy"],
            "data": {"violations": mandatory},
        },
    )  # fmt: skip


def ask_for_decision(
    core: Core, uow: UnitOfWork, caller: Caller, run: Run, plan: Plan, rule: ApprovalRule
) -> None:
    """Let the run wait for a person's decision on exactly this plan, as ``rule`` wants."""
    now = core.clock.now()
    life = core.limits.approval_life or rule.expires_after
    approval = Approval(
        id=core.ids.new("approval"),
        run_id=run.id,
        plan_id=plan.id,
        plan_digest=plan.digest,
        tenant_id=run.tenant_id,
        status=ApprovalStatus.WAITING,
        expires_at=now + life,
        created_at=now,
        updated_at=now,
    )
    uow.approvals.add(approval)
    barred = barred_from_deciding(uow, run)
    for subject, reason in barred.items():
        uow.barred.add(
            Barred(
                id=f"{approval.id}:{subject}",
                approval_id=approval.id,
                subject=subject,
                reason=reason,
            )
        )
    move_run(
        core, uow, caller, run, RunStatus.AWAITING_APPROVAL, action="run.approval_requested",
        data={
            "plan": plan.id, "plan_digest": plan.digest, "barred": len(barred),
            "expires_at": approval.expires_at.isoformat(),
        },
        approval_id=approval.id,
    )  # fmt: skip


def barred_from_deciding(uow: UnitOfWork, run: Run) -> dict[str, str]:
    """Return who may not decide on the run's plan, with the reason for each."""
    barred: dict[str, str] = {}
    if run.tenant_id is not None:
        tenant = uow.tenants.get(run.tenant_id)
        for editor in tenant.editors if tenant else ():
            barred[editor] = "editor"
        for request in uow.requests.find(tenant_id=run.tenant_id):
            barred.setdefault(request.requested_by, "requester")
            if request.on_behalf_of is not None:
                barred.setdefault(request.on_behalf_of, "on_behalf_of")
    barred.setdefault(run.requested_by, "requester")
    if run.on_behalf_of is not None:
        barred.setdefault(run.on_behalf_of, "on_behalf_of")
    return barred
