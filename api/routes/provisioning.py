"""Provisioning requests, mode resolutions and tenants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse

from api.answers import etag, keyed
from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep, keyed_caller
from api.schemas import requests as bodies
from api.schemas.views import (
    DecisionView,
    OutputsView,
    Page,
    RequestView,
    TenantView,
)
from api.strict_json import StrictRoute
from control_plane.domain.deployment import Position
from control_plane.domain.facts import Facts
from control_plane.domain.tenant import TenantStatus
from control_plane.services import modes, provisioning, tenants
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller

router = APIRouter(prefix="/v1", tags=["tenants"], route_class=StrictRoute)


DryRun = Annotated[bool, Query()]


async def submitter(
    who: WriterDep, dry_run: DryRun = False, idempotency_key: Annotated[str | None, Header()] = None
) -> Caller:
    """Return the caller. Raises ``IdempotencyKeyMissing``, but not for what stores nothing."""
    return who if dry_run else await keyed_caller(who, idempotency_key)


@router.post(
    "/provisioning-requests",
    status_code=202,
    response_model=RequestView,
    responses={200: {"model": DecisionView, "description": "The decision of a dry run."}},
)
def submit_request(
    have: SharedDep,
    who: Annotated[Caller, Depends(submitter)],
    body: bodies.ProvisioningRequest,
    dry_run: DryRun = False,
) -> JSONResponse:
    """Accept a signed contract; one contract makes one tenant.

    With `dry_run=true` nothing is stored: the answer is the mode it resolves to, or the refusal
    that it would get now.
    """
    document = body.document()
    if dry_run:
        decision = perform(have.core, who, provisioning.dry_run_request, document)
        return JSONResponse(DecisionView(**decision.to_document()).model_dump(mode="json"))

    def do(act: Act) -> RequestView:
        return RequestView.of(provisioning.submit_request(act, document), who.actor)

    return keyed(
        have,
        who,
        "provisioning-requests",
        document,
        do,
        "/v1/provisioning-requests",
        may=provisioning.may_submit,
    )


@router.get("/provisioning-requests")
def list_requests(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[RequestView]:
    """List the requests of the caller's tenants, newest first."""
    found = perform(
        have.core, who, provisioning.list_requests, limit=page.limit, before=page.before
    )
    items = [RequestView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/provisioning-requests/{request_id}")
def get_request(have: SharedDep, who: CallerDep, request_id: str) -> RequestView:
    """Show a request with its tenant as it is now."""
    return RequestView.of(perform(have.core, who, provisioning.get_request, request_id), who.actor)


@router.post("/mode-resolutions")
def resolve_mode(have: SharedDep, who: CallerDep, body: bodies.Facts) -> DecisionView:
    """Show which mode the given facts lead to, and why; nothing is stored."""
    facts = Facts.from_document(bodies.plain(body))
    return DecisionView(**perform(have.core, who, modes.resolve_mode, facts).to_document())


@router.get("/tenants")
def list_tenants(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    status: TenantStatus | None = None,
    domain: bodies.Domain | None = None,
    contract_id: bodies.Identifier | None = None,
    envelope_id: bodies.Identifier | None = None,
    drifted: Annotated[bool | None, Query()] = None,
) -> Page[TenantView]:
    """List the tenants of the caller's token, newest first; by company or contract if asked."""
    found = perform(
        have.core, who, tenants.list_tenants, limit=page.limit, before=page.before,
        status=status, domain=domain, contract_id=contract_id, envelope_id=envelope_id,
        drifted=drifted,
    )  # fmt: skip
    items = [TenantView.of(*item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/tenants/{key}")
def get_tenant(have: SharedDep, who: CallerDep, key: str, response: Response) -> TenantView:
    """Show a tenant by id or slug."""
    tenant, standing = perform(have.core, who, tenants.show_tenant, key)
    response.headers["ETag"] = etag(tenant.version)
    return TenantView.of(tenant, standing, who.actor)


@router.get("/tenants/{key}/outputs")
def get_outputs(have: SharedDep, who: CallerDep, key: str) -> Page[OutputsView]:
    """Show what the tenant's deployments export: the current one, one to be, former ones."""
    found = perform(have.core, who, tenants.deployments_of, key)
    found = sorted(found, key=lambda each: tuple(Position).index(each.position))
    return Page(items=[OutputsView.of(item) for item in found])


@router.post("/tenants/{key}/mode-decision")
def decide_mode(have: SharedDep, who: WriterDep, key: str, body: bodies.ModeDecision) -> TenantView:
    """Confirm a reviewed mode, or correct facts and resolve again (solutions architect)."""

    def do(act: Act) -> TenantView:
        tenants.decide_mode(act, key, changed_facts=body.facts, reason=body.reason)
        return TenantView.of(*tenants.show_tenant(act, key), who.actor)

    return perform(have.core, who, do)
