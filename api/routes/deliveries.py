"""Intake: what providers of signatures post, and what became of it."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from api.dependencies import CallerDep, PagingDep, SharedDep, WriterDep, address_of
from api.schemas import delivery_views as views
from api.schemas import requests as bodies
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.delivery import DeliveryStatus
from control_plane.services import deliveries
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller

router = APIRouter(prefix="/v1", tags=["deliveries"], route_class=StrictRoute)
_POSTED: Final[dict[str, Any]] = {
    "requestBody": {
        "description": "What the provider sends, as it is: its signature is over these bytes.",
        "required": True,
        "content": {"application/json": {"schema": {}}},
    }
}


async def raw_body(request: Request) -> bytes:
    """Return the bytes that were sent; a signature is over nothing else."""
    return await request.body()


@router.post(
    "/intake/{source}",
    status_code=202,
    response_model=views.ReceiptOfDelivery,
    openapi_extra=_POSTED,
)
def receive_delivery(
    request: Request, have: SharedDep, source: str, body: Annotated[bytes, Depends(raw_body)]
) -> JSONResponse:
    """Take what a provider of signatures posts; it is authenticated by its signature alone.

    It is stored before it is answered, and understood afterwards. Equal content has one delivery,
    however often it is posted. 503 means that it was not stored: post it again.
    """
    sender = Caller(
        actor=Actor(id="unknown", kind=ActorKind.SERVICE),
        request_id=request.state.request_id,
        address=address_of(request),
    )
    found = deliveries.receive_delivery(
        have.core, sender, source, headers=_headers(request), body=body
    )
    return JSONResponse({"delivery_id": found}, status_code=202)


def _headers(request: Request) -> dict[str, str]:
    """Return the headers by name in lower case; several of one name follow each other."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]} {value}" if name in found else value
    return found


@router.get("/deliveries")
def list_deliveries(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    source: Annotated[str | None, Query(max_length=40)] = None,
    status: DeliveryStatus | None = None,
    envelope_id: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[views.DeliveryView]:
    """List deliveries, newest first; by source, status or envelope if asked."""
    found = perform(
        have.core, who, deliveries.list_deliveries, limit=page.limit, before=page.before,
        source=source, status=status, envelope_id=envelope_id,
    )  # fmt: skip
    items = [views.DeliveryView.of(item, who.actor) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/deliveries/{delivery_id}")
def get_delivery(have: SharedDep, who: CallerDep, delivery_id: str) -> views.DeliveryView:
    """Show what is known of a delivery, without its content."""
    found = perform(have.core, who, deliveries.get_delivery, delivery_id)
    return views.DeliveryView.of(found, who.actor)


@router.get("/deliveries/{delivery_id}/content")
def read_content(have: SharedDep, who: CallerDep, delivery_id: str) -> views.ContentView:
    """Show the content of a delivery as it was posted; who reads it is recorded."""
    found = perform(have.core, who, deliveries.read_content, delivery_id)
    content = found.body or b""
    try:
        text, encoding = content.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(content).decode(), "base64"
    return views.ContentView(
        id=found.id, sha256=found.sha256, size=found.size, encoding=encoding, content=text
    )


@router.post("/deliveries/{delivery_id}/replay")
def replay_delivery(
    have: SharedDep, who: WriterDep, delivery_id: str, body: bodies.Explained
) -> views.DeliveryView:
    """Take a delivery again that is held or refused, by the rules that hold now."""
    found = perform(have.core, who, deliveries.replay_delivery, delivery_id, reason=body.reason)
    return views.DeliveryView.of(found, who.actor)


@router.post("/deliveries/{delivery_id}/decision")
def decide_delivery(
    have: SharedDep, who: WriterDep, delivery_id: str, body: views.DeliveryDecision
) -> views.DeliveryView:
    """Let a held delivery make another tenant of its company, or dismiss one that is open."""
    found = perform(
        have.core, who, deliveries.decide_delivery, delivery_id,
        decision=body.decision, reason=body.reason,
    )  # fmt: skip
    return views.DeliveryView.of(found, who.actor)
