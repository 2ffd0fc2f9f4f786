"""Drift of a tenant: asking for a look, and what looks found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep
from api.routes.runs import views
from api.schemas.views import FindingView, Page, RunView
from api.strict_json import StrictRoute
from control_plane.services import drift
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/tenants/{key}", tags=["tenants"], route_class=StrictRoute)


@router.post("/drift-checks", status_code=202, response_model=RunView)
def check_drift(have: SharedDep, who: KeyedDep, key: str) -> JSONResponse:
    """Look whether the cloud is as it was applied; answers the run, which changes nothing."""

    def do(act: Act) -> RunView:
        return views(act, drift.request_check(act, key))[0]

    return keyed(
        have, who, f"tenants/{key}/drift-checks", {}, do, "/v1/runs",
        may=lambda act: drift.may_check(act, key),
    )  # fmt: skip


@router.get("/findings")
def list_findings(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    key: str,
    with_closed: Annotated[bool, Query()] = False,
) -> Page[FindingView]:
    """List what is not as it was applied, newest first; with `with_closed=true` also what was."""
    found = perform(
        have.core, who, drift.list_findings, key,
        limit=page.limit, before=page.before, with_closed=with_closed,
    )  # fmt: skip
    items = [FindingView.of(item) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))
