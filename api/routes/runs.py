"""Runs, their plans and their progress."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api.answers import etag, keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep, WriterDep
from api.schemas.views import Page, PlanView, RunEventView, RunView
from api.strict_json import StrictRoute
from control_plane.domain.run import TERMINAL_RUN, Run, RunStatus
from control_plane.services import runs
from control_plane.workflows.core import Core

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)
POLL_SECONDS: Final = 0.25
HEARTBEAT_SECONDS: Final = 10.0
MAX_NUMBER: Final = 2**31 - 1
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@router.get("")
def list_runs(
    have: SharedDep,
    who: CallerDep,
    page: PagingDep,
    tenant_id: Annotated[str | None, Query(max_length=40)] = None,
    status: RunStatus | None = None,
) -> Page[RunView]:
    """List runs the caller may see, newest first."""
    found = runs.list_runs(
        have.core, who, limit=page.limit, before=page.before, tenant_id=tenant_id, status=status
    )
    deployments = runs.deployments_of(have.core, *found)
    items = [RunView.of(item, deployments[item.deployment_id]) for item in found]
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{run_id}")
def get_run(have: SharedDep, who: CallerDep, run_id: str, response: Response) -> RunView:
    """Show a run."""
    run = runs.get_run(have.core, who, run_id)
    response.headers["ETag"] = etag(run.version)
    return _view(have.core, run)


@router.get("/{run_id}/plan")
def get_plan(have: SharedDep, who: CallerDep, run_id: str) -> PlanView:
    """Show what the run would change, what cannot be undone first."""
    return PlanView.of(runs.get_plan(have.core, who, run_id))


@router.post("/{run_id}/cancel")
def cancel_run(have: SharedDep, who: WriterDep, run_id: str) -> RunView:
    """Cancel: at once before the apply, else when the engine has stopped where it is."""
    return _view(have.core, runs.cancel_run(have.core, who, run_id))


@router.post("/{run_id}/retry", status_code=202, response_model=RunView)
def retry_run(have: SharedDep, who: KeyedDep, run_id: str) -> JSONResponse:
    """Try again; answers the run that goes on, which may be a new one."""

    def act(core: Core) -> RunView:
        return _view(core, runs.retry_run(core, who, run_id))

    return keyed(have, who, f"runs/{run_id}/retry", {}, act, "/v1/runs")


@router.get("/{run_id}/events", response_model=Page[RunEventView])
async def get_events(
    have: SharedDep,
    who: CallerDep,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER)] = 0,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Show progress: a JSON page, or a stream with `Accept: text/event-stream`.

    A stream goes on where it was cut with `Last-Event-ID`, and ends with the run.
    """
    if last_event_id is not None and _NUMBER.fullmatch(last_event_id):
        after = int(last_event_id)
    found = await asyncio.to_thread(runs.events_after, have.core, who, run_id, after)
    if "text/event-stream" in accept:
        return StreamingResponse(
            _stream(have.core, run_id, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    items = [RunEventView.of(event).model_dump(mode="json") for event in found]
    return JSONResponse({"items": items, "next_page_token": None})


def _view(core: Core, run: Run) -> RunView:
    return RunView.of(run, runs.deployments_of(core, run)[run.deployment_id])


async def _stream(core: Core, run_id: str, after: int) -> AsyncIterator[str]:
    quiet = 0.0
    while True:
        ended = await asyncio.to_thread(_has_ended, core, run_id)
        events = await asyncio.to_thread(runs.read_events, core, run_id, after)
        for event in events:
            after = event.seq
            data = RunEventView.of(event).model_dump_json()
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {data}\n\n"
        if ended and not events:
            yield f"event: end\ndata: {json.dumps({'run_id': run_id})}\n\n"
            return
        quiet = 0.0 if events else quiet + POLL_SECONDS
        if quiet >= HEARTBEAT_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)


def _has_ended(core: Core, run_id: str) -> bool:
    with core.uow() as uow:
        run = uow.runs.get(run_id)
    return run is None or run.status in TERMINAL_RUN
