"""Where what a tenant has really is, against what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.residence import Promise, Residence
from control_plane.domain.tenant import Tenant
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.residence import promise_of


@dataclass(frozen=True, kw_only=True)
class DeploymentResidence:
    """Where one deployment is; ``residence`` is None before anybody looked."""

    deployment: Deployment
    residence: Residence | None

    @property
    def verdict(self) -> str:
        """What is known: ``none_promised``, ``kept``, ``broken``, ``unknown`` or ``not_ours``."""
        if self.deployment.kind is DeploymentKind.CUSTOMER_RUN:
            return "not_ours"
        if self.residence is None:
            return "unknown"
        if self.residence.ok is None:
            return "unknown" if self.residence.promise.is_stated else "none_promised"
        return "kept" if self.residence.ok else "broken"


@dataclass(frozen=True, kw_only=True)
class TenantResidence:
    """What was promised to a tenant, where its deployments are, and what is out of place."""

    tenant: Tenant
    promise: Promise
    deployments: Sequence[DeploymentResidence]
    misplaced: Sequence[Finding]

    @property
    def summary(self) -> str:
        """What holds, in one sentence; never nothing."""
        verdicts = {each.verdict for each in self.deployments}
        if self.misplaced or "broken" in verdicts:
            return (
                f"{len(self.misplaced)} things are where they were promised not to be; a "
                "compliance hold stands until a platform_admin releases it."
            )
        if not self.promise.is_stated:
            return "No residency was promised."
        if not self.deployments:
            return "Nothing exists yet."
        if "not_ours" in verdicts:
            return "The customer runs it: where it is was not verified by us."
        if "unknown" in verdicts:
            return "Not everything is known yet: look again with `tenantctl tenant check-drift`."
        return "Everything is where it was promised to be."


def residence_of(act: Act, key: str) -> TenantResidence:
    """Return where what a tenant has is. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    deployments = act.uow.deployments.find(tenant_id=tenant.id)
    return TenantResidence(
        tenant=tenant,
        promise=promise_of(tenant, act.core.rules.regions),
        deployments=[
            DeploymentResidence(deployment=each, residence=act.uow.looks.newest_residence(each.id))
            for each in deployments
        ],
        misplaced=act.uow.findings.find(
            tenant_id=tenant.id, kind=FindingKind.MISPLACED, closed_at=None
        ),
    )
