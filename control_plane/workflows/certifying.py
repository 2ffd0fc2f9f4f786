"""The certificate of a removal: what was removed, what remains, who decided; bound by the log.

The certificate says only what rows prove. Its digest is in an event of the owner's audit log, so
that the log's signed checkpoint, which no process of the application can make, signs it as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.finding import FindingKind
from control_plane.domain.removal import (
    Certificate,
    RemovalDecision,
    RemovalTopic,
    RemovalWord,
    deleted_types,
)
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record
from control_plane.workflows.removal_rules import decision_on
from control_plane.workflows.saga_rows import owner_of_saga
from control_plane.workflows.saga_steps import Ended, Outcome, last_of

VERSION: Final = 2  # since it says what was erased
EVENT: Final = "removal.certified"


def certify(act: Act, saga: Saga, _: SagaStep) -> Outcome:
    """Issue the certificate and record its digest."""
    certificate_id = act.new_id("certificate")
    body = _body(act, saga, certificate_id)
    certificate = Certificate(
        id=certificate_id,
        saga_id=saga.id,
        tenant_id=saga.tenant_id,
        hub_id=saga.hub_id,
        body=body,
        digest=digest(body),
        issued_at=act.now(),
    )
    act.uow.certificates.add(certificate)
    owner = ("tenant", saga.tenant_id) if saga.tenant_id else ("hub", saga.hub_id or "")
    record(
        act, EVENT,
        tree=saga.tenant_id, targets=(owner, ("saga", saga.id)), saga=saga.id,
        certificate=certificate.id, digest=certificate.digest,
    )  # fmt: skip
    return Ended(result={"certificate": certificate.id, "digest": certificate.digest})


def _body(act: Act, saga: Saga, certificate_id: str) -> dict[str, Any]:
    uow = act.uow
    found = uow.deployments.find(id=saga.data.get("deployment_id") or "")
    deployment = found[0] if found else None
    steps = uow.saga_steps.find(saga_id=saga.id)
    destroy = [step.run_id for step in steps if step.name == "destroy" and step.run_id]
    removed, checks = _removed(uow, destroy) if destroy else ({}, [])
    return {
        "certificate": VERSION,
        "id": certificate_id,
        "issued_at": act.now().isoformat(),
        "owner": _owner(act, saga),
        "deployment": _deployment(deployment),
        "requested": {"by": saga.requested_by, "at": saga.started_at.isoformat(), "saga": saga.id},
        "removed_by": _by(deployment, removed),
        "removed": removed,
        "checks": checks,
        "remaining": _remaining(uow, deployment),
        "stores": [
            {"name": each["name"], "type": each["type"], "items": each["items"]}
            for each in saga.data.get("stores", ())
        ],
        "export": _word(decision_on(uow, saga, RemovalTopic.EXPORT)),
        "customer": _word(decision_on(uow, saga, RemovalTopic.CUSTOMER)),
        "account_retired": saga.data.get("account"),
        "erased": saga.data.get("erased"),
    }


def _owner(act: Act, saga: Saga) -> dict[str, Any]:
    owner = owner_of_saga(act.uow, saga)
    if isinstance(owner, Tenant):
        return {"tenant": owner.id, "slug": owner.slug, "mode": owner.mode}
    return {"hub": owner.id, "region": owner.region, "cell": owner.cell}


def _deployment(deployment: Deployment | None) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return {
        "id": deployment.id, "stack": deployment.stack, "region": deployment.region,
        "account": deployment.account_id or None,
    }  # fmt: skip


def _by(deployment: Deployment | None, removed: Mapping[str, Any]) -> str:
    if removed:
        return "vendor"
    is_customers = deployment is not None and deployment.kind is DeploymentKind.CUSTOMER_RUN
    return "customer" if is_customers else "nothing_existed"


def _removed(
    uow: UnitOfWork, run_ids: Sequence[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the destroy deleted, and the checks that nothing of it is left.

    A run that was repeated deleted its part as well: the plans of all that began to apply count.
    """
    run = uow.runs.need(last_of(uow, run_ids[-1]))
    chain = {run.id: run}
    for run_id in run_ids:
        chain[run_id] = uow.runs.need(run_id)
    for each in list(chain.values()):
        repeated = each.retry_of
        while repeated is not None:
            chain[repeated] = uow.runs.need(repeated)
            repeated = chain[repeated].retry_of
    applied = [chain[run_id] for run_id in sorted(chain) if chain[run_id].started_at is not None]
    plans = [uow.plans.need(each.plan_id) for each in applied]
    types = deleted_types([operation for plan in plans for operation in plan.operations])
    evidence = uow.evidence.need(run.evidence_id)
    approvals = [each.approval_id for each in applied if each.approval_id]
    removed = {
        "run": run.id,
        "plan_digests": sorted({plan.digest for plan in plans}),
        "resources": sum(types.values()),
        "types": types,
        "approved_by": _approvers(uow, approvals),
        "verified_at": evidence.looked_at.isoformat(),
    }
    checks = [
        {"name": check.name, "ok": check.ok, "detail": check.detail} for check in evidence.checks
    ]
    return removed, checks


def _approvers(uow: UnitOfWork, approvals: Sequence[str]) -> list[dict[str, str]]:
    if not approvals:
        return []
    decisions = uow.decisions.find(approval_id=tuple(approvals), decision="approve")
    return [{"by": each.actor_id, "at": each.decided_at.isoformat()} for each in decisions]


def _remaining(uow: UnitOfWork, deployment: Deployment | None) -> list[dict[str, Any]]:
    if deployment is None:
        return []
    left = uow.findings.find(
        deployment_id=deployment.id, kind=FindingKind.REMAINING, closed_at=None
    )
    return [{"what": each.subject, **(each.expected or {}), **(each.actual or {})} for each in left]


def _word(decision: RemovalDecision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "word": str(decision.word), "by": decision.actor_id, "digest": decision.digest,
        "counts": dict(decision.counts), "at": decision.decided_at.isoformat(),
        "verified": decision.word is not RemovalWord.CUSTOMER_UNVERIFIED,
        **({"receipt": dict(decision.evidence)} if decision.evidence else {}),
    }  # fmt: skip
