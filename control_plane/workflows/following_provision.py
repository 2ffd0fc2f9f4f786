"""The action ``tenant.provision``: follows what the request began until the tenant is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from control_plane.domain.tenant import Tenant, TenantStatus, WaitingOn
from control_plane.workflows.core import Act
from control_plane.workflows.journey_rows import error_of
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionHandler,
    ActionOutcome,
    Did,
    DidFail,
    Given,
    StillWaits,
)

_WAITS: Final[Mapping[WaitingOn, str]] = {
    WaitingOn.OPS: "operations to decide on the plan",
    WaitingOn.ARCHITECT: "a solutions architect to hand the bundle over",
    WaitingOn.CUSTOMER: "the customer to apply the bundle and to send its receipt",
    WaitingOn.PLATFORM: "the platform to have room",
}
_GONE: Final = frozenset({TenantStatus.DEPROVISIONING, TenantStatus.DEPROVISIONED})


def follow(act: Act, given: Given) -> ActionOutcome:
    """Wait until the tenant is ready; what changes where it stands wakes the journey."""
    # locked: who makes it ready after this sets the timer of the journey after this
    tenant = act.uow.tenants.need(given.tenant.id, lock=True)
    newest = act.uow.queries.newest_of_tenants([tenant.id])[tenant.id]
    made = {
        name: value
        for name, value in {"run": newest.run_id, "bundle": newest.bundle_id}.items()
        if value is not None
    }
    if tenant.status is TenantStatus.READY:
        return Did(result={**made, "mode": tenant.mode, "waits_on": None})
    if tenant.status in _GONE:
        return DidFail(
            error=error_of(
                "tenant_removed", f"the tenant is {tenant.status}", "Cancel the journey."
            )
        )
    error = newest.run_error or newest.bundle_error
    return StillWaits(says=_says(tenant, error), result={**made, "waits_on": _on(tenant)})


def _on(tenant: Tenant) -> str:
    if tenant.status is TenantStatus.MODE_CONFLICT:
        return str(WaitingOn.ARCHITECT)
    if tenant.status is TenantStatus.FAILED:
        return str(WaitingOn.OPS)
    return str(tenant.waiting_on or WaitingOn.PLATFORM)


def _says(tenant: Tenant, error: Mapping[str, Any] | None) -> str:
    if tenant.hold:
        return "the hold on the tenant to be released"
    if tenant.status is TenantStatus.MODE_CONFLICT:
        return "a solutions architect to settle the mode"
    if tenant.status is TenantStatus.FAILED:
        code = f" ({error['code']})" if error else ""
        return f"operations to retry the run that failed{code}"
    if tenant.waiting_on is not None:
        return _WAITS[tenant.waiting_on]
    return "the run to end"


ACTIONS: Final[Mapping[str, ActionHandler]] = {"tenant.provision": ActInRows(follow)}
