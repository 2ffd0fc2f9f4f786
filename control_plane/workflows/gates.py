"""Gates: checks of machines with their evidence, and items that people confirm.

A gate holds when all of its checks do, in the transaction that records it. What it needs is asked
again when the tenant's row changes, when a person confirms an item, and every few minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.deployment import Deployment, DeploymentKind, Position
from control_plane.domain.finding import FindingKind
from control_plane.domain.task import TaskStatus
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.workflows.core import Act
from control_plane.workflows.holding import standing_on
from control_plane.workflows.owners import is_verified
from control_plane.workflows.residence import promise_of
from control_plane.workflows.step_actions import ActInRows, ActionOutcome, Did, Given, StillWaits
from control_plane.workflows.tasks import open_task

_CHECKED_AGAIN: Final = timedelta(minutes=10)
_PERSON: Final = "person:"
Found = tuple[bool, str, Mapping[str, Any]]  # whether it holds, why in words, what was looked at
Check = Callable[[Act, Tenant, list[Deployment]], Found]


def look(act: Act, given: Given) -> ActionOutcome:
    """Look at every check of a gate."""
    tenant = act.uow.tenants.need(given.tenant.id, lock=True)
    current = act.uow.deployments.find(tenant_id=tenant.id, position=Position.CURRENT)
    found = [
        _confirmed(act, given, number, check)
        if check.startswith(_PERSON)
        else _checked(act, check, tenant, current)
        for number, check in enumerate(given.declared.checks, start=1)
    ]
    missing = [each for each in found if not each["holds"]]
    result = {"checks": found}
    if not missing:
        return Did(result=result)
    says = "; ".join(f"{each['check']}: {each['why']}" for each in missing)
    return StillWaits(says=says, until=act.now() + _CHECKED_AGAIN, result=result)


def _checked(act: Act, name: str, tenant: Tenant, current: list[Deployment]) -> dict[str, Any]:
    holds, why, evidence = CHECK[name](act, tenant, current)
    return {
        "check": name, "by": "machine", "holds": holds, "why": why, "evidence": dict(evidence),
        "at": act.now().isoformat(),
    }  # fmt: skip


def _confirmed(act: Act, given: Given, number: int, check: str) -> dict[str, Any]:
    """Return what a person says of an item, who is asked where nobody was."""
    item = check.removeprefix(_PERSON).strip()
    dedupe_key = f"{given.cause.key}.{number}"
    done = act.uow.tasks.find(dedupe_key=dedupe_key, status=TaskStatus.DONE)
    if not done:
        open_task(
            act, owner=given.declared.owner, title=item,
            instructions=f"Confirm for the gate “{given.declared.title}”: {item}",
            about=("check", given.step.id), tenant_id=given.tenant.id, cause=given.cause,
            due_at=given.step.due_at, dedupe_key=dedupe_key,
        )  # fmt: skip
        return {
            "check": item, "by": "person", "holds": False, "why": "nobody has confirmed it",
            "evidence": {}, "at": act.now().isoformat(),
        }  # fmt: skip
    task = done[-1]
    evidence = {"task": task.id, "by": task.ended_by}
    return {
        "check": item, "by": "person", "holds": True, "why": "confirmed", "evidence": evidence,
        "at": task.ended_at.isoformat() if task.ended_at else None,
    }  # fmt: skip


# --- what machines check -------------------------------------------------------------------------
def _tenant_ready(act: Act, tenant: Tenant, current: list[Deployment]) -> Found:
    looked_at: dict[str, Any] = {"status": str(tenant.status)}
    for deployment in current:
        if deployment.kind is DeploymentKind.CUSTOMER_RUN:
            bundle = act.uow.queries.newest_bundle(deployment.id)
            receipts = act.uow.receipts.find(bundle_id=bundle.id) if bundle else []
            looked_at["receipts"] = [receipt.id for receipt in receipts]
        else:
            looked_at["evidence"] = deployment.evidence_id
            looked_at["state"] = deployment.state_digest
            if not is_verified(act.uow, deployment):
                return False, "there is no evidence for the state that it has", looked_at
    if tenant.status is not TenantStatus.READY:
        return False, f"the tenant is {tenant.status}", looked_at
    return True, "ready", looked_at


def _no_hold(act: Act, tenant: Tenant, _: list[Deployment]) -> Found:
    standing = standing_on(act.uow, tenant) if tenant.hold else []
    looked_at = {"holds": [hold.id for hold in standing]}
    if standing:
        return False, f"{len(standing)} hold(s) stand", looked_at
    return True, "none stands", looked_at


def _no_drift(act: Act, tenant: Tenant, current: list[Deployment]) -> Found:
    looks = [act.uow.evidence.get(each.evidence_id) for each in current if each.evidence_id]
    looked_at = {"evidence": [each.id for each in looks if each is not None]}
    if tenant.drifted:
        return False, "the newest look found differences", looked_at
    if any(each.kind is DeploymentKind.CUSTOMER_RUN for each in current):
        return True, "the customer runs it; its receipt says what was applied", looked_at
    return True, "the newest look agrees", looked_at


def _residency_kept(act: Act, tenant: Tenant, current: list[Deployment]) -> Found:
    misplaced = act.uow.findings.find(
        tenant_id=tenant.id, kind=FindingKind.MISPLACED, closed_at=None
    )
    promise = promise_of(tenant, act.core.rules.regions)
    ours = [each for each in current if each.kind is not DeploymentKind.CUSTOMER_RUN]
    seen = {each.id: act.uow.looks.newest_residence(each.id) for each in ours}
    looked_at = {
        "promised": promise.is_stated,
        "residences": [each.id for each in seen.values() if each is not None],
        "misplaced": [each.id for each in misplaced],
    }
    if misplaced:
        return False, f"{len(misplaced)} thing(s) are elsewhere", looked_at
    if not promise.is_stated:
        return True, "no residency was promised", looked_at
    if not ours:
        return True, "the customer runs it, and says where", looked_at
    if not all(each is not None and each.ok for each in seen.values()):
        return False, "not everything is known yet", looked_at
    return True, "everything is where it was promised", looked_at


def _audit_log_verifies(act: Act, tenant: Tenant, _: list[Deployment]) -> Found:
    """Verify the tenant's whole log now, as an auditor would."""
    entries, fault = act.core.trail.verify(tenant.id)
    looked_at = {"entries": entries}
    return (False, fault, looked_at) if fault else (True, "it verifies", looked_at)


CHECK: Final[Mapping[str, Check]] = {
    "tenant_ready": _tenant_ready,
    "no_hold": _no_hold,
    "no_drift": _no_drift,
    "residency_kept": _residency_kept,
    "audit_log_verifies": _audit_log_verifies,
}
LOOK: Final = ActInRows(look)
