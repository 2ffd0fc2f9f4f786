"""Commands about sources of contracts: ask them, and settle what differs from here."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

FINDINGS: Final = (
    "id", "source", "kind", "subject", "status", "explanation", "tenant_id", "found_at",
)  # fmt: skip
FINDING: Final = (
    "id", "source", "kind", "subject", "status", "explanation", "reason", "delivery_id",
    "tenant_id", "found_at", "last_seen_at", "ended_at", "settled_by", "allowed_actions",
)  # fmt: skip
LOOK: Final = ("source", "position", "looked_at", "why=error.code", "message=error.message")
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]

intake = typer.Typer(no_args_is_help=True, help="Sources of contracts: ask them, what differs.")


@intake.command("look")
def look(source: str, as_json: Json = False) -> None:
    """Ask a source now what was signed since the last look; a worker does it."""
    found = from_environment().post(f"/v1/intake/{segment(source)}/look", {})
    output.show(found, as_json=as_json, fields=LOOK)
    if not as_json:
        output.say(f"what it finds: tenantctl intake findings --source {source}")


@intake.command("findings")
def findings(
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only with this status: open, agreed or settled.")
    ] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List what differs between sources of contracts and this installation, newest first."""
    found = from_environment().pages(
        "/v1/intake-findings", most=limit, source=source, status=status
    )
    output.table(found, as_json=as_json, fields=FINDINGS, empty="no findings")
    if not as_json and any(item["allowed_actions"] for item in found):
        output.say("next: tenantctl intake settle ID --reason … when nothing is to follow")


@intake.command("settle")
def settle(
    finding_id: str,
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    as_json: Json = False,
) -> None:
    """Settle a difference, so that it is not found again."""
    path = f"/v1/intake-findings/{segment(finding_id)}/settle"
    found = from_environment().post(path, {"reason": reason})
    output.show(found, as_json=as_json, fields=FINDING)
