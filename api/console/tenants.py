"""Tenants: the list with its filters."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api.console.listing import TokenDep, next_token
from api.console.visiting import PageRoute, VisitorDep, fields_of
from control_plane.domain.errors import InvalidInput
from control_plane.domain.tenant import TenantStatus
from control_plane.services import tenants
from control_plane.services.performing import perform

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
PAGE: Final = 50


@router.get("/tenants")
def list_tenants(
    request: Request,
    who: VisitorDep,
    before: TokenDep,
    status: Annotated[str, Query(max_length=40)] = "",
    domain: Annotated[str, Query(max_length=255)] = "",
    drifted: Annotated[str, Query(max_length=5)] = "",
) -> Response:
    """List the tenants that somebody sees, newest first."""
    if status and status not in set(TenantStatus):
        raise InvalidInput(f"no tenant has the status {ascii(status)[1:-1]}", field="status")
    found = perform(
        who.have.core, who.reading, tenants.list_tenants, limit=PAGE, before=before,
        status=status or None, domain=domain.strip().lower() or None,
        drifted=True if drifted else None,
    )  # fmt: skip
    return who.page(
        "tenants.html", here="/console/tenants", found=found, statuses=list(TenantStatus),
        asked=fields_of(request.query_params),
        following=next_token(request, who, [tenant.id for tenant, _ in found], PAGE),
    )  # fmt: skip
