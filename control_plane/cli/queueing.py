"""Commands about the queue, and the words for a pause of one tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import REFUSED
from control_plane.cli.refusing import Json, refuse

queue = typer.Typer(no_args_is_help=True, help="The queue of runs and builds.")
QUEUE = ("paused", "reason=pause.reason", "paused_by=pause.paused_by",
         "paused_at=pause.paused_at", "allowed_actions")  # fmt: skip
RUNS = ("run_id", "kind", "status", "waiting=waiting.sentence")
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]


@queue.command("show")
def show_queue(as_json: Json = False) -> None:
    """Show whether the queue is paused, since when and why, and what waits in it."""
    _show(from_environment().get("/v1/queue"), as_json=as_json)


@queue.command("list")
def list_queue(as_json: Json = False) -> None:
    """List the runs that wait, in the order in which they are taken up."""
    found = from_environment().get("/v1/queue")["runs"]
    output.table(found, as_json=as_json, fields=RUNS, empty="no run waits in it")


@queue.command("pause")
def pause_queue(reason: Reason, as_json: Json = False) -> None:
    """Pause the queue: workers finish what they have and take nothing up until it is resumed."""
    _steer("pause", reason, as_json=as_json)


@queue.command("resume")
def resume_queue(reason: Reason, as_json: Json = False) -> None:
    """Resume the queue: workers take up what waits."""
    _steer("resume", reason, as_json=as_json)


def _steer(action: str, reason: str, *, as_json: bool) -> None:
    _show(from_environment().post(f"/v1/queue/{action}", {"reason": reason}), as_json=as_json)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    fields = QUEUE if found["paused"] else ("paused", "allowed_actions")
    output.show(found, as_json=as_json, fields=fields)
    if as_json:
        return
    if "resume" in found["allowed_actions"]:
        output.say("to resume it: tenantctl queue resume --reason …")
    output.table(found["runs"], as_json=False, fields=RUNS, empty="no run waits in it")


def pause_tenant(key: str, reason: Reason, as_json: Json = False) -> None:
    """Pause a tenant: a hold of the kind pause, so that nothing of it begins to be applied."""
    path = f"/v1/tenants/{segment(key)}/holds"
    body = {"kind": "pause", "reason": reason, "applying": "finishes"}
    found = from_environment().post(path, body)
    output.show(found, as_json=as_json, fields=("id", "kind", "reason", "placed_by", "placed_at"))
    if not as_json:
        output.say(f"to resume it: tenantctl tenant resume {key} --reason …")


def resume_tenant(key: str, reason: Reason, as_json: Json = False) -> None:
    """Resume a paused tenant: release its holds of the kind pause; others stay."""
    api = from_environment()
    holds = api.get(f"/v1/tenants/{segment(key)}/holds")["items"]
    standing = [each for each in holds if each["released_at"] is None]
    pauses = [each for each in standing if each["kind"] == "pause"]
    if not pauses:
        others = ", ".join(f"{each['kind']} {each['id']}" for each in standing)
        more = f"; it has other holds: {others}" if others else ""
        refuse(f"this tenant is not paused{more}", REFUSED)
    released: list[Any] = [
        api.post(f"/v1/holds/{segment(each['id'])}/release", {"reason": reason}) for each in pauses
    ]
    output.table(
        released, as_json=as_json, fields=("id", "kind", "released_by", "released_at"), empty=""
    )
    left = [each for each in standing if each["kind"] != "pause"]
    if left and not as_json:
        output.say(f"it stays held: {', '.join(each['kind'] for each in left)}")
