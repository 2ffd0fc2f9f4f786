"""What happens to a tenant, in pages or as a stream."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from api.dependencies import CallerDep, Credentials, SharedDep
from api.schemas.views import Page, View
from api.streams import ProgressResponse, event_text
from api.strict_json import StrictRoute
from control_plane.domain.errors import InvalidPageToken
from control_plane.ports.events import TenantEvent
from control_plane.services import watching
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], route_class=StrictRoute)
_MOST: Final = 2**53
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


class TenantEventView(View):
    """One line of what happens to a tenant; `id` is that of its event in the audit log.

    `seq` grows with each, with gaps; it is the `sequence` of the public event.
    """

    seq: int
    id: str
    time: datetime
    name: str
    data: dict[str, Any]


def _view(event: TenantEvent) -> TenantEventView:
    return TenantEventView(
        seq=event.seq,
        id=event.event_id,
        time=event.occurred_at,
        name=event.name,
        data=dict(event.data),
    )


def _line(event: TenantEvent) -> tuple[int, str]:
    return event.seq, event_text(event.name, _view(event).model_dump_json(), seq=event.seq)


@router.get(
    "/{key}/events",
    response_model=Page[TenantEventView],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def get_events(
    have: SharedDep,
    who: CallerDep,
    key: str,
    after: Annotated[int, Query(ge=0, le=_MOST)] = 0,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str | None, Header()] = None,
    page_token: Annotated[str | None, Query(max_length=20)] = None,
    given: Credentials = None,
) -> Response:
    """Show what happened to a tenant: JSON pages, oldest first, or a stream of what happens.

    Events of 30 days are kept. A stream resumes where it was cut with `Last-Event-ID`, and ends
    when the caller's token no longer holds.
    """
    if last_event_id is not None and _NUMBER.fullmatch(last_event_id):
        after = int(last_event_id)
    if page_token is not None:
        if not _NUMBER.fullmatch(page_token):
            raise InvalidPageToken("page_token is not one that this API issued")
        after = int(page_token)
    if "text/event-stream" not in accept:
        found = await asyncio.to_thread(perform, have.core, who, watching.events_after, key, after)
        items = [_view(event).model_dump(mode="json") for event in found]
        more = str(found[-1].seq) if len(found) == watching.EVENTS_AT_ONCE else None
        return JSONResponse({"items": items, "next_page_token": more})
    tenant = await asyncio.to_thread(perform, have.core, who, watching.watched_tenant, key)
    have.streams.enter()
    token = given.credentials.strip() if given else ""
    stream = have.streams.follow(
        tenant.id,
        after,
        read=lambda seq: (
            False, perform(have.core, who, watching.read_events, tenant.id, seq)
        ),
        line=_line,
        still_holds=lambda: have.identity.actor_of(token),
        end="",
    )  # fmt: skip
    return ProgressResponse(have.streams, stream)
