"""What happened to a tenant, and where all of them stand."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, SharedDep
from api.schemas.timeline_views import MomentView, StandingCountView
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.services import counts, timelines
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["tenants"], route_class=StrictRoute)


@router.get("/tenants/{key}/timeline")
def tenant_timeline(have: SharedDep, who: CallerDep, key: str) -> Page[MomentView]:
    """Show what happened to a tenant from its signature to today, newest first."""
    life = perform(have.core, who, timelines.life_of_tenant, key)
    return Page(items=[MomentView.of(each) for each in life.moments])


@router.get("/standing")
def count_tenants(have: SharedDep, who: CallerDep) -> Page[StandingCountView]:
    """Count the tenants by status and by whom they wait for; those that wait come first."""
    found = perform(have.core, who, counts.count_tenants)
    return Page(items=[StandingCountView.of(each) for each in found])
