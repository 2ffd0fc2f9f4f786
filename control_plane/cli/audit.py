"""Commands on the audit logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from control_plane import config
from control_plane.adapters.home import Home, Key
from control_plane.cli import output
from control_plane.cli.client import CONNECTIONS, Json, from_environment, refuse, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.local import database_faults, parts_of_this_installation, tree_of

audit = typer.Typer(no_args_is_help=True, help="Audit logs: read them, verify them.")
Tree = Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")]


def _base(tree: str) -> str:
    return "/v1/audit/platform" if tree == "platform" else f"/v1/tenants/{segment(tree)}/audit"


@audit.command("events")
def events(
    tree: Tree,
    after: Annotated[int, typer.Option(min=0, help="First index.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 100,
    action: Annotated[str | None, typer.Option(help="Only this action.")] = None,
    as_json: Json = False,
) -> None:
    """Show entries of a log, oldest first; the read is an entry too."""
    api = from_environment()
    found = api.get(f"{_base(tree)}/events", after=after, limit=limit, action=action)["items"]
    fields = ("idx", "body.time", "body.action+body.stage", "actor=body.actor.id", "body.data")
    output.table(found, as_json=as_json, fields=fields, empty="no entries")
    if not as_json and len(found) == limit:
        typer.echo(f"more: --after {found[-1]['idx'] + 1}")


@audit.command("checkpoint")
def checkpoint(tree: Tree, as_json: Json = False) -> None:
    """Print the newest signed checkpoint; keep it for a later `verify --checkpoint`."""
    note = from_environment().text(f"{_base(tree)}/checkpoint")
    if as_json:
        output.as_json_text({"checkpoint": note})
    else:
        typer.echo(note, nl=False)


@audit.command("proof")
def proof(
    tree: Tree,
    idx: Annotated[int, typer.Argument(min=0, help="Index of the entry.")],
    _as_json: Json = False,
) -> None:
    """Print the proof that an entry is in the log; it is JSON with and without --json."""
    output.as_json_text(from_environment().get(f"{_base(tree)}/proof", idx=idx))


@audit.command("key")
def key(
    tree: Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")] = "platform",
    file: Annotated[
        Path | None, typer.Option("--public-key", help="Public key file; else this machine's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the signer's public key: as a C2SP verifier key of a log (vkey), and as PEM.

    Other tools take the verifier key, which names the log; `audit verify` takes the PEM.
    """
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - heavy
        KeyFileUnusable,
        load_public_key,
        public_key_path,
    )
    from control_plane.adapters.audit.note import VerifierKey, tree_origin  # noqa: PLC0415

    settings = config.load()
    found = file or public_key_path(Home(settings.home.absolute()).key(Key.AUDIT))
    try:
        public_key = load_public_key(found)
        pem = found.read_text(encoding="ascii")
    except KeyFileUnusable as error:
        refuse(f"{error}; give the signer's public key with --public-key", USAGE)
    is_known = tree == "platform" or re.fullmatch(r"ten_[0-9A-Z]{26}", tree)
    name = tree if is_known else tree_of(parts_of_this_installation(), tree)
    vkey = str(VerifierKey(name=tree_origin(settings.audit_host, name), public_key=public_key))
    if as_json:
        output.as_json_text({"vkey": vkey, "pem": pem})
    else:
        typer.echo(f"{vkey}\n{pem}", nl=False)


@audit.command("verify")
def verify(
    trees: Annotated[
        list[str] | None,
        typer.Argument(help="Tenant ids or slugs, or `platform`; none: every log."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", help="Public key file you trust, from elsewhere."),
    ] = None,
    pin: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="Checkpoint file you kept.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify logs against the database: hashes, signatures, order, and checkpoints you kept.

    It needs no token and no API. Exit 0 when nothing is wrong, 2 tampered or badly signed,
    or unsigned for too long, 4 malformed or misdated, 5 a gap or no log. Without a tree, every log
    that a tenant must have is verified.
    """
    parts = parts_of_this_installation()
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - heavy
        KeyFileUnusable,
        load_public_key,
    )
    from control_plane.adapters.audit.verify import (  # noqa: PLC0415
        PinInvalid,
        trees_that_must_exist,
    )
    from control_plane.adapters.audit.verify import verify as verify_trees  # noqa: PLC0415

    try:
        keys = [load_public_key(file) for file in key] if key else None
        pins = [_kept(file) for file in pin or ()]
        CONNECTIONS.callback(parts.auditor_engine.dispose)
        with database_faults():
            report = verify_trees(
                parts.auditor_engine,
                host=parts.settings.audit_host,
                trees=[tree_of(parts, tree) for tree in trees] if trees else None,
                public_keys=keys,
                pins=pins,
                expected=() if trees else trees_that_must_exist(parts.auditor_engine),
            )
    except (PinInvalid, KeyFileUnusable) as error:
        refuse(str(error), USAGE)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}", USAGE)
    if as_json:
        output.as_json_text(report.to_json())
    else:
        typer.echo(report.to_text(), nl=False)
    raise typer.Exit(report.exit_code)


def _kept(file: Path) -> str:
    """Return the text of a checkpoint that was kept; what is none ends the command."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        refuse(f"{file} is no checkpoint: it is not text", USAGE)
