"""The page of a run: its plan with values, how far it is, and what people decide on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse

from api.console.approvals import why_not
from api.console.live import live_part
from api.console.plan_shown import shown_plan
from api.console.progress import progress_of
from api.console.rendering import fragment
from api.console.visiting import Form, FormDep, PageRoute, Visitor, VisitorDep, visitor
from api.routes.runs import views
from api.schemas.approvals import ApprovalView
from api.schemas.plan_views import PlanComparisonView
from api.schemas.views import PlanView
from control_plane.domain.errors import InvalidInput
from control_plane.domain.run import RunEvent
from control_plane.services import approvals, runs, tenants, withdrawals
from control_plane.services.performing import perform
from control_plane.services.permission import READ_TENANTS
from control_plane.workflows.core import Act

router = APIRouter(prefix="/console/runs", include_in_schema=False, route_class=PageRoute)
Id = Annotated[str, Path(max_length=64)]
_PLACE: Final = "/console/tenants"  # its entry in the menu


@router.get("/{run_id}")
def show_run(who: VisitorDep, run_id: Id) -> Response:
    """Show a run with its plan, its approval and how far it is."""
    found = perform(who.have.core, who.reading, _read, run_id)
    return who.page("run.html", here=_PLACE, **found, **_live(who, run_id))


def _read(act: Act, run_id: str) -> dict[str, Any]:
    run = runs.get_run(act, run_id)
    (view,) = views(act, run)
    actor = act.caller.actor
    plan = approval = comparison = tenant = None
    if run.plan_id is not None:
        replaced = runs.replaced_run(act, run_id)
        plan = shown_plan(PlanView.of(runs.get_plan(act, run_id), replaced).model_dump(mode="json"))
        if replaced is not None:
            earlier, found = runs.compare_plans(act, run_id)
            comparison = PlanComparisonView.of(earlier, found)
    if run.approval_id is not None and actor.has(*approvals.READERS):
        approval = ApprovalView.of(approvals.get_approval(act, run.approval_id))
    if run.tenant_id is not None and actor.has(*READ_TENANTS):
        tenant = tenants.get_tenant(act, run.tenant_id)
    return {
        "plan": plan, "approval": approval, "comparison": comparison, "tenant": tenant,
        "run": view, "on_behalf_of": run.on_behalf_of,
        "decisions": approval.allowed_actions if approval is not None else [],
        "steering": view.allowed_actions,
        "why_not": why_not(approval, actor) if approval is not None else "",
    }  # fmt: skip


# --- what changes while it goes on ---------------------------------------------------------------
def _live(who: Visitor, run_id: str) -> dict[str, Any]:
    def read(act: Act) -> dict[str, Any]:
        (view,) = views(act, runs.get_run(act, run_id))
        return {"now_run": view, "progress": progress_of(_lines(act, run_id))}

    return perform(who.have.core, who.reading, read)


def _lines(act: Act, run_id: str) -> list[RunEvent]:
    found: list[RunEvent] = []
    while lines := runs.events_after(act, run_id, found[-1].seq if found else 0):
        found.extend(lines)
    return found


@router.get("/{run_id}/live")
async def follow_run(request: Request, who: VisitorDep, run_id: Id) -> Response:
    """Send the part of the page that changes, whenever it has changed."""
    have = who.have
    return await live_part(
        have, run_id,
        read=lambda seq: perform(have.core, who.reading, runs.read_progress, run_id, seq),
        may=lambda: perform(have.core, who.reading, runs.get_run, run_id),
        still_holds=lambda: visitor(request, have),
        render=lambda: fragment("run_live.html", **_live(who, run_id)),
    )  # fmt: skip


# --- deciding ------------------------------------------------------------------------------------
@router.post("/{run_id}/decision")
def decide(who: VisitorDep, form: FormDep, run_id: Id) -> Response:
    """Approve, reject or withdraw; or cancel or retry the run."""
    action = form.text("action")
    if action not in _ACTIONS:
        raise InvalidInput("choose one of the buttons", field="action")
    following = perform(who.have.core, who.writing, _ACTIONS[action], run_id, form)
    return RedirectResponse(f"/console/runs/{following}", status_code=303)


def _approve(act: Act, run_id: str, form: Form) -> str:
    approvals.decide(
        act, _approval_of(act, run_id), verdict="approve", plan_digest=form.text("plan_digest"),
        reason=form.text("reason"), acknowledge=form.many("acknowledge"),
    )  # fmt: skip
    return run_id


def _reject(act: Act, run_id: str, form: Form) -> str:
    approvals.decide(
        act, _approval_of(act, run_id), verdict="reject", plan_digest=form.text("plan_digest"),
        reason=form.text("reason"),
    )  # fmt: skip
    return run_id


def _withdraw(act: Act, run_id: str, form: Form) -> str:
    withdrawals.withdraw(act, _approval_of(act, run_id), reason=form.text("reason"))
    return run_id


def _cancel(act: Act, run_id: str, _: Form) -> str:
    return runs.cancel_run(act, run_id).id


def _retry(act: Act, run_id: str, _: Form) -> str:
    return runs.retry_run(act, run_id).id


_ACTIONS: Final[dict[str, Callable[[Act, str, Form], str]]] = {
    "approve": _approve, "reject": _reject, "withdraw": _withdraw, "cancel": _cancel,
    "retry": _retry,
}  # fmt: skip


def _approval_of(act: Act, run_id: str) -> str:
    approval = runs.get_run(act, run_id).approval_id
    if approval is None:
        raise InvalidInput("nobody is asked about this run", field="action")
    return approval
