"""Changes of tenants and of shared Hubs: shown, planned, requested."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, SharedDep, WriterDep, keyed_caller
from api.schemas import requests as bodies
from api.schemas.change_views import (
    AmendmentView,
    ChangeView,
    HubChangeView,
    SliceUpdatesView,
)
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.errors import InvalidInput
from control_plane.services import changes, hub_changes
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller

router = APIRouter(prefix="/v1", tags=["changes"], route_class=StrictRoute)
DryRun = Annotated[bool, Query(description="Store nothing; say what the change comes to.")]
WithPlan = Annotated[
    bool, Query(description="With `dry_run`: request a run that plans it and applies nothing.")
]
_SHOWN: Any = {200: {"description": "What a dry run found."}}


async def changer(
    who: WriterDep,
    dry_run: DryRun = False,
    with_plan: WithPlan = False,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Caller:
    """Return the caller. Raises ``IdempotencyKeyMissing``, but not for what stores nothing."""
    if with_plan and not dry_run:
        raise InvalidInput("with_plan belongs to a dry run", field="with_plan")
    return who if dry_run and not with_plan else await keyed_caller(who, idempotency_key)


ChangerDep = Annotated[Caller, Depends(changer)]


@router.post(
    "/tenants/{key}/changes",
    status_code=202,
    response_model=ChangeView,
    responses={200: {"model": ChangeView, **_SHOWN[200]}},
)
def change_tenant(
    have: SharedDep,
    who: ChangerDep,
    key: str,
    body: bodies.TenantChange,
    dry_run: DryRun = False,
    with_plan: WithPlan = False,
) -> JSONResponse:
    """Change facts, sizes, version or contract of a tenant within its mode; a run follows.

    With `dry_run=true` nothing is stored: the answer is what the change comes to, or the refusal
    that it would get now. With `with_plan=true` beside it a run plans the change and ends; its plan
    is that of `plan_run_id`.
    """
    wish = body.wish()
    if dry_run and not with_plan:
        found = perform(have.core, who, changes.dry_run_change, key, **vars(wish))
        return _shown(ChangeView.of(found))

    def do(act: Act) -> ChangeView:
        if with_plan:
            return ChangeView.of(changes.plan_change(act, key, **vars(wish)))
        return ChangeView.of(changes.request_change(act, key, **vars(wish), reason=body.reason))

    return keyed(
        have,
        who,
        f"tenants/{key}/changes{'/plan' if with_plan else ''}",
        wish.to_document() | {"reason": body.reason},
        do,
        f"/v1/tenants/{key}",
        may=lambda act: changes.may_change(act, key),
    )


@router.get("/tenants/{key}/amendments")
def list_amendments(have: SharedDep, who: CallerDep, key: str) -> Page[AmendmentView]:
    """List the amendments of a tenant's contract, oldest first."""
    found = perform(have.core, who, changes.list_amendments, key)
    return Page(items=[AmendmentView.of(each) for each in found])


@router.post(
    "/hubs/{hub_id}/changes",
    status_code=202,
    response_model=HubChangeView,
    responses={200: {"model": HubChangeView, **_SHOWN[200]}},
)
def change_hub(
    have: SharedDep,
    who: ChangerDep,
    hub_id: str,
    body: bodies.HubChange,
    dry_run: DryRun = False,
    with_plan: WithPlan = False,
) -> JSONResponse:
    """Change capacity, version or zones of a Hub; its plan waits for a decision.

    The answer names the tenants that have a slice on it. `dry_run` and `with_plan` are as for a
    tenant.
    """
    wish = body.wish()
    if dry_run and not with_plan:
        found = perform(have.core, who, hub_changes.dry_run_change, hub_id, wish)
        return _shown(HubChangeView.of(found))

    def do(act: Act) -> HubChangeView:
        if with_plan:
            return HubChangeView.of(hub_changes.plan_change(act, hub_id, wish))
        return HubChangeView.of(hub_changes.request_change(act, hub_id, wish, reason=body.reason))

    return keyed(
        have,
        who,
        f"hubs/{hub_id}/changes{'/plan' if with_plan else ''}",
        wish.to_document() | {"reason": body.reason},
        do,
        f"/v1/hubs/{hub_id}",
        may=lambda act: hub_changes.may_change(act, hub_id),
    )


@router.post("/hubs/{hub_id}/slice-updates", status_code=202, response_model=SliceUpdatesView)
def update_slices(
    have: SharedDep, who: KeyedDep, hub_id: str, body: bodies.Explained
) -> JSONResponse:
    """Update the slices that were made over other outputs than the Hub has now."""

    def do(act: Act) -> SliceUpdatesView:
        return SliceUpdatesView.of(hub_changes.update_slices(act, hub_id, reason=body.reason))

    return keyed(
        have, who, f"hubs/{hub_id}/slice-updates", bodies.plain(body), do, f"/v1/hubs/{hub_id}",
        may=lambda act: hub_changes.may_change(act, hub_id),
    )  # fmt: skip


def _shown(view: ChangeView | HubChangeView) -> JSONResponse:
    return JSONResponse(view.model_dump(mode="json"))
