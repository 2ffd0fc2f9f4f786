"""The audit logs: events, checkpoints, proofs and tiles of a tenant or of the platform."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import AwareDatetime
from starlette.background import BackgroundTask

from api.dependencies import CallerDep, SharedDep
from api.schemas.views import Page
from api.strict_json import StrictRoute
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import NotFound
from control_plane.ports.stores import Dossier
from control_plane.services import auditing, dossiers
from control_plane.services.performing import perform

router = APIRouter(tags=["audit"], route_class=StrictRoute)
_FILE: Final = re.compile(
    r"checkpoint|tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,5}[0-9]{3}(\.p/[0-9]{1,3})?"
)
_BLOCK: Final = 256 * 1024
Idx = Annotated[int, Query(ge=0, le=2**53 - 1)]
Limit = Annotated[int, Query(ge=1, le=500)]
Action = Annotated[str | None, Query(pattern=r"^[a-z_.]{1,60}$")]


def _events(
    have: SharedDep, who: CallerDep, key: str, after: int, limit: int, action: str | None
) -> Page[dict[str, Any]]:
    found = perform(
        have.core, who, auditing.read_events, key, after=after, limit=limit, action=action
    )
    more = str(found[-1]["idx"] + 1) if len(found) == limit else None
    return Page(items=[dict(item) for item in found], next_page_token=more)


@router.get("/v1/tenants/{key}/audit/events")
def get_tenant_events(
    have: SharedDep, who: CallerDep, key: str, after: Idx = 0, limit: Limit = 100,
    action: Action = None,
) -> Page[dict[str, Any]]:  # fmt: skip
    """Show entries of a tenant's log from index `after` on, oldest first; the read is logged.

    `next_page_token` is the next `after`.
    """
    return _events(have, who, key, after, limit, action)


@router.get("/v1/tenants/{key}/audit/checkpoint", response_class=PlainTextResponse)
def get_tenant_checkpoint(have: SharedDep, who: CallerDep, key: str) -> str:
    """Show the newest signed checkpoint (C2SP tlog-checkpoint)."""
    return perform(have.core, who, auditing.checkpoint, key)


@router.get("/v1/tenants/{key}/audit/proof")
def get_tenant_proof(have: SharedDep, who: CallerDep, key: str, idx: Idx) -> dict[str, Any]:
    """Prove that an entry is in the log (RFC 6962 inclusion proof)."""
    return dict(perform(have.core, who, auditing.inclusion_proof, key, idx))


@router.get("/v1/audit/platform/events")
def get_platform_events(
    have: SharedDep, who: CallerDep, after: Idx = 0, limit: Limit = 100, action: Action = None
) -> Page[dict[str, Any]]:
    """Show entries of the platform's log (platform auditor)."""
    return _events(have, who, PLATFORM, after, limit, action)


@router.get("/v1/audit/platform/checkpoint", response_class=PlainTextResponse)
def get_platform_checkpoint(have: SharedDep, who: CallerDep) -> str:
    """Show the newest checkpoint of the platform's log."""
    return perform(have.core, who, auditing.checkpoint, PLATFORM)


@router.get("/v1/audit/platform/proof")
def get_platform_proof(have: SharedDep, who: CallerDep, idx: Idx) -> dict[str, Any]:
    """Prove that an entry is in the platform's log."""
    return dict(perform(have.core, who, auditing.inclusion_proof, PLATFORM, idx))


@router.get(
    "/v1/audit/{tree}/dossier",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def get_dossier(
    have: SharedDep,
    who: CallerDep,
    tree: str,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    grant: Annotated[str | None, Query(pattern=r"^[a-z]{2,4}_[0-9A-Za-z]{1,40}$")] = None,
) -> StreamingResponse:
    """Download the dossier of a log, which is verified offline; the export is an event.

    The log is in it from its start; `from` and `to` limit the lines to read. With `grant`
    it holds the personal values of a grant. `X-Manifest-Digest` is the digest that the event has.
    """
    made = dossiers.export_dossier(have.core, who, tree, since=since, until=until, grant=grant)
    return dossier_response(made)


def dossier_response(made: Dossier) -> StreamingResponse:
    """Return a dossier as a download; its file is closed at the end, or when the reader leaves."""
    return StreamingResponse(
        _blocks(made.file),
        media_type="application/zip",
        headers={"X-Manifest-Digest": made.manifest_digest},
        background=BackgroundTask(made.file.close),
    )


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    with file:  # closed too when the reader leaves
        while block := file.read(_BLOCK):
            yield block


@router.get("/audit/{tree}/{path:path}", response_class=Response)
def get_tile(
    have: SharedDep,
    who: CallerDep,
    tree: str,
    path: str,
) -> Response:
    """Show a file of the log in the layout of C2SP tlog-tiles, `checkpoint` included."""
    if not _FILE.fullmatch(path):
        raise NotFound("not found")
    content = perform(have.core, who, auditing.tile, tree, path)
    kind = "text/plain; charset=utf-8" if path == "checkpoint" else "application/octet-stream"
    return Response(content, media_type=kind)
