"""The mode of a tenant: confirmed at its kickoff, raised later."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, SharedDep, WriterDep
from api.routes.provisioning import DryRun, submitter
from api.schemas.handover_views import (
    DatabaseDump,
    ImportBody,
    ImportReportView,
    ManifestView,
)
from api.schemas.mode_requests import ModeWish
from api.schemas.mode_views import ModeChangeView, ModeProgressView
from api.schemas.removal_requests import Because
from api.schemas.requests import plain
from api.strict_json import StrictRoute
from control_plane.services import data_handovers, mode_changes
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
    """Confirm the mode of a tenant, or raise it.

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


@router.get("/manifest")
def get_manifest(have: SharedDep, who: CallerDep, key: str) -> ManifestView:
    """Show what is handed over to Mode C, each thing with size and digest; no value of a secret."""
    return ManifestView.of(perform(have.core, who, data_handovers.show_manifest, key))


@router.post("/first-copy")
def say_first_copy(have: SharedDep, who: WriterDep, key: str, body: Because) -> ModeProgressView:
    """Say that the first copy has arrived in the customer's account: writes are stopped then."""
    perform(have.core, who, data_handovers.say_first_copy, key, reason=body.reason)
    return get_mode_change(have, who, key)


@router.post("/database-dump")
def record_dump(have: SharedDep, who: WriterDep, key: str, body: DatabaseDump) -> ModeProgressView:
    """Record the digest of the database's dump, made while writes are stopped."""
    perform(have.core, who, data_handovers.record_dump, key, **plain(body))
    return get_mode_change(have, who, key)


@router.post("/import-report", status_code=201)
def register_import(
    have: SharedDep, who: WriterDep, key: str, body: ImportBody
) -> ImportReportView:
    """Register the customer's import report, if it equals the newest manifest."""
    return ImportReportView.of(
        perform(have.core, who, data_handovers.register_import, key, body.report)
    )
