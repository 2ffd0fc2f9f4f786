"""The queue of approvals: what waits for people, the oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.console.listing import TokenDep, next_token
from api.console.visiting import PageRoute, VisitorDep, fields_of
from api.schemas.plan_reading import visible
from control_plane.domain.approval import ApprovalStatus, approvers, standing
from control_plane.domain.errors import InvalidInput
from control_plane.domain.risk import kinds_of
from control_plane.domain.why_not import why_not
from control_plane.services import approvals
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
PAGE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Line:
    """One approval of the queue. ``position`` counts from the oldest of the page, from 1."""

    found: approvals.ApprovalDetails
    position: int
    given: int
    risks: tuple[str, ...]
    why_not: str
    excluded: str


@router.get("/approvals")
def queue(
    request: Request,
    who: VisitorDep,
    before: TokenDep,
    status: Annotated[str, Query(max_length=40)] = "waiting",
) -> Response:
    """List approvals of a status, those that wait unless another is asked for."""
    if status not in {"all", *ApprovalStatus}:
        raise InvalidInput(f"no approval has the status {ascii(status)[1:-1]}", field="status")

    def read(act: Act) -> list[Line]:
        found = approvals.list_approvals(
            act, limit=PAGE, before=before, status=None if status == "all" else status
        )
        return [_line(act, each, place) for place, each in enumerate(reversed(found), 1)]

    lines = perform(who.have.core, who.reading, read)
    ids = [each.found.approval.id for each in reversed(lines)]
    return who.page(
        "approvals.html", here="/console/approvals", lines=lines, chosen=status, visible=visible,
        statuses=["all", *ApprovalStatus], asked=fields_of(request.query_params),
        following=next_token(request, who, ids, PAGE),
    )  # fmt: skip


@router.get("/approvals/{approval_id}")
def one(who: VisitorDep, approval_id: str) -> Response:
    """Go to the run that an approval is about."""
    found = perform(who.have.core, who.reading, approvals.get_approval, approval_id)
    return RedirectResponse(f"/console/runs/{found.run.id}", status_code=303)


def _line(act: Act, found: approvals.ApprovalDetails, position: int) -> Line:
    stand = standing(found.decisions, found.withdrawals)
    return Line(
        found=found,
        position=position,
        given=approvers(stand),
        risks=tuple(map(str, kinds_of(found.plan.risks))),
        why_not=why_not(act.caller.actor, found.approval, found.barred, stand, act.now()),
        excluded=visible(", ".join(sorted({subject for subject, _ in found.barred}))),
    )
