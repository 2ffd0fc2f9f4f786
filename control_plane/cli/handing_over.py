"""Commands on data that is handed over to an account of the customer (Mode C)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json
from control_plane.cli.removals import show_steps

REPORT: Final = ("id", "saga_id", "manifest_digest", "digest", "registered_at")
MANIFEST: Final = ("name", "number", "digest")
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]


def download_manifest(
    key: str,
    file: Annotated[
        Path | None, typer.Option("--file", help="Where to write it (default: its own name).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Download the newest manifest with its signature and runbook, for the customer.

    It lists what is handed over, with sizes and digests. The signature is written beside it, and
    the runbook as HANDOVER.md.
    """
    found = from_environment().get(f"/v1/tenants/{segment(key)}/mode/manifest")
    if as_json:
        output.as_json_text(found)
        return
    target = file or Path(found["name"])
    files = {
        target: found["file"],
        target.with_name(f"{target.name}.minisig"): found["signature"],
        target.with_name("HANDOVER.md"): found["guide"],
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    output.show(found, as_json=False, fields=MANIFEST)
    output.say(f"  written to {', '.join(map(str, files))}")


def say_first_copy(key: str, reason: Reason, as_json: Json = False) -> None:
    """Say that the first copy has arrived: the application only reads from then on."""
    path = f"/v1/tenants/{segment(key)}/mode/first-copy"
    show_steps(from_environment().post(path, {"reason": reason}), as_json)


def record_dump(
    key: str,
    digest: Annotated[str, typer.Option("--digest", help="Digest of the dump, sha256:….")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Record the digest of the database's dump, made while writes are stopped."""
    body = {"dump_digest": digest, "reason": reason}
    path = f"/v1/tenants/{segment(key)}/mode/database-dump"
    show_steps(from_environment().post(path, body), as_json)


def register_report(
    key: str,
    file: Annotated[
        Path, typer.Argument(help="What `python3 -m handover report` wrote; - for stdin.")
    ],
    as_json: Json = False,
) -> None:
    """Register the customer's import report; it has to equal the newest manifest."""
    path = f"/v1/tenants/{segment(key)}/mode/import-report"
    found = from_environment().post(path, {"report": read_json(file)})
    output.show(found, as_json=as_json, fields=REPORT)
