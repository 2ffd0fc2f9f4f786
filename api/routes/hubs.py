"""Shared Hubs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep
from api.schemas import requests as bodies
from api.schemas.views import HubView, Page
from api.strict_json import StrictRoute
from control_plane.services import hubs
from control_plane.workflows.core import Core

router = APIRouter(prefix="/v1/hubs", tags=["hubs"], route_class=StrictRoute)


@router.post("", status_code=202, response_model=HubView)
def request_hub(have: SharedDep, who: KeyedDep, body: bodies.Hub) -> JSONResponse:
    """Request the shared Hub of a region and cell; its plan waits for a decision."""
    document = bodies.plain(body)

    def act(core: Core) -> HubView:
        hub, run = hubs.request_hub(core, who, **document)
        return HubView.of(hub, 0, run)

    return keyed(have, who, "hubs", document, act, "/v1/hubs")


@router.get("")
def list_hubs(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[HubView]:
    """List Hubs, newest first."""
    found = hubs.list_hubs(have.core, who, limit=page.limit, before=page.before)
    items = [HubView.of(hub, slices) for hub, slices in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{hub_id}")
def get_hub(have: SharedDep, who: CallerDep, hub_id: str) -> HubView:
    """Show a Hub."""
    hub, slices = hubs.get_hub(have.core, who, hub_id)
    return HubView.of(hub, slices)
