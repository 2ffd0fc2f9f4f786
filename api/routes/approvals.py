"""Approvals and decisions."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep
from api.schemas import requests as bodies
from api.schemas.approvals import ApprovalView
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.signed_decision import SignedStatement
from control_plane.services import approvals, withdrawals
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/approvals", tags=["approvals"], route_class=StrictRoute)


@router.get("")
def list_approvals(
    have: SharedDep, who: CallerDep, page: PagingDep, status: ApprovalStatus | None = None
) -> Page[ApprovalView]:
    """List approvals the caller may see, newest first."""
    found = perform(
        have.core,
        who,
        approvals.list_approvals,
        limit=page.limit,
        before=page.before,
        status=status,
    )
    items = [ApprovalView.of(item) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{approval_id}")
def get_approval(have: SharedDep, who: CallerDep, approval_id: str) -> ApprovalView:
    """Show an approval with the summary of its plan and who is excluded from deciding."""
    return ApprovalView.of(perform(have.core, who, approvals.get_approval, approval_id))


@router.post("/{approval_id}/decisions", status_code=201, response_model=ApprovalView)
def decide(have: SharedDep, who: KeyedDep, approval_id: str, body: bodies.Decision) -> JSONResponse:
    """Decide on exactly one plan digest, naming what it cannot undo (a person who did not ask)."""

    def do(act: Act) -> ApprovalView:
        view = approvals.decide(act, approval_id,
            verdict=body.decision, plan_digest=body.plan_digest, reason=body.reason,
            acknowledge=body.acknowledge,
            signed=SignedStatement(**body.signed.model_dump()) if body.signed else None,
        )  # fmt: skip
        return ApprovalView.of(view)

    route = f"approvals/{approval_id}/decisions"
    return keyed(
        have,
        who,
        route,
        bodies.plain(body),
        do,
        "/v1/approvals",
        status=201,
        may=lambda act: approvals.may_decide(act, approval_id),
    )


@router.post("/{approval_id}/withdrawal", status_code=201, response_model=ApprovalView)
def withdraw(
    have: SharedDep, who: KeyedDep, approval_id: str, body: bodies.Withdrawal
) -> JSONResponse:
    """Withdraw the caller's own approval, until the apply begins; the run then waits again."""

    def do(act: Act) -> ApprovalView:
        return ApprovalView.of(withdrawals.withdraw(act, approval_id, reason=body.reason))

    route = f"approvals/{approval_id}/withdrawal"
    return keyed(
        have,
        who,
        route,
        bodies.plain(body),
        do,
        "/v1/approvals",
        status=201,
        may=lambda act: approvals.may_decide(act, approval_id),
    )
