"""Runs, their plans and their progress."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from api.answers import etag, keyed
from api.dependencies import CallerDep, Credentials, KeyedDep, PagingDep, SharedDep, WriterDep
from api.schemas.plan_reading import PlanReadingView
from api.schemas.plan_views import PlanComparisonView
from api.schemas.views import Page, RunEventView, RunView
from api.streams import ProgressResponse, event_text
from api.strict_json import StrictRoute
from control_plane.domain.errors import InvalidPageToken
from control_plane.domain.run import Run, RunEvent, RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from control_plane.services.waiting import approvals_of, given_on, waits_of
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)
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

    def do(act: Act) -> list[RunView]:
        found = runs.list_runs(
            act, limit=page.limit, before=page.before, tenant_id=tenant_id, status=status
        )
        return views(act, *found)

    items = perform(have.core, who, do)
    return Page(items=items, next_page_token=page.token(item.id for item in items))


@router.get("/{run_id}")
def get_run(have: SharedDep, who: CallerDep, run_id: str, response: Response) -> RunView:
    """Show a run."""

    def do(act: Act) -> RunView:
        run = runs.get_run(act, run_id)
        response.headers["ETag"] = etag(run.version)
        return views(act, run)[0]

    return perform(have.core, who, do)


@router.get("/{run_id}/plan")
def get_plan(have: SharedDep, who: CallerDep, run_id: str) -> PlanReadingView:
    """Show what the run would change, irreversible operations first."""

    def do(act: Act) -> PlanReadingView:
        return PlanReadingView.of(runs.get_plan(act, run_id), runs.replaced_run(act, run_id))

    return perform(have.core, who, do)


@router.get("/{run_id}/plan/comparison")
def compare_plans(have: SharedDep, who: CallerDep, run_id: str) -> PlanComparisonView:
    """Show how the plan differs from that of the run that this one supersedes or repeats."""
    return PlanComparisonView.of(*perform(have.core, who, runs.compare_plans, run_id))


@router.post("/{run_id}/cancel")
def cancel_run(have: SharedDep, who: WriterDep, run_id: str) -> RunView:
    """Cancel: at once while nothing is applied, otherwise when the engine has stopped."""
    return perform(have.core, who, lambda act: views(act, runs.cancel_run(act, run_id))[0])


@router.post("/{run_id}/retry", status_code=202, response_model=RunView)
def retry_run(have: SharedDep, who: KeyedDep, run_id: str) -> JSONResponse:
    """Retry; returns the run that continues, which may be a new one."""

    def do(act: Act) -> RunView:
        return views(act, runs.retry_run(act, run_id))[0]

    def may(act: Act) -> None:
        runs.may_steer(act, run_id, "retry")

    return keyed(have, who, f"runs/{run_id}/retry", {}, do, "/v1/runs", may=may)


@router.get(
    "/{run_id}/events",
    response_model=Page[RunEventView],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def get_events(
    have: SharedDep,
    who: CallerDep,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER)] = 0,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str | None, Header()] = None,
    page_token: Annotated[str | None, Query(max_length=20)] = None,
    given: Credentials = None,
) -> Response:
    """Show progress: JSON pages, oldest first, or a stream with `Accept: text/event-stream`.

    A stream resumes where it was cut with `Last-Event-ID`, and ends with the run, or when the
    caller's token no longer holds.
    """
    if last_event_id is not None and _NUMBER.fullmatch(last_event_id):
        after = int(last_event_id)
    if page_token is not None:
        after = _number(page_token, "page_token")
    if "text/event-stream" not in accept:
        found = await asyncio.to_thread(perform, have.core, who, runs.events_after, run_id, after)
        items = [RunEventView.like(event).model_dump(mode="json") for event in found]
        more = str(found[-1].seq) if len(found) == runs.EVENTS_AT_ONCE else None
        return JSONResponse({"items": items, "next_page_token": more})
    await asyncio.to_thread(perform, have.core, who, runs.get_run, run_id)
    have.streams.enter()
    token = given.credentials.strip() if given else ""
    stream = have.streams.follow(
        run_id,
        after,
        read=lambda seq: perform(have.core, who, runs.read_progress, run_id, seq),
        line=_line,
        still_holds=lambda: have.identity.actor_of(token),
        end=event_text("end", json.dumps({"run_id": run_id})),
    )
    return ProgressResponse(have.streams, stream)


def _line(event: RunEvent) -> tuple[int, str]:
    data = RunEventView.like(event).model_dump_json()
    return event.seq, event_text(event.kind, data, seq=event.seq)


def _number(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidPageToken(f"{name} is not one that this API issued")
    return int(text)


def views(act: Act, *found: Run) -> list[RunView]:
    """Return the views of runs for whom they are shown to."""
    deployments, evidence = runs.deployments_of(act, *found), runs.evidence_of(act, *found)
    asked = approvals_of(act, found)
    given = given_on(act, asked)
    actions = runs.allowed_actions(act, *found, approvals=asked, given=given)
    waits = waits_of(act, found, approvals=asked, given=given)
    affected = runs.affected_by(act, *deployments.values())
    return [
        RunView.of(
            run,
            deployments[run.deployment_id],
            evidence.get(run.evidence_id or ""),
            actions[run.id],
            waiting=waits.get(run.id),
            affected=affected.get(run.deployment_id, ()),
        )
        for run in found
    ]
