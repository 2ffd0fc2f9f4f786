"""Keys of approvers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import approver_keys as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.services import approver_keys
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1/approver-keys", tags=["approvals"], route_class=StrictRoute)


@router.get("")
def list_keys(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    actor: Annotated[str | None, Query(max_length=254)] = None,
) -> Page[views.ApproverKeyView]:
    """List keys of approvers, revoked ones too, newest first; those of one person if asked."""
    found = perform(
        have.core, who, approver_keys.list_keys,
        limit=page.limit, before=page.before, actor=actor,
    )  # fmt: skip
    items = [views.ApproverKeyView.of(item) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/terms")
def signing_terms(have: SharedDep, who: CallerDep) -> views.SigningTermsView:
    """Show what each statement that the caller signs must name."""
    return views.SigningTermsView(**perform(have.core, who, approver_keys.signing_terms))


@router.get("/{approver_key_id}")
def get_key(have: SharedDep, who: CallerDep, approver_key_id: str) -> views.ApproverKeyView:
    """Show a key with the statements that were signed for it."""
    return views.ApproverKeyView.of(perform(have.core, who, approver_keys.get_key, approver_key_id))


@router.post("", status_code=201)
def enroll_key(
    have: SharedDep, who: WriterDep, body: views.NewApproverKey
) -> views.ApproverKeyView:
    """Enroll the caller's own key; it counts once a second person has confirmed it."""
    found = perform(have.core, who, approver_keys.enroll_key, **bodies.plain(body))
    return views.ApproverKeyView.of(found)


@router.post("/{approver_key_id}/confirmation", status_code=201)
def confirm_key(
    have: SharedDep, who: WriterDep, approver_key_id: str, body: views.Confirmation
) -> views.ApproverKeyView:
    """Confirm whose a key is, as a second person with a key of their own."""
    found = perform(
        have.core, who, approver_keys.confirm_key, approver_key_id, **bodies.plain(body)
    )
    return views.ApproverKeyView.of(found)


@router.post("/{approver_key_id}/revocation", status_code=201)
def revoke_key(
    have: SharedDep, who: WriterDep, approver_key_id: str, body: bodies.Explained
) -> views.ApproverKeyView:
    """Revoke a key, immediately and for good."""
    found = perform(have.core, who, approver_keys.revoke_key, approver_key_id, reason=body.reason)
    return views.ApproverKeyView.of(found)
