"""Commands about deliveries: what providers of signatures posted, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

DELIVERIES: Final = (
    "id", "source", "event", "envelope_id", "status", "why=error.code", "tenant_id",
    "times_received", "received_at",
)  # fmt: skip
DELIVERY: Final = (
    "id", "source", "account", "event", "envelope_id", "status", "why=error.code",
    "message=error.message", "remedy=error.remedy", "field=error.data.field",
    "source_path=error.data.source_path", "request_id", "tenant_id", "key_name", "size",
    "times_received", "received_at", "last_received_at", "settled_at", "decided_by",
    "decision_reason", "decided_at", "allowed_actions",
)  # fmt: skip
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]

delivery = typer.Typer(no_args_is_help=True, help="Signed contracts that providers delivered.")


@delivery.command("list")
def list_deliveries(
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only with this status: received, accepted, repeated, ignored, held, refused or "
            "dismissed."
        ),
    ] = None,
    envelope: Annotated[
        str | None, typer.Option(help="Only of this envelope, in any spelling of its id.")
    ] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first; those that are held or refused wait for a person."""
    found = from_environment().pages(
        "/v1/deliveries", most=limit, source=source, status=status, envelope_id=envelope
    )
    output.table(found, as_json=as_json, fields=DELIVERIES, empty="no deliveries")
    if not as_json and any(item["allowed_actions"] for item in found):
        output.say("next: tenantctl delivery show ID says why one waits, and what to do")


@delivery.command("show")
def show_delivery(
    delivery_id: str,
    content: Annotated[
        bool,
        typer.Option("--content", help="Print its content as it was posted; this is recorded."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a delivery, why it waits, and what may be done."""
    path = f"/v1/deliveries/{segment(delivery_id)}"
    if content:
        found = from_environment().get(f"{path}/content")
        if as_json:
            output.as_json_text(found)
        else:
            output.say(found["content"])
        return
    _show(from_environment().get(path), as_json=as_json)


@delivery.command("replay")
def replay_delivery(delivery_id: str, reason: Reason, as_json: Json = False) -> None:
    """Take a delivery again that is held or refused, after the reason is gone."""
    path = f"/v1/deliveries/{segment(delivery_id)}/replay"
    _show(from_environment().post(path, {"reason": reason}), as_json=as_json)


@delivery.command("accept")
def accept_delivery(delivery_id: str, reason: Reason, as_json: Json = False) -> None:
    """Let a held delivery make an additional tenant of its company."""
    _decide(delivery_id, "accept_additional", reason, as_json=as_json)


@delivery.command("dismiss")
def dismiss_delivery(delivery_id: str, reason: Reason, as_json: Json = False) -> None:
    """Decide that nothing follows from a delivery that is held or refused."""
    _decide(delivery_id, "dismiss", reason, as_json=as_json)


def _decide(delivery_id: str, decision: str, reason: str, *, as_json: bool) -> None:
    path = f"/v1/deliveries/{segment(delivery_id)}/decision"
    found = from_environment().post(path, {"decision": decision, "reason": reason})
    _show(found, as_json=as_json)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=DELIVERY)
    if not as_json:
        for line in next_steps(found):
            output.say(line)


def next_steps(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that may be done with a delivery."""
    name = found["id"]
    lines = {
        "replay": f"to take it again, when the reason is gone: tenantctl delivery replay {name} "
        "--reason …",
        "accept_additional": f"to make another tenant of its company: tenantctl delivery accept "
        f"{name} --reason …",
        "dismiss": f"if nothing is to follow: tenantctl delivery dismiss {name} --reason …",
    }
    steps = [lines[action] for action in found["allowed_actions"] if action in lines]
    if found["status"] == "received":
        steps.append(f"a worker takes it; look again: tenantctl delivery show {name}")
    if found["tenant_id"] is not None:
        steps.append(f"its tenant: tenantctl tenant show {found['tenant_id']}")
    return steps
