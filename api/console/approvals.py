"""The approval queue: what waits for decisions, how long, and who may decide."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api.console.listing import TokenDep, next_token
from api.console.visiting import PageRoute, VisitorDep, fields_of
from api.schemas.approvals import ApprovalView
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.errors import InvalidInput
from control_plane.services import approvals
from control_plane.services.performing import perform

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
PAGE: Final = 50


@router.get("/approvals")
def list_approvals(
    request: Request,
    who: VisitorDep,
    before: TokenDep,
    status: Annotated[str, Query(max_length=20)] = ApprovalStatus.WAITING,
) -> Response:
    """List approvals, those that wait unless another status is chosen; newest first."""
    if status not in set(ApprovalStatus):
        raise InvalidInput(f"no approval has the status {ascii(status)[1:-1]}", field="status")
    found = perform(
        who.have.core, who.reading, approvals.list_approvals,
        limit=PAGE, before=before, status=status,
    )  # fmt: skip
    items = [ApprovalView.of(each) for each in found]
    return who.page(
        "approvals.html", here="/console/approvals", chosen=status,
        found=[(item, why_not(item, who.actor)) for item in items],
        statuses=list(ApprovalStatus), asked=fields_of(request.query_params),
        following=next_token(request, who, [item.id for item in items], PAGE),
    )  # fmt: skip


def why_not(approval: ApprovalView, actor: Actor) -> str:
    """Say why somebody cannot decide on an approval that waits; '' for those who can."""
    if approval.status is not ApprovalStatus.WAITING or "decide" in approval.allowed_actions:
        return ""
    barred = [each for each in approval.barred if each["subject"] in actor.subjects]
    if barred:
        return f"You are excluded: {barred[0]['reason'].replace('_', ' ')}."
    if not actor.has(*map(Role, approval.roles)):
        return f"It takes the role {' or '.join(approval.roles)}."
    if actor.kind is not ActorKind.USER:
        return "A person decides."
    if any(
        each["by"] in actor.subjects and not each["withdrawn_at"] for each in approval.decisions
    ):
        return "You have decided already."
    return "It has expired, or a newer run has taken its place."
