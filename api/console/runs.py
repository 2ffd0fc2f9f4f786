"""The page of a run: what it changes, how far it is, and deciding on its plan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.console.progress import Progress
from api.console.rendering import fragment
from api.console.visiting import (
    Form,
    FormDep,
    PageRoute,
    Visitor,
    VisitorDep,
    session_token,
    stranger,
)
from api.errors import STATUS
from api.routes.runs import views
from api.schemas.approvals import ApprovalView
from api.schemas.plan_reading import readings_of, shown, visible
from api.schemas.plan_views import PlanComparisonView
from api.streams import ProgressResponse, event_text
from control_plane.domain.approval import standing
from control_plane.domain.errors import DomainError, InvalidInput, NotFound
from control_plane.domain.plan import PARTS, Plan
from control_plane.domain.run import TERMINAL_RUN, RunEvent
from control_plane.domain.why_not import why_not
from control_plane.services import approvals, console, runs, withdrawals
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
SECONDS: Final = 1.0  # between two pictures of a run that is busy
_MOST_LINES: Final = 20_000
_NEWS: Final = "id: "
_PARTS: Final = {
    "operations": "what is done with each resource, with every value",
    "spec": "the facts and the contract that it is made of",
    "state": "what our record says exists",
    "program": "the program that describes the resources",
    "policies": "the policy rules with their parameters",
    "rules": "the approval rules",
    "versions": "the versions of the engine and of its providers",
}
assert set(_PARTS) == set(PARTS)  # noqa: S101 - a part without words would be shown without any


@router.get("/runs/{run_id}")
def run_page(who: VisitorDep, run_id: str) -> Response:
    """Show a run."""
    return _page(who, run_id)


@router.get("/runs/{run_id}/live")
async def live(request: Request, who: VisitorDep, run_id: str) -> Response:
    """Send the tree of a run whenever something happened; ends with the run."""
    have, token = who.have, session_token(request, who.have)
    plan = await asyncio.to_thread(perform, have.core, who.reading, _plan_of, run_id)
    progress, nobody = Progress(), stranger(request)
    progress.plan(plan)

    def read(seq: int) -> tuple[bool, Sequence[RunEvent]]:
        ended, events = perform(have.core, who.reading, runs.read_progress, run_id, seq)
        progress.take(events)
        return ended, events[-1:]

    def still_holds() -> None:
        if not perform(have.core, nobody, console.is_open, token):
            raise NotFound("the session has ended")

    def picture() -> str:
        status = perform(have.core, who.reading, runs.get_run, run_id).status
        return fragment("run_tree.html", progress=progress, status=status, now=datetime.now(UTC))

    have.streams.enter()
    lines = have.streams.follow(
        run_id,
        0,
        read=read,
        line=_line,
        still_holds=still_holds,
        end=event_text("end", json.dumps({"run_id": run_id})),
    )
    return ProgressResponse(have.streams, _pictures(lines, picture))


def _line(event: RunEvent) -> tuple[int, str]:
    return event.seq, f"{_NEWS}{event.seq}\n\n"


async def _pictures(lines: AsyncIterator[str], picture: Any) -> AsyncIterator[str]:
    """Yield a picture for each line that says something new, and every other line as it is."""
    async for line in lines:
        if not line.startswith(_NEWS):
            yield line
            continue
        html = await asyncio.to_thread(picture)
        data = "\n".join(f"data: {each}" for each in html.splitlines())
        yield f"event: part\n{data}\n\n"
        await asyncio.sleep(SECONDS)


@router.post("/runs/{run_id}/steering")
def steer(who: VisitorDep, given: FormDep, run_id: str) -> Response:
    """Cancel a run, or retry it; then the run that follows is shown."""
    chosen = {"cancel": runs.cancel_run, "retry": runs.retry_run}.get(given.text("action"))
    if chosen is None:
        raise InvalidInput("choose one of the buttons", field="action")
    run = perform(who.have.core, who.writing, chosen, run_id)
    return RedirectResponse(f"/console/runs/{run.id}", status_code=303)


@router.post("/approvals/{approval_id}/decision")
def decide(who: VisitorDep, given: FormDep, approval_id: str) -> Response:
    """Decide on a plan; what was refused is shown beside the run as it is now."""
    verdict = given.text("verdict")

    def do(act: Act) -> approvals.ApprovalDetails:
        return approvals.decide(
            act, approval_id, verdict=verdict, plan_digest=given.text("plan_digest"),
            reason=given.text("reason"),
            acknowledge=given.many("tick") if verdict == "approve" else (),
        )  # fmt: skip

    return _done(who, approval_id, given, do)


@router.post("/approvals/{approval_id}/withdrawal")
def withdraw(who: VisitorDep, given: FormDep, approval_id: str) -> Response:
    """Take back one's own approval."""

    def do(act: Act) -> approvals.ApprovalDetails:
        return withdrawals.withdraw(act, approval_id, reason=given.text("reason"))

    return _done(who, approval_id, given, do)


def _done(who: Visitor, approval_id: str, given: Form, do: Any) -> Response:
    try:
        found = perform(who.have.core, who.writing, do)
    except DomainError as error:
        if STATUS.get(error.code, 500) not in (409, 422):
            raise
        asked = perform(who.have.core, who.reading, approvals.get_approval, approval_id)
        return _page(who, asked.run.id, error=error, given=given)
    return RedirectResponse(f"/console/runs/{found.run.id}", status_code=303)


def _plan_of(act: Act, run_id: str) -> Plan | None:
    run = runs.get_run(act, run_id)
    return act.uow.plans.get(run.plan_id) if run.plan_id else None


def _page(
    who: Visitor, run_id: str, *, error: DomainError | None = None, given: Form | None = None
) -> Response:
    def read(act: Act) -> dict[str, Any]:
        return _read(act, run_id)

    found = perform(who.have.core, who.reading, read)
    return who.page(
        "run.html", here="/console/approvals", error=error, given=given or Form(),
        status=200 if error is None else STATUS.get(error.code, 500), parts_words=_PARTS,
        shown=shown, visible=visible, **found,
    )  # fmt: skip


def _read(act: Act, run_id: str) -> dict[str, Any]:
    run = runs.get_run(act, run_id)
    plan = _plan_of(act, run_id)
    owner, contract = runs.owner_of(act, run)
    details = None
    if run.approval_id is not None and act.caller.actor.has(*approvals.READERS):
        details = approvals.get_approval(act, run.approval_id)
    progress = Progress()
    progress.plan(plan)
    seq, lines = 0, 0
    while lines < _MOST_LINES:
        events = runs.read_progress(act, run_id, seq)[1]
        progress.take(events)
        if len(events) < runs.EVENTS_AT_ONCE:
            break
        seq, lines = events[-1].seq, lines + len(events)
    earlier, comparison = runs.compare_plans(act, run_id) if plan is not None else (None, None)
    older = comparison.older if comparison is not None else None
    return {
        "run": views(act, run)[0],
        "is_over": run.status in TERMINAL_RUN,
        "tenant": owner,
        "contract": contract,
        "plan": plan,
        "changes": readings_of(plan) if plan is not None else [],
        "progress": progress,
        "approval": ApprovalView.of(details) if details is not None else None,
        "why_not": "" if details is None else why_not(
            act.caller.actor, details.approval, details.barred,
            standing(details.decisions, details.withdrawals), act.now(),
        ),
        "earlier": earlier,
        "earlier_changes": readings_of(older) if older is not None else [],
        "comparison": PlanComparisonView.of(earlier, comparison)
        if comparison is not None and earlier is not None else None,
    }  # fmt: skip
