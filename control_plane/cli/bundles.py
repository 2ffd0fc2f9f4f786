"""Commands on Mode C bundles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli import output
from control_plane.cli.calls import BUNDLE, Json, Most, read_json
from control_plane.cli.client import from_environment
from control_plane.cli.errors import FAILED

bundle = typer.Typer(no_args_is_help=True, help="Mode C bundles.")


@bundle.command("list")
def list_bundles(
    status: Annotated[str | None, typer.Option(help="Such as awaiting_architect.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List bundles, newest first."""
    found = from_environment().pages("/v1/bundles", most=limit, status=status)
    output.table(found, as_json=as_json, fields=BUNDLE, empty="no bundles")


@bundle.command("show")
def show_bundle(bundle_id: str, as_json: Json = False) -> None:
    """Show a bundle with its inputs and checks."""
    found = from_environment().get(f"/v1/bundles/{bundle_id}")
    fields = (*BUNDLE, "content_digest", "files", "error.message", "allowed_actions", "inputs")
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
        checks = found["checks"]
        output.table(checks, as_json=False, fields=("name", "ok", "seconds", "detail"), empty="")


@bundle.command("accept")
def accept_bundle(bundle_id: str, as_json: Json = False) -> None:
    """Take a queued bundle."""
    found = from_environment().post(f"/v1/bundles/{bundle_id}/accept")
    output.show(found, as_json=as_json, fields=("id", "status", "accepted_by"))


@bundle.command("edit")
def edit_bundle(
    bundle_id: str,
    file: Annotated[Path, typer.Argument(help="JSON of the variables that change, - for stdin.")],
    as_json: Json = False,
) -> None:
    """Replace variables; of a built bundle that makes the next version."""
    found = from_environment().patch(f"/v1/bundles/{bundle_id}", {"inputs": read_json(file)})
    output.show(found, as_json=as_json, fields=("id", "number", "status", "inputs"))


@bundle.command("build")
def build_bundle(
    bundle_id: str,
    wait: Annotated[bool, typer.Option(help="Wait until it is built.")] = True,
    as_json: Json = False,
) -> None:
    """Build, sign and rehearse."""
    api = from_environment()
    found = api.post(f"/v1/bundles/{bundle_id}/build")
    while wait and found["status"] == "building":
        time.sleep(0.5)
        found = api.get(f"/v1/bundles/{bundle_id}")
    output.show(found, as_json=as_json, fields=("id", "status", "rehearsal", "error.message"))
    if not as_json:
        checks = found["checks"]
        output.table(checks, as_json=False, fields=("name", "ok", "seconds", "detail"), empty="")
    if found["status"] == "build_failed":
        raise typer.Exit(FAILED)


@bundle.command("hand-over")
def hand_over(
    bundle_id: str,
    name: Annotated[str, typer.Option(help="Who receives it.")],
    email: Annotated[str, typer.Option(help="Their address.")],
    as_json: Json = False,
) -> None:
    """Hand over to a named person; prints the link this once."""
    body = {"recipient_name": name, "recipient_email": email}
    found = from_environment().post(f"/v1/bundles/{bundle_id}/hand-over", body)
    output.show(found, as_json=as_json, fields=("handover_id", "expires_at", "download_url"))


@bundle.command("download")
def download(
    bundle_id: str,
    folder: Annotated[Path, typer.Argument(help="Where to put the files.")] = Path(),
) -> None:
    """Download the archive and everything beside it."""
    api = from_environment()
    for name in api.get(f"/v1/bundles/{bundle_id}")["files"]:
        content = api.content(f"/v1/bundles/{bundle_id}/archive", file=name).content
        (folder / Path(name).name).write_bytes(content)
        typer.echo(f"{folder / Path(name).name}  {len(content)} bytes")


@bundle.command("receipt")
def register_receipt(
    bundle_id: str,
    file: Annotated[Path, typer.Argument(help="`terraform output -json receipt`, - for stdin.")],
    as_json: Json = False,
) -> None:
    """Register what the customer's apply sent back."""
    body = {"receipt": read_json(file)}
    found = from_environment().post(f"/v1/bundles/{bundle_id}/receipts", body)
    output.show(found, as_json=as_json, fields=("id", "bundle_id", "digest", "registered_at"))
