"""What may be done about a run next, each with the command to type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.cli import output
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.run_actions import Action, cell_of

_COMMANDS = {
    Action.CANCEL: "tenantctl run cancel {id}",
    Action.RETRY: "tenantctl run retry {id}",
    Action.DECIDE: "tenantctl approval show {approval_id}",
}


def show_next(run: Mapping[str, Any]) -> None:
    """Print each action that the reader may take on a run, and what continues it by itself."""
    blocked_on = BlockedOn(run["blocked_on"]) if run["blocked_on"] else None
    cell = cell_of(RunKind(run["kind"]), RunStatus(run["status"]), blocked_on)
    for offer in cell.offers:
        if offer.action in run["allowed_actions"]:
            output.say(f"  {_COMMANDS[offer.action].format(**run)}    {offer.does}")
    if cell.by_itself:
        output.say(f"  otherwise {cell.by_itself}")
