"""Commands on the mode of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse
from control_plane.cli.removals import show_steps

CHANGE: Final = (
    "tenant_id", "status", "waiting_on", "way", "previous_mode", "mode", "saga_id", "summary",
)  # fmt: skip
MOVED: Final = ("kind", "copied=count", "of", "bytes=size", "of_bytes=of_size")
LISTED: Final = ("kind", "listed=count", "bytes=size")  # the customer copies what is handed over
ARRIVED: Final = ("kind", "arrived=count", "of", "bytes=size", "of_bytes=of_size")
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key (default: a new one).")
]  # fmt: skip


_SAID: Final = {
    "first-copy": "first-copy {} --reason …",
    "database-dump": "record-dump {} --digest sha256:… --reason …",
    "import-report": "import-report {} import-report.json",
}


def tenant_mode(
    key: str,
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm the mode.")] = False,
    change: Annotated[
        str | None, typer.Option("--change", metavar="MODE", help="Raise the mode: B or C.")
    ] = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Move the data; without it there must be none.")
    ] = False,
    amendment: Annotated[
        str | None, typer.Option(help="Number of the amendment that buys the new mode.")
    ] = None,
    keep_days: Annotated[int, typer.Option(help="Days that the former place is kept.")] = 14,
    reason: Annotated[str | None, typer.Option(help="Reason, recorded in the audit log.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only show what would happen.")] = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Show how far a change of the mode is; confirm the mode (--confirm) or raise it (--change).

    An architect or a platform admin confirms and raises. Retry, or withdraw before the switch,
    with `tenantctl saga`.
    """
    path = f"/v1/tenants/{segment(key)}/mode"
    if not confirm and change is None:
        _show(path, as_json)
        return
    if reason is None:
        refuse("give a --reason", USAGE)
    body = {
        "confirm": confirm,
        "change_to": change.upper() if change else None,
        "upgrade": upgrade,
        "amendment": amendment,
        "keep_days": keep_days,
        "reason": reason,
    }
    flag = "true" if dry_run else None
    found = from_environment().post(path, body, key=idempotency_key, dry_run=flag)
    output.show(found, as_json=as_json, fields=CHANGE)
    if as_json:
        return
    for number, says in enumerate(found["steps"], 1):
        output.say(f"  {number:>2}  {says}")
    if found["saga_id"]:
        output.say(f"  to follow it: tenantctl tenant mode {key}")


def _moved(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the numbers of a change are: of a hand-over, what its manifest lists."""
    if found["kind"] != "mode_handover":
        return MOVED
    return ARRIVED if found["equal"] else LISTED


def _show(path: str, as_json: bool) -> None:
    found = from_environment().get(path)
    show_steps(found, as_json)
    if as_json:
        return
    output.table(found["moved"], as_json=False, fields=_moved(found), empty="")
    if found["manifest"]:
        output.say(f"manifest {found['manifest']['number']}  {found['manifest']['digest']}")
    for name in ("frozen_seconds", "left_behind"):
        if found[name]:
            output.say(f"{name}  {output.text(found[name])}")
    for action, command in _SAID.items():
        if action in found["allowed_actions"]:
            output.say(f"  to continue: tenantctl tenant {command.format(found['tenant_id'])}")
    if "withdraw" in found["allowed_actions"]:
        output.say(f"  to withdraw: tenantctl saga withdraw {found['id']} --reason …")
