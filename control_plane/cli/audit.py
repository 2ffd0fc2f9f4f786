"""Commands on the audit logs."""

from __future__ import annotations

import getpass
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from control_plane.cli import audit_keys, audit_status, dossiers, output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.events import show_events
from control_plane.cli.personal_values import (
    ask_for_grant,
    confirm_erasure,
    confirm_grant,
    disclose,
    erase,
    list_erasures,
    list_grants,
    show_erasure,
)
from control_plane.cli.quarantine import quarantine
from control_plane.cli.refusing import CONNECTIONS, Json, refuse
from control_plane.cli.removals import verify_certificate
from control_plane.domain.errors import AuditUnavailable

if TYPE_CHECKING:
    from control_plane.adapters.audit.report import Report
    from control_plane.bootstrap import Parts

audit = typer.Typer(no_args_is_help=True, help="Audit logs: read them, verify them.")
audit.command("verify-certificate")(verify_certificate)
audit.command("disclose")(disclose)
audit.command("grant")(ask_for_grant)
audit.command("confirm-grant")(confirm_grant)
audit.command("grants")(list_grants)
audit.command("erase")(erase)
audit.command("confirm-erasure")(confirm_erasure)
audit.command("erasure")(show_erasure)
audit.command("erasures")(list_erasures)
audit.command("rotate-key")(audit_keys.rotate_key)
audit.add_typer(quarantine, name="quarantine")
audit.command("status")(audit_status.status)
audit.command("export")(dossiers.export)
audit.command("sample")(dossiers.sample)
Tree = Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")]


def _base(tree: str) -> str:
    return "/v1/audit/platform" if tree == "platform" else f"/v1/tenants/{segment(tree)}/audit"


@audit.command("events")
def events(
    tree: Tree,
    after: Annotated[int, typer.Option(min=0, help="Index of the first entry.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of entries.")] = 100,
    action: Annotated[str | None, typer.Option(help="Only entries of this action.")] = None,
    as_json: Json = False,
) -> None:
    """Show entries of a log, oldest first; the read is logged as well."""
    api = from_environment()
    found = api.get(f"{_base(tree)}/events", after=after, limit=limit, action=action)["items"]
    if as_json:
        output.as_json_text(found)
        return
    show_events(found)
    if len(found) == limit:
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
    """Print the proof that an entry is in the log; always as JSON."""
    output.as_json_text(from_environment().get(f"{_base(tree)}/proof", idx=idx))


@audit.command("key")
def key(
    tree: Annotated[
        str, typer.Argument(help="Tenant id or slug, `platform` or `root`.")
    ] = "platform",
    file: Annotated[
        Path | None, typer.Option("--public-key", help="Public key file (default: this machine's).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the signer's public key: as a C2SP verifier key of a log (vkey), and as PEM.

    Other tools take the verifier key, which names the log; `audit verify` takes the PEM.
    """
    from control_plane import config  # noqa: PLC0415 - heavy, and unused by what asks the API
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - heavy
        KeyFileUnusable,
        load_public_key,
        public_key_path,
    )
    from control_plane.adapters.audit.note import VerifierKey, tree_origin  # noqa: PLC0415
    from control_plane.adapters.home import Home, Key  # noqa: PLC0415
    from control_plane.cli.local import parts_of_this_installation, tree_of  # noqa: PLC0415

    settings = config.load()
    found = file or public_key_path(Home(settings.home.absolute()).key(Key.AUDIT))
    try:
        public_key = load_public_key(found)
        pem = found.read_text(encoding="ascii")
    except KeyFileUnusable as error:
        refuse(f"{error}; give the signer's public key with --public-key", USAGE)
    is_known = tree in {"platform", "root"} or re.fullmatch(r"ten_[0-9A-Z]{26}", tree)
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
        typer.Argument(help="Tenant ids or slugs, or `platform` (default: every log)."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", help="Public key file from a trusted source."),
    ] = None,
    pin: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="Checkpoint file that you kept.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify logs against the database: hashes, signatures, order, and checkpoints you kept.

    It needs no token and no API. Exit 0 when nothing is wrong, 10 tampered or badly signed,
    or unsigned for too long, 11 malformed or misdated, 12 a gap or no log. Without a tree, the
    platform's log and every log that a tenant must have are verified. With the application's
    login at hand the platform's log records it; the auditor's login writes nothing.
    """
    from control_plane.cli.local import (  # noqa: PLC0415 - heavy, as above
        database_faults,
        parts_of_this_installation,
        tree_of,
    )

    parts = parts_of_this_installation()
    from control_plane.adapters.audit.keys import (  # noqa: PLC0415 - heavy
        KeyFileUnusable,
        load_public_key,
    )
    from control_plane.adapters.audit.verify import (  # noqa: PLC0415
        PinInvalid,
        other_host,
        trees_that_must_exist,
    )
    from control_plane.adapters.audit.verify import verify as verify_trees  # noqa: PLC0415

    try:
        keys = [load_public_key(file) for file in key] if key else None
        pins = [_kept(file) for file in pin or ()]
        CONNECTIONS.callback(parts.auditor_engine.dispose)
        host = parts.settings.audit_host
        with database_faults():
            wanted = [tree_of(parts, tree) for tree in trees] if trees else None
            other = None if pins else other_host(parts.auditor_engine, host, wanted)
            if other is not None:
                refuse(
                    f"these are logs of {other}, not of {host}: set TENANTPLANE_AUDIT_HOST={other}."
                    f" If {host} is correct, somebody has replaced every checkpoint",
                    USAGE,
                )
            report = verify_trees(
                parts.auditor_engine,
                host=host,
                trees=wanted,
                public_keys=keys,
                pins=pins,
                expected=() if trees else trees_that_must_exist(parts.auditor_engine),
            )
    except (PinInvalid, KeyFileUnusable) as error:
        refuse(str(error), USAGE)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}", USAGE)
    _record(parts, report)
    if as_json:
        output.as_json_text(report.to_json())
    else:
        typer.echo(report.to_text(), nl=False)
    raise typer.Exit(report.exit_code)


def _record(parts: Parts, report: Report) -> None:
    """Record the verification where the application's login is at hand: the auditor's only reads.

    What cannot be recorded is said, and the report is shown all the same.
    """
    if parts.settings.database_url is None:
        return
    from control_plane.adapters.audit.verified import record_verified  # noqa: PLC0415 - heavy

    CONNECTIONS.callback(parts.app_engine.dispose)
    try:
        now = datetime.now(UTC)
        record_verified(parts.app_engine, report, user=getpass.getuser(), now=now)
    except AuditUnavailable:
        sys.stderr.write("note: this verification could not be recorded in the platform's log\n")


def _kept(file: Path) -> str:
    """Return the text of a checkpoint that was kept; anything else ends the command."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        refuse(f"{file} is not a checkpoint: it is not text", USAGE)
