"""Removing tenants and Hubs, and what takes several steps."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, SharedDep, WriterDep
from api.routes.provisioning import DryRun, submitter
from api.schemas import removal_requests as bodies
from api.schemas.requests import plain
from api.schemas.saga_views import (
    RemovalDecisionView,
    RemovalPreviewView,
    RemovalView,
    SagaView,
)
from api.schemas.views import RetentionView
from api.strict_json import StrictRoute
from control_plane.services import removal_decisions as said
from control_plane.services import removals, sagas
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller

router = APIRouter(prefix="/v1", tags=["removals"], route_class=StrictRoute)
Submitter = Annotated[Caller, Depends(submitter)]
_PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {"model": RemovalPreviewView, "description": "What a dry run says."}
}


def _request(
    have: SharedDep,
    who: Caller,
    path: str,
    key: str,
    find: removals.Find,
    show: Any,
    body: bodies.Removal,
    *,
    dry_run: bool,
) -> JSONResponse:
    if dry_run:
        preview = perform(have.core, who, removals.dry_run_removal, key, find)
        return JSONResponse(RemovalPreviewView.of(preview).model_dump(mode="json"))

    def do(act: Act) -> RemovalView:
        removals.request_removal(
            act, key, find, reason=body.reason, unprotect=tuple(body.unprotect)
        )
        return RemovalView.of_removal(show(act, key), who.actor)

    return keyed(have, who, path, plain(body), do, f"/v1/{path}", may=lambda act: find(act, key))


@router.post(
    "/tenants/{key}/removal", status_code=202, response_model=RemovalView, responses=_PREVIEW
)
def remove_tenant(
    have: SharedDep, who: Submitter, key: str, body: bodies.Removal, dry_run: DryRun = False
) -> JSONResponse:
    """Request the removal of a tenant; two people approve its destroy.

    With `dry_run=true` nothing is stored: the answer is what would be destroyed, what cannot be
    undone first, which names `unprotect` has to give, and what stands in the way.
    """
    return _request(
        have, who, f"tenants/{key}/removal", key, removals.may_remove_tenant,
        removals.removal_of_tenant, body, dry_run=dry_run,
    )  # fmt: skip


@router.get("/tenants/{key}/removal")
def get_tenant_removal(have: SharedDep, who: CallerDep, key: str) -> RemovalView:
    """Show the newest removal of a tenant: its steps, and what must remain."""
    return RemovalView.of_removal(
        perform(have.core, who, removals.removal_of_tenant, key), who.actor
    )


@router.post("/tenants/{key}/removal/export-acknowledgement")
def acknowledge_tenant_export(
    have: SharedDep, who: WriterDep, key: str, body: bodies.ExportAcknowledgement
) -> RemovalDecisionView:
    """Acknowledge that the data was exported, by its manifest's digest and the items by store."""
    find = said.tenant_with(said.ACKNOWLEDGERS, "export_acknowledgements.create")
    return RemovalDecisionView.of(
        perform(have.core, who, said.acknowledge_export, key, find, **plain(body))
    )


@router.post("/tenants/{key}/removal/export-waiver")
def waive_tenant_export(
    have: SharedDep, who: WriterDep, key: str, body: bodies.Because
) -> RemovalDecisionView:
    """Let the data be destroyed without an export (platform admin)."""
    find = said.tenant_with(said.WAIVERS, "export_waivers.create")
    return RemovalDecisionView.of(
        perform(have.core, who, said.waive_export, key, find, reason=body.reason)
    )


@router.post("/tenants/{key}/removal/customer-attestation")
def attest_customer(
    have: SharedDep, who: WriterDep, key: str, body: bodies.CustomerAttestation
) -> RemovalDecisionView:
    """Say that the customer destroyed what it applied, by its receipt; without: not verified."""
    find = said.tenant_with(said.ACKNOWLEDGERS, "customer_attestations.create")
    return RemovalDecisionView.of(
        perform(have.core, who, said.attest_customer, key, find, **plain(body))
    )


@router.get("/tenants/{key}/removal/certificate")
def get_tenant_certificate(have: SharedDep, who: CallerDep, key: str) -> dict[str, Any]:
    """Show the certificate of a tenant's removal with the proof that the log's signature covers."""
    return dict(perform(have.core, who, removals.tenant_certificate, key))


@router.post("/tenants/{key}/retention")
def retain_tenant(
    have: SharedDep, who: WriterDep, key: str, body: bodies.Retention
) -> RetentionView:
    """Keep what a tenant has until a date; it is never brought forward."""
    tenant = perform(have.core, who, said.retain_tenant, key, until=body.until, reason=body.reason)
    return RetentionView(tenant_id=tenant.id, retention_until=tenant.retention_until)


@router.post(
    "/hubs/{hub_id}/removal", status_code=202, response_model=RemovalView, responses=_PREVIEW
)
def remove_hub(
    have: SharedDep, who: Submitter, hub_id: str, body: bodies.Removal, dry_run: DryRun = False
) -> JSONResponse:
    """Request the removal of a Hub, which takes no slices from then on; dry run as of a tenant."""
    return _request(
        have, who, f"hubs/{hub_id}/removal", hub_id, removals.may_remove_hub,
        removals.removal_of_hub, body, dry_run=dry_run,
    )  # fmt: skip


@router.get("/hubs/{hub_id}/removal")
def get_hub_removal(have: SharedDep, who: CallerDep, hub_id: str) -> RemovalView:
    """Show the newest removal of a Hub."""
    return RemovalView.of_removal(
        perform(have.core, who, removals.removal_of_hub, hub_id), who.actor
    )


@router.post("/hubs/{hub_id}/removal/export-acknowledgement")
def acknowledge_hub_export(
    have: SharedDep, who: WriterDep, hub_id: str, body: bodies.ExportAcknowledgement
) -> RemovalDecisionView:
    """Acknowledge that the data in a Hub's stores was exported."""
    find = said.hub_with(said.ACKNOWLEDGERS, "export_acknowledgements.create")
    return RemovalDecisionView.of(
        perform(have.core, who, said.acknowledge_export, hub_id, find, **plain(body))
    )


@router.post("/hubs/{hub_id}/removal/export-waiver")
def waive_hub_export(
    have: SharedDep, who: WriterDep, hub_id: str, body: bodies.Because
) -> RemovalDecisionView:
    """Let the data in a Hub's stores be destroyed without an export (platform admin)."""
    find = said.hub_with(said.WAIVERS, "export_waivers.create")
    return RemovalDecisionView.of(
        perform(have.core, who, said.waive_export, hub_id, find, reason=body.reason)
    )


@router.get("/hubs/{hub_id}/removal/certificate")
def get_hub_certificate(have: SharedDep, who: CallerDep, hub_id: str) -> dict[str, Any]:
    """Show the certificate of a Hub's removal, as of a tenant."""
    return dict(perform(have.core, who, removals.hub_certificate, hub_id))


@router.get("/sagas/{saga_id}")
def get_saga(have: SharedDep, who: CallerDep, saga_id: str) -> SagaView:
    """Show something that takes several steps."""
    return SagaView.of_progress(perform(have.core, who, sagas.get_saga, saga_id), who.actor)


@router.post("/sagas/{saga_id}/retry")
def retry_saga(have: SharedDep, who: WriterDep, saga_id: str) -> SagaView:
    """Take the step that failed again; an architect a change of mode."""
    return SagaView.of_progress(perform(have.core, who, sagas.retry_step, saga_id), who.actor)


@router.post("/sagas/{saga_id}/withdraw")
def withdraw_saga(have: SharedDep, who: WriterDep, saga_id: str, body: bodies.Because) -> SagaView:
    """Carry it no further: its run is canceled, and what was done is taken back.

    An architect may do this to a change of mode.
    """
    found = perform(have.core, who, sagas.withdraw_saga, saga_id, reason=body.reason)
    return SagaView.of_progress(found, who.actor)
