"""The mode of a tenant: confirmed at its kickoff, raised later."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, SharedDep
from api.routes.provisioning import DryRun, submitter
from api.schemas.mode_requests import ModeWish
from api.schemas.mode_views import ModeChangeView, ModeProgressView
from api.schemas.requests import plain
from api.strict_json import StrictRoute
from control_plane.services import mode_changes
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller

router = APIRouter(prefix="/v1/tenants/{key}/mode", tags=["tenants"], route_class=StrictRoute)


@router.post(
    "",
    status_code=202,
    response_model=ModeChangeView,
    responses={200: {"model": ModeChangeView, "description": "What a dry run found."}},
)
def change_mode(
    have: SharedDep,
    who: Annotated[Caller, Depends(submitter)],
    key: str,
    body: ModeWish,
    dry_run: DryRun = False,
) -> JSONResponse:
    """Confirm the mode of a tenant, or raise it from A to B.

    With `dry_run=true` nothing is stored: the answer is what the change comes to, or the refusal
    that it would get now.
    """
    wish = body.wish()
    if dry_run:
        found = ModeChangeView.of(perform(have.core, who, mode_changes.dry_run_mode, key, wish))
        return JSONResponse(found.model_dump(mode="json"))

    def do(act: Act) -> ModeChangeView:
        return ModeChangeView.of(mode_changes.change_mode(act, key, wish))

    return keyed(
        have, who, f"tenants/{key}/mode", plain(body), do, f"/v1/tenants/{key}/mode",
        may=lambda act: mode_changes.may_change_mode(act, key),
    )  # fmt: skip


@router.get("")
def get_mode_change(have: SharedDep, who: CallerDep, key: str) -> ModeProgressView:
    """Show the newest change of a tenant's mode: its steps, and how far its data is copied."""
    return ModeProgressView.of_change(
        perform(have.core, who, mode_changes.show_change, key), who.actor
    )
