"""Logs that the signer set aside."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.refusing import Json

_FIELDS: Final = ("tree", "why", "since", "ended_at", "released_at", "released_by")
quarantine = typer.Typer(
    no_args_is_help=True, help="Logs that the signer set aside: list them, release them."
)


@quarantine.command("list")
def list_quarantine(
    tree: Annotated[
        str, typer.Argument(help="Tenant id or slug, `platform`, `root`, or `all`.")
    ] = "all",
    as_json: Json = False,
) -> None:
    """List when the signer set a log aside and why; open findings first.

    Meanwhile changes that belong to that log are refused, and those of other tenants continue. The
    signer takes it up again by itself when its rows fit what was signed.
    """
    found = from_environment().get(f"/v1/audit/{segment(tree)}/quarantine")["items"]
    output.table(found, as_json=as_json, fields=_FIELDS, empty="no log was set aside")


@quarantine.command("release")
def release_quarantine(
    tree: Annotated[str, typer.Argument(help="Tenant id or slug, `platform` or `root`.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the audit log.")],
    as_json: Json = False,
) -> None:
    """Say that the finding on a log is settled; only once its rows are in order again."""
    path = f"/v1/audit/{segment(tree)}/quarantine/release"
    found = from_environment().post(path, {"reason": reason})
    output.show(found, as_json=as_json, fields=_FIELDS)
