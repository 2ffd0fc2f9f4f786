"""The first bundle of a deployment of Mode C, which waits for an architect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.cause import Cause
from control_plane.domain.deployment import Deployment
from control_plane.domain.spec import bundle_variables
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Act


def first_bundle(
    act: Act,
    tenant: Tenant,
    deployment: Deployment,
    *,
    facts: Mapping[str, Any] | None = None,
    cause: Cause | None = None,
) -> Bundle:
    """Return the first bundle; stores nothing. ``facts`` change those of the tenant.

    ``cause`` is the step of a journey that it is made for.
    """
    now = act.now()
    return Bundle(
        id=act.new_id("bundle"),
        tenant_id=tenant.id,
        deployment_id=deployment.id,
        number=1,
        status=BundleStatus.AWAITING_ARCHITECT,
        inputs=bundle_variables(
            deployment,
            tenant_slug=tenant.slug,
            facts={**tenant.facts, **(facts or {})},
            zones=act.core.rules.regions.availability_zones(deployment.region),
        ),
        cause=cause,
        expires_at=now + act.core.limits.bundle_life,
        created_at=now,
        updated_at=now,
    )
