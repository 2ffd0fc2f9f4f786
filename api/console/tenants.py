"""Tenants: the list with its filters, and everything about one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api.console.listing import TokenDep, next_token
from api.console.visiting import PageRoute, VisitorDep, fields_of
from control_plane.domain.errors import InvalidInput
from control_plane.domain.tenant import TenantStatus
from control_plane.services import findings, journeys, people, tenants
from control_plane.services.performing import perform
from control_plane.services.timelines import Life, Moment, life_of_tenant
from control_plane.workflows.core import Act

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


@router.get("/tenants/{key}")
def show_tenant(who: VisitorDep, key: str) -> Response:
    """Show everything about a tenant, with one timeline from its signature to today."""
    life, staff, journey = perform(who.have.core, who.reading, _read, key)
    return who.page(
        "tenant.html", here="/console/tenants", life=life, tenant=life.tenant,
        standing=life.shown[1], timeline=[_entry(each) for each in life.moments],
        staff=staff, journey=journey, to_do=findings.to_do,
        open_findings=[each for each in life.findings if each.is_open],
        actions=tenants.allowed_actions(life.tenant, who.actor),
    )  # fmt: skip


def _read(act: Act, key: str) -> tuple[Life, people.Staff, journeys.JourneyProgress | None]:
    life = life_of_tenant(act, key)
    journey = journeys.tenant_journey(act, life.tenant.id) if life.journeys else None
    return life, people.people_of_tenant(act, life.tenant.id), journey


def _entry(moment: Moment) -> dict[str, object]:
    """Return a moment as the timeline shows it: a run has a page, the others are below."""
    kind, about = moment.about
    there = {"run": f"/console/runs/{about}", "tenant": "", "hold": "#holds"}
    return {
        "at": moment.at, "title": moment.what.replace("_", " "), "text": moment.text,
        "tone": moment.tone, "href": there.get(kind, f"#{kind}s"),
    }  # fmt: skip
