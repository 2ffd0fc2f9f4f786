"""How far the audit logs are: signed, in the root log, and seen by witnesses."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, SharedDep
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.services import audit_status
from control_plane.services.performing import perform

router = APIRouter(tags=["audit"], route_class=StrictRoute)
After = Annotated[str, Query(pattern=r"^([a-z]{1,10}(_[0-9A-Z]{26})?)?$")]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/v1/audit/status")
def get_witnessing_status(have: SharedDep, who: CallerDep) -> dict[str, Any]:
    """Show for how long signed heads have been known to this operator alone, and the witnesses.

    `clock` is null where no quorum of witnesses is asked for. `exposed_seconds` is the age of the
    oldest signed head of the root log that the quorum has not seen, 0 when it has seen all of them;
    `age_seconds` is that of the newest head that it has.
    """
    return dict(perform(have.core, who, audit_status.witnessing_status))


@router.get("/v1/audit/trees")
def list_audit_trees(
    have: SharedDep, who: CallerDep, after: After = "", limit: Limit = 100
) -> Page[dict[str, Any]]:
    """List the logs in the order of their names: size, signed, in the root log, witnessed.

    `next_page_token` is the next `after`.
    """
    found = perform(have.core, who, audit_status.list_trees, after=after, limit=limit)
    more = str(found[-1]["tree"]) if len(found) == limit else None
    return Page(items=[dict(item) for item in found], next_page_token=more)


@router.get("/v1/tenants/{key}/audit/status")
def get_tenant_audit_status(have: SharedDep, who: CallerDep, key: str) -> dict[str, Any]:
    """Show how far a tenant's log is: size, signed, in the root log, witnessed."""
    return dict(perform(have.core, who, audit_status.tree_status, key))


@router.get("/v1/audit/platform/status")
def get_platform_audit_status(have: SharedDep, who: CallerDep) -> dict[str, Any]:
    """Show how far the platform's log is."""
    return dict(perform(have.core, who, audit_status.tree_status, "platform"))
