"""Drift: asking for a look at what a tenant or a Hub has, and reading what looks found."""

from __future__ import annotations

from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.finding import Finding
from control_plane.domain.hub import Hub
from control_plane.domain.run import Run
from control_plane.services.hubs import find_hub
from control_plane.services.permission import require_role
from control_plane.services.tenants import CHECKERS, deployment_of, get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.drift import request_look
from control_plane.workflows.recording import refused_as


def may_check(act: Act, key: str) -> None:
    """Refuse who may not ask for a look. Raises ``NotFound``, ``NotAllowed``."""
    tenant = get_tenant(act, key)
    require_role(act, *CHECKERS, wanted="drift_checks.create", tree=tenant.id)


def request_check(act: Act, key: str) -> Run:
    """Request a look at what a tenant has; one that has not ended is the answer in its place.

    It needs no approval, and lets runs that change something go first. Raises ``IllegalTransition``
    for a tenant that has nothing of ours.
    """
    may_check(act, key)
    tenant = get_tenant(act, key)
    with refused_as(
        act, "run.refused", tree=tenant.id, targets=(("tenant", tenant.id),), wanted="check_drift"
    ):
        deployment = deployment_of(act.uow, tenant)
        if deployment is None or deployment.kind is DeploymentKind.CUSTOMER_RUN:
            raise IllegalTransition(
                f"the tenant is {tenant.status}; it has nothing of ours to look at"
                if deployment is None
                else "the tenant is in mode C: the customer looks, with `terraform plan`",
                present_status=str(tenant.status),
            )
        return request_look(act, deployment)


def may_check_hub(act: Act, hub_id: str) -> Hub:
    """Return a Hub that the caller may look at. Raises ``NotFound``, ``NotAllowed``."""
    hub = find_hub(act, hub_id)
    require_role(act, *CHECKERS, wanted="drift_checks.create")
    return hub


def request_hub_check(act: Act, hub_id: str) -> Run:
    """Request a look at a Hub, as ``request_check`` does."""
    hub = may_check_hub(act, hub_id)
    with refused_as(
        act, "run.refused", tree=None, targets=(("hub", hub.id),), wanted="check_drift"
    ):
        return request_look(act, _of_hub(act, hub.id))


def list_hub_findings(
    act: Act, hub_id: str, *, limit: int, before: str | None, with_closed: bool = False
) -> list[Finding]:
    """Return the open findings of a Hub, or all of them, newest first. Raises ``NotFound``."""
    hub = find_hub(act, hub_id)
    only = {} if with_closed else {"closed_at": None}
    at = _of_hub(act, hub.id).id
    return act.uow.findings.page(limit=limit, before=before, deployment_id=at, **only)


def _of_hub(act: Act, hub_id: str) -> Deployment:
    return act.uow.deployments.find(hub_id=hub_id, kind=DeploymentKind.HUB)[0]


def list_findings(
    act: Act, key: str, *, limit: int, before: str | None, with_closed: bool = False
) -> list[Finding]:
    """Return the open findings of a tenant, or all of them, newest first. Raises ``NotFound``."""
    tenant = get_tenant(act, key)
    only = {} if with_closed else {"closed_at": None}
    return act.uow.findings.page(limit=limit, before=before, tenant_id=tenant.id, **only)
