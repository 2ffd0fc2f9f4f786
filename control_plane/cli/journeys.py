"""Commands about journeys and tasks: how far a tenant is, and what people do about a step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

JOURNEYS: Final = ("id", "tenant_id", "playbook", "status", "started_at", "ended_at")
HEAD: Final = ("id", "tenant_id", "playbook", "status", "reason", "day", "is_late", "next_action")
STEPS: Final = (
    "step=key", "status", "round", "owner", "waits_on", "due_at", "late=is_late", "attempts",
    "why",
)  # fmt: skip
TASKS: Final = ("id", "tenant_id", "owner", "assignee", "title", "due_at", "late=is_late", "status")
TASK: Final = (
    "id", "tenant_id", "about", "owner", "assignee", "title", "instructions", "due_at", "is_late",
    "status", "answer", "created_at", "ended_at", "ended_by", "allowed_actions",
)  # fmt: skip
_PAUSE_SECONDS: Final = 2.0
_MOVING: Final = ("open", "canceling")
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Late = Annotated[bool, typer.Option("--late", help="Only what is due and did not end.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
Outcome = Annotated[
    str | None, typer.Option(help="How the step ended, where it has several outcomes.")
]

journey = typer.Typer(no_args_is_help=True, help="Journeys of tenants, by their playbooks.")
task = typer.Typer(no_args_is_help=True, help="Tasks: what waits for a person.")


def tenant_journey(
    key: str,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each change until the journey has ended.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="List all its journeys, newest first.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how far a tenant's newest journey is: steps, who they wait on, what is late."""
    if every:
        listed = from_environment().get(f"/v1/tenants/{segment(key)}/journeys")
        output.table(listed, as_json=as_json, fields=JOURNEYS, empty="no journeys")
        return
    path = f"/v1/tenants/{segment(key)}/journey"
    found = from_environment().get(path)
    _show(found, as_json=as_json)
    while watch and found["status"] in _MOVING:
        time.sleep(_PAUSE_SECONDS)  # the answer is read again as often as that
        known = {step["key"]: step for step in found["steps"]}
        found = from_environment().get(path)
        for step in found["steps"]:
            before = known[step["key"]]
            if (before["status"], before["reason"]) != (step["status"], step["reason"]):
                output.say(f"{step['key']}: {step['status']}  {_why(step)}".rstrip())


@journey.command("list")
def list_journeys(
    status: Annotated[
        str | None, typer.Option(help="Only with this status: open, canceling, done or canceled.")
    ] = None,
    late: Late = False,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List journeys, newest first."""
    found = from_environment().pages("/v1/journeys", most=limit, status=status, late=late)
    output.table(found, as_json=as_json, fields=JOURNEYS, empty="no journeys")


@journey.command("show")
def show_journey(journey_id: str, as_json: Json = False) -> None:
    """Show a journey, step by step; by its tenant: `tenant journey`."""
    _show(from_environment().get(f"/v1/journeys/{segment(journey_id)}"), as_json=as_json)


@journey.command("retry")
def retry_step(journey_id: str, step: str, as_json: Json = False) -> None:
    """Let a step be taken again that failed or asked a person."""
    _show(from_environment().post(_step(journey_id, step, "retry")), as_json=as_json)


@journey.command("skip")
def skip_step(journey_id: str, step: str, reason: Reason, as_json: Json = False) -> None:
    """Leave a step out; what needs it continues."""
    found = from_environment().post(_step(journey_id, step, "skip"), {"reason": reason})
    _show(found, as_json=as_json)


@journey.command("done")
def finish_step(
    journey_id: str, step: str, reason: Reason, outcome: Outcome = None, as_json: Json = False
) -> None:
    """Say that a step is done which waits for a person, or which failed."""
    body = {"reason": reason, "outcome": outcome}
    _show(from_environment().post(_step(journey_id, step, "done"), body), as_json=as_json)


@journey.command("cancel")
def cancel_journey(journey_id: str, reason: Reason, as_json: Json = False) -> None:
    """Let a journey go no further, and take back what it did."""
    path = f"/v1/journeys/{segment(journey_id)}/cancel"
    _show(from_environment().post(path, {"reason": reason}), as_json=as_json)


def _step(journey_id: str, step: str, verb: str) -> str:
    return f"/v1/journeys/{segment(journey_id)}/steps/{segment(step)}/{verb}"


def _why(step: Mapping[str, Any]) -> str:
    error = step["error"] or {}
    return str(error.get("message") or step["reason"] or "")


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.as_json_text(found)
        return
    output.show(found, as_json=False, fields=HEAD)
    rows = [{**step, "why": _why(step)} for step in found["steps"]]
    output.table(rows, as_json=False, fields=STEPS, empty="no steps")
    for step in found["steps"]:
        for each in step["tasks"]:
            output.say(f"{step['key']}: tenantctl task show {each}")
        if "retry" in step["allowed_actions"]:
            output.say(f"to try it again: tenantctl journey retry {found['id']} {step['key']}")


@task.command("list")
def list_tasks(
    mine: Annotated[bool, typer.Option("--mine", help="Only those of my roles.")] = False,
    status: Annotated[
        str | None, typer.Option(help="Only with this status: open, done or canceled.")
    ] = "open",
    owner: Annotated[str | None, typer.Option(help="Only of this owner, such as csm.")] = None,
    late: Late = False,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List tasks, newest first."""
    found = from_environment().pages(
        "/v1/tasks", most=limit, mine=mine, status=status, owner=owner, late=late
    )
    output.table(found, as_json=as_json, fields=TASKS, empty="no tasks")


@task.command("show")
def show_task(task_id: str, as_json: Json = False) -> None:
    """Show a task with its instructions."""
    _show_task(from_environment().get(f"/v1/tasks/{segment(task_id)}"), as_json=as_json)


@task.command("done")
def finish_task(
    task_id: str,
    answer: Annotated[str, typer.Option(help="What was done or answered.")],
    outcome: Outcome = None,
    as_json: Json = False,
) -> None:
    """Say that a task is done; its step is done with it."""
    body = {"answer": answer, "outcome": outcome}
    found = from_environment().post(f"/v1/tasks/{segment(task_id)}/done", body)
    _show_task(found, as_json=as_json)


@task.command("reassign")
def reassign_task(
    task_id: str,
    owner: Annotated[str | None, typer.Option(help="The new owner, such as csm.")] = None,
    assignee: Annotated[str | None, typer.Option(help="The person.")] = None,
    as_json: Json = False,
) -> None:
    """Give a task to another owner, or to a person."""
    body = {"owner": owner, "assignee": assignee}
    found = from_environment().post(f"/v1/tasks/{segment(task_id)}/reassign", body)
    _show_task(found, as_json=as_json)


def _show_task(found: Mapping[str, Any], *, as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=TASK)
    if not as_json and "done" in found["allowed_actions"]:
        output.say(f"when it is done: tenantctl task done {found['id']} --answer …")
