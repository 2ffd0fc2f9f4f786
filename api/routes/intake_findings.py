"""Looks at sources of contracts, and what differs from this installation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import intake_finding_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.reconciling import IntakeFindingStatus
from control_plane.services import intake_findings
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["deliveries"], route_class=StrictRoute)


@router.post("/intake/{source}/look", status_code=202)
def request_look(have: SharedDep, who: WriterDep, source: str) -> views.IntakeLookView:
    """Ask a source now what was signed since the last look; a worker does it."""
    return views.IntakeLookView.of(perform(have.core, who, intake_findings.request_look, source))


@router.get("/intake-findings")
def list_intake_findings(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    source: Annotated[str | None, Query(max_length=40)] = None,
    status: IntakeFindingStatus | None = None,
) -> Page[views.IntakeFindingView]:
    """List what differs between sources of contracts and this installation, newest first."""
    found = perform(
        have.core, who, intake_findings.list_intake_findings, limit=page.limit, before=page.before,
        source=source, status=status,
    )  # fmt: skip
    items = [views.IntakeFindingView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.post("/intake-findings/{intake_finding_id}/settle")
def settle_intake_finding(
    have: SharedDep, who: WriterDep, intake_finding_id: str, body: bodies.Explained
) -> views.IntakeFindingView:
    """Settle a difference with a reason, so that it is not found again."""
    found = perform(
        have.core, who, intake_findings.settle_intake_finding, intake_finding_id,
        reason=body.reason,
    )  # fmt: skip
    return views.IntakeFindingView.of(found, who.actor)
