"""Messages to people: what is queued, sent or not, and addresses that get none."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep
from api.schemas import message_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.message import MessageStatus
from control_plane.domain.suppression import SuppressionKind
from control_plane.services import messages, suppressions
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["messages"], route_class=StrictRoute)


@router.get("/messages")
def list_messages(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    tenant_id: Annotated[str | None, Query(max_length=40)] = None,
    status: MessageStatus | None = None,
    event: Annotated[str | None, Query(max_length=60)] = None,
) -> Page[views.MessageView]:
    """List messages, newest first; of one tenant, status or event if asked."""
    found = perform(
        have.core, who, messages.list_messages, limit=page.limit, before=page.before,
        tenant_id=tenant_id, status=status, event=event,
    )  # fmt: skip
    items = [views.MessageView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/messages/{message_id}")
def get_message(have: SharedDep, who: CallerDep, message_id: str) -> views.MessageView:
    """Show what became of a message, without its recipient and content."""
    found = perform(have.core, who, messages.get_message, message_id)
    return views.MessageView.of(found, who.actor)


@router.get("/messages/{message_id}/preview")
def preview_message(have: SharedDep, who: CallerDep, message_id: str) -> views.PreviewView:
    """Show a message as its recipient sees it, without its secrets; who reads it is recorded."""
    return views.PreviewView.of(perform(have.core, who, messages.preview_message, message_id))


@router.post("/messages/{message_id}/send-again")
def send_message_again(
    have: SharedDep, who: WriterDep, message_id: str, body: bodies.Explained
) -> views.MessageView:
    """Queue a message again that is dead or suppressed, after the reason is gone."""
    found = perform(have.core, who, messages.send_message_again, message_id, reason=body.reason)
    return views.MessageView.of(found, who.actor)


@router.post("/messages/{message_id}/cancel")
def cancel_message(
    have: SharedDep, who: WriterDep, message_id: str, body: bodies.Explained
) -> views.MessageView:
    """Decide that a message is not sent which did not go out yet."""
    found = perform(have.core, who, messages.cancel_message, message_id, reason=body.reason)
    return views.MessageView.of(found, who.actor)


@router.get("/suppressions")
def list_suppressions(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    email: Annotated[str | None, Query(max_length=254)] = None,
    kind: SuppressionKind | None = None,
) -> Page[views.SuppressionView]:
    """List addresses that nothing is sent to, newest first; those of one address if asked."""
    found = perform(
        have.core, who, suppressions.list_suppressions, limit=page.limit, before=page.before,
        email=email, kind=kind,
    )  # fmt: skip
    items = [views.SuppressionView.of(item) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.post("/suppressions", status_code=201)
def add_suppression(
    have: SharedDep, who: WriterDep, body: views.NewSuppression
) -> views.SuppressionView:
    """Send nothing to an address any more; asked for again, the one that stands is returned."""
    found = perform(
        have.core, who, suppressions.add_suppression,
        email=body.email, kind=body.kind, reason=body.reason,
    )  # fmt: skip
    return views.SuppressionView.of(found)


@router.post("/suppressions/{suppression_id}/lift")
def lift_suppression(
    have: SharedDep, who: WriterDep, suppression_id: str, body: bodies.Explained
) -> views.SuppressionView:
    """Let an address get messages again."""
    found = perform(
        have.core, who, suppressions.lift_suppression, suppression_id, reason=body.reason
    )
    return views.SuppressionView.of(found)
