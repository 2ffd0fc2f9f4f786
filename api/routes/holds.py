"""Holds on tenants and Hubs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, SharedDep, WriterDep
from api.schemas import requests as bodies
from api.schemas.hold_views import HoldView
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.hold import Applying, HoldKind
from control_plane.services import holds
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1", tags=["holds"], route_class=StrictRoute)
PLACE = "/v1/holds"


@router.post("/tenants/{key}/holds", status_code=201, response_model=HoldView)
def hold_tenant(have: SharedDep, who: KeyedDep, key: str, body: bodies.Hold) -> JSONResponse:
    """Place a hold on a tenant: nothing of it begins to be applied while one stands."""

    def do(act: Act) -> HoldView:
        hold = holds.place_on_tenant(
            act, key,
            kind=HoldKind(body.kind), applying=Applying(body.applying), reason=body.reason,
        )  # fmt: skip
        return HoldView.of(hold, who.actor)

    return keyed(
        have, who, f"tenants/{key}/holds", bodies.plain(body), do, PLACE,
        status=201, may=lambda act: holds.may_place_on_tenant(act, key),
    )  # fmt: skip


@router.get("/tenants/{key}/holds")
def list_tenant_holds(have: SharedDep, who: CallerDep, key: str) -> Page[HoldView]:
    """List every hold on a tenant, released ones too, oldest first."""
    found = perform(have.core, who, holds.holds_on_tenant, key)
    return Page(items=[HoldView.of(hold, who.actor) for hold in found])


@router.post("/hubs/{hub_id}/holds", status_code=201, response_model=HoldView)
def hold_hub(have: SharedDep, who: KeyedDep, hub_id: str, body: bodies.Hold) -> JSONResponse:
    """Place a hold on a Hub: nothing of its own stack begins to be applied while one stands."""

    def do(act: Act) -> HoldView:
        hold = holds.place_on_hub(
            act, hub_id,
            kind=HoldKind(body.kind), applying=Applying(body.applying), reason=body.reason,
        )  # fmt: skip
        return HoldView.of(hold, who.actor)

    return keyed(
        have, who, f"hubs/{hub_id}/holds", bodies.plain(body), do, PLACE,
        status=201, may=lambda act: holds.may_place_on_hub(act, hub_id),
    )  # fmt: skip


@router.get("/hubs/{hub_id}/holds")
def list_hub_holds(have: SharedDep, who: CallerDep, hub_id: str) -> Page[HoldView]:
    """List every hold on a Hub, released ones too, oldest first."""
    found = perform(have.core, who, holds.holds_on_hub, hub_id)
    return Page(items=[HoldView.of(hold, who.actor) for hold in found])


@router.get("/holds/{hold_id}")
def get_hold(have: SharedDep, who: CallerDep, hold_id: str) -> HoldView:
    """Show a hold."""
    return HoldView.of(perform(have.core, who, holds.get_hold, hold_id), who.actor)


@router.post("/holds/{hold_id}/release")
def release_hold(
    have: SharedDep, who: WriterDep, hold_id: str, body: bodies.HoldRelease
) -> HoldView:
    """Release a hold; with the last one, runs that waited for it continue."""
    hold = perform(have.core, who, holds.release_hold, hold_id, reason=body.reason)
    return HoldView.of(hold, who.actor)
