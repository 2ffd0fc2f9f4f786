"""Commands on the audit logs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli import output
from control_plane.cli.calls import Json
from control_plane.cli.client import from_environment
from control_plane.cli.errors import USAGE

audit = typer.Typer(no_args_is_help=True, help="Audit logs: read them, verify them.")
Tree = Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")]


def _base(tree: str) -> str:
    return "/v1/audit/platform" if tree == "platform" else f"/v1/tenants/{tree}/audit"


@audit.command("events")
def events(
    tree: Tree,
    after: Annotated[int, typer.Option(help="First index.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 100,
    action: Annotated[str | None, typer.Option(help="Only this action.")] = None,
    as_json: Json = False,
) -> None:
    """Show entries of a log, oldest first; the read is an entry too."""
    api = from_environment()
    found = api.get(f"{_base(tree)}/events", after=after, limit=limit, action=action)["items"]
    fields = ("idx", "body.time", "body.action", "body.stage", "body.actor.id", "body.data")
    output.table(found, as_json=as_json, fields=fields, empty="no entries")


@audit.command("checkpoint")
def checkpoint(tree: Tree) -> None:
    """Print the newest signed checkpoint; keep it, and `verify --pin` later."""
    typer.echo(from_environment().text(f"{_base(tree)}/checkpoint"), nl=False)


@audit.command("proof")
def proof(tree: Tree, idx: int) -> None:
    """Print the proof that an entry is in the log."""
    found = from_environment().get(f"{_base(tree)}/proof", idx=idx)
    typer.echo(json.dumps(found, indent=1))


@audit.command("verify")
def verify(
    trees: Annotated[
        list[str] | None, typer.Argument(help="Tenant ids or `platform`; none: every log.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option(help="Public key file you trust, from elsewhere.")
    ] = None,
    pin: Annotated[list[Path] | None, typer.Option(help="Checkpoint file you kept.")] = None,
    as_json: Json = False,
) -> None:
    """Verify logs against the database: hashes, signatures, order, and checkpoints you kept.

    Exit 0 when nothing is wrong, 2 tampered or badly signed, 4 malformed, 5 a gap.
    """
    from control_plane.adapters.audit.keys import load_public_key  # noqa: PLC0415 - heavy
    from control_plane.adapters.audit.verify import PinInvalid  # noqa: PLC0415
    from control_plane.adapters.audit.verify import verify as verify_trees  # noqa: PLC0415
    from control_plane.cli.local import parts_of_this_installation  # noqa: PLC0415

    parts = parts_of_this_installation()
    try:
        report = verify_trees(
            parts.auditor_engine,
            host=parts.settings.audit_host,
            trees=trees or None,
            public_keys=[load_public_key(file) for file in key] if key else None,
            pins=[file.read_text(encoding="utf-8") for file in pin or ()],
        )
    except (OSError, PinInvalid) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(USAGE) from None
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
    raise typer.Exit(report.exit_code)
