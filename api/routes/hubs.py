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
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/hubs", tags=["hubs"], route_class=StrictRoute)


@router.post("", status_code=202, response_model=HubView)
def request_hub(have: SharedDep, who: KeyedDep, body: bodies.Hub) -> JSONResponse:
    """Request the shared Hub of a region and cell; its plan waits for a decision."""
    document = bodies.plain(body)

    def do(act: Act) -> HubView:
        hub, _ = hubs.request_hub(act, **document)
        return HubView.of(hubs.details_of(act, hub))

    return keyed(have, who, "hubs", document, do, "/v1/hubs", may=hubs.may_request)


@router.get("")
def list_hubs(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[HubView]:
    """List Hubs, newest first."""
    found = perform(have.core, who, hubs.list_hubs, limit=page.limit, before=page.before)
    items = [HubView.of(each) for each in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{hub_id}")
def get_hub(have: SharedDep, who: CallerDep, hub_id: str) -> HubView:
    """Show a Hub."""
    return HubView.of(perform(have.core, who, hubs.get_hub, hub_id))
