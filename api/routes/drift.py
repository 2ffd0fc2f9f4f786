"""Drift: asking for looks, what they found, and what becomes of that; and where everything is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep
from api.routes.runs import views
from api.schemas import requests as bodies
from api.schemas.drift_views import (
    DecidedView,
    FindingDecisionView,
    ResidencyView,
    SweepView,
)
from api.schemas.views import FindingView, Page, RunView
from api.strict_json import StrictRoute
from control_plane.domain.finding_decision import Verdict
from control_plane.services import drift, findings, residences, sweeps
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1", tags=["drift"], route_class=StrictRoute)


@router.post("/tenants/{key}/drift-checks", status_code=202, response_model=RunView)
def check_drift(have: SharedDep, who: KeyedDep, key: str) -> JSONResponse:
    """Look whether the cloud is as it was applied; answers the run, which changes nothing."""

    def do(act: Act) -> RunView:
        return views(act, drift.request_check(act, key))[0]

    return keyed(
        have, who, f"tenants/{key}/drift-checks", {}, do, "/v1/runs",
        may=lambda act: drift.may_check(act, key),
    )  # fmt: skip


@router.get("/tenants/{key}/findings")
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
    items = [FindingView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.post("/tenants/{key}/drift/decisions", status_code=201, response_model=DecidedView)
def decide_findings(
    have: SharedDep, who: KeyedDep, key: str, body: bodies.FindingDecisions
) -> JSONResponse:
    """Decide the same on several findings of a tenant: on all of them, or on none."""

    def do(act: Act) -> DecidedView:
        decided = findings.decide_of_tenant(
            act, key, body.findings,
            verdict=Verdict(body.decision), reason=body.reason, until=body.until,
        )  # fmt: skip
        return DecidedView.of(decided, who.actor)

    return keyed(
        have, who, f"tenants/{key}/drift/decisions", bodies.plain(body), do, None,
        status=201, may=lambda act: findings.may_decide_of_tenant(act, key),
    )  # fmt: skip


@router.get("/tenants/{key}/residency")
def show_residency(have: SharedDep, who: CallerDep, key: str) -> ResidencyView:
    """Show where everything of a tenant is, against what was promised."""
    return ResidencyView.of(perform(have.core, who, residences.residence_of, key), who.actor)


@router.post("/hubs/{hub_id}/drift-checks", status_code=202, response_model=RunView)
def check_hub_drift(have: SharedDep, who: KeyedDep, hub_id: str) -> JSONResponse:
    """Look whether a Hub is as it was applied; answers the run, which changes nothing."""

    def do(act: Act) -> RunView:
        return views(act, drift.request_hub_check(act, hub_id))[0]

    return keyed(
        have, who, f"hubs/{hub_id}/drift-checks", {}, do, "/v1/runs",
        may=lambda act: drift.may_check_hub(act, hub_id),
    )  # fmt: skip


@router.get("/hubs/{hub_id}/drift")
def list_hub_findings(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    hub_id: str,
    with_closed: Annotated[bool, Query()] = False,
) -> Page[FindingView]:
    """List what of a Hub is not as it was applied, newest first."""
    found = perform(
        have.core, who, drift.list_hub_findings, hub_id,
        limit=page.limit, before=page.before, with_closed=with_closed,
    )  # fmt: skip
    items = [FindingView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/findings")
def list_open_findings(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[FindingView]:
    """List the open findings of everything that you see, newest first, with what is to be done."""
    found = perform(have.core, who, findings.list_open, limit=page.limit, before=page.before)
    items = [FindingView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/findings/{finding_id}")
def get_finding(have: SharedDep, who: CallerDep, finding_id: str) -> FindingView:
    """Show a finding."""
    return FindingView.of(perform(have.core, who, findings.get_finding, finding_id), who.actor)


@router.get("/findings/{finding_id}/decisions")
def list_decisions(have: SharedDep, who: CallerDep, finding_id: str) -> Page[FindingDecisionView]:
    """List every decision on a finding, oldest first."""
    found = perform(have.core, who, findings.decisions_on, finding_id)
    return Page(items=[FindingDecisionView.of(each) for each in found])


@router.post("/findings/{finding_id}/decision", status_code=201, response_model=DecidedView)
def decide_finding(
    have: SharedDep, who: KeyedDep, finding_id: str, body: bodies.FindingDecision
) -> JSONResponse:
    """Adopt, revert, or waive until a date, what a finding says."""

    def do(act: Act) -> DecidedView:
        decided = findings.decide(
            act, finding_id,
            verdict=Verdict(body.decision), reason=body.reason, until=body.until,
        )  # fmt: skip
        return DecidedView.of(decided, who.actor)

    return keyed(
        have, who, f"findings/{finding_id}/decision", bodies.plain(body), do, None,
        status=201, may=lambda act: findings.may_decide(act, finding_id),
    )  # fmt: skip


@router.post("/drift-sweeps", status_code=202, response_model=SweepView)
def sweep(have: SharedDep, who: KeyedDep, body: bodies.Sweep) -> JSONResponse:
    """Look at everything that was applied, spread over minutes."""

    def do(act: Act) -> SweepView:
        return SweepView.of(sweeps.request_sweep(act, minutes=body.minutes))

    return keyed(
        have, who, "drift-sweeps", bodies.plain(body), do, "/v1/drift-sweeps", may=sweeps.may_sweep
    )


@router.get("/drift-sweeps")
def list_sweeps(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[SweepView]:
    """List sweeps, newest first, with how far each is."""
    found = perform(have.core, who, sweeps.list_sweeps, limit=page.limit, before=page.before)
    items = [SweepView.of(each) for each in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/drift-sweeps/{sweep_id}")
def get_sweep(have: SharedDep, who: CallerDep, sweep_id: str) -> SweepView:
    """Show how far a sweep is: how many agree, differ, could not be looked at, or wait."""
    return SweepView.of(perform(have.core, who, sweeps.get_sweep, sweep_id))
