"""What has to hold before a step of onboarding is complete: looked at now, in this transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from control_plane.domain.deployment import Position
from control_plane.domain.onboarding_document import StepCheck, StepRule
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.workflows.core import Act
from control_plane.workflows.gates import CHECK


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a check found, and why in the vendor's words."""

    check: StepCheck
    holds: bool
    why: str


def _link_redeemed(act: Act, tenant: Tenant) -> tuple[bool, str]:
    found = act.uow.onboarding_links.find(tenant_id=tenant.id)
    if any(each.used_at is not None for each in found):
        return True, "a one-time link was used"
    return False, "no one-time link was used yet"


def _mode_settled(_: Act, tenant: Tenant) -> tuple[bool, str]:
    if tenant.mode is None or tenant.status is TenantStatus.MODE_CONFLICT:
        return False, "the mode has to be decided first"
    return True, f"the mode is {tenant.mode}"


_OWN: Final[Mapping[StepCheck, Callable[[Act, Tenant], tuple[bool, str]]]] = {
    StepCheck.LINK_REDEEMED: _link_redeemed,
    StepCheck.MODE_SETTLED: _mode_settled,
}


def look_at(act: Act, tenant: Tenant, step: StepRule) -> tuple[Looked, ...]:
    """Look at every check of a step; the others are those of a journey's gates."""
    current = act.uow.deployments.find(tenant_id=tenant.id, position=Position.CURRENT)
    found = []
    for check in step.checks:
        own = _OWN.get(check)
        holds, why = own(act, tenant) if own else CHECK[check](act, tenant, current)[:2]
        found.append(Looked(check=check, holds=holds, why=why))
    return tuple(found)
