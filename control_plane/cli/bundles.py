"""Commands on Mode C bundles."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli import output
from control_plane.cli.calls import BUNDLE, BUNDLES, Json, Most, read_json
from control_plane.cli.client import download_link, from_environment, refuse, segment
from control_plane.cli.errors import FAILED, REFUSED, USAGE

bundle = typer.Typer(no_args_is_help=True, help="Mode C bundles.")


@bundle.command("list")
def list_bundles(
    status: Annotated[str | None, typer.Option(help="Such as awaiting_architect.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List bundles, newest first."""
    found = from_environment().pages("/v1/bundles", most=limit, status=status)
    output.table(found, as_json=as_json, fields=BUNDLES, empty="no bundles")


@bundle.command("show")
def show_bundle(bundle_id: str, as_json: Json = False) -> None:
    """Show a bundle with its inputs and checks."""
    found = from_environment().get(f"/v1/bundles/{segment(bundle_id)}")
    fields = (*BUNDLE, "content_digest", "files", "error.message", "allowed_actions", "inputs")
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
        checks = found["checks"]
        output.table(checks, as_json=False, fields=("name", "ok", "seconds", "detail"), empty="")


@bundle.command("accept")
def accept_bundle(bundle_id: str, as_json: Json = False) -> None:
    """Take a queued bundle."""
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/accept")
    output.show(found, as_json=as_json, fields=("id", "status", "accepted_by"))


@bundle.command("edit")
def edit_bundle(
    bundle_id: str,
    file: Annotated[Path, typer.Argument(help="JSON of the variables that change, - for stdin.")],
    as_json: Json = False,
) -> None:
    """Replace variables; of a built or expired bundle that makes the next version."""
    found = from_environment().patch(
        f"/v1/bundles/{segment(bundle_id)}", {"inputs": read_json(file)}
    )
    output.show(
        found, as_json=as_json, fields=("id", "tenant=inputs.owner.tenant", "number", "status")
    )


@bundle.command("build")
def build_bundle(
    bundle_id: str,
    wait: Annotated[bool, typer.Option(help="Wait until it is built.")] = True,
    as_json: Json = False,
) -> None:
    """Build, sign and rehearse."""
    api = from_environment()
    found = api.post(f"/v1/bundles/{segment(bundle_id)}/build")
    if wait and not as_json:
        typer.echo("planning what the review files show, then signing and rehearsing …", err=True)
    told = output.Checks()
    while wait and found["status"] == "building":
        time.sleep(0.5)
        found = api.get(f"/v1/bundles/{segment(bundle_id)}")
        if not as_json:
            told.tell(found["checks"])
    output.show(found, as_json=as_json, fields=("id", "status", "rehearsal", "error.message"))
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
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/hand-over", body)
    output.show(found, as_json=as_json, fields=("handover_id", "expires_at", "download_url"))


@bundle.command("download")
def download(
    bundle: Annotated[
        str, typer.Argument(help="Bundle id, or the link of a hand-over: that needs no token.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where to put the files.")] = Path(),
    as_json: Json = False,
) -> None:
    """Download the archive and everything beside it."""
    by_link = bundle.startswith(("http://", "https://"))
    found = _by_link(bundle) if by_link else _by_id(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for name, content in found:
        file = folder / name
        file.write_bytes(content)
        saved.append({"file": str(file), "bytes": len(content)})
        if not as_json:
            typer.echo(f"{file}  {len(content)} bytes")
    if as_json:
        output.as_json_text(saved)


def _by_id(bundle_id: str) -> Iterator[tuple[str, bytes]]:
    api = from_environment()
    path = f"/v1/bundles/{segment(bundle_id)}"
    files = api.get(path)["files"]
    if not files:
        refuse("the bundle is not built yet, so it has no files", REFUSED)
    for name in files:
        yield _file_name(name), api.content(f"{path}/archive", file=name).content


def _by_link(link: str) -> Iterator[tuple[str, bytes]]:
    answer = download_link(link)
    given = answer.headers.get("Content-Disposition", "")
    archive = _file_name(given.partition('filename="')[2].rstrip('"'))
    yield archive, answer.content
    for name in (f"{archive}.minisig", f"{archive}.attestation.json", "tenantplane-bundle.pub"):
        yield name, download_link(link, file=name).content


def _file_name(name: str) -> str:
    """Return a name that stays in the folder; another one ends the command."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", name):
        refuse(f"the answer names a file {name!r}, which is no file name", FAILED)
    return name


@bundle.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a downloaded bundle.")],
    public_key: Annotated[
        Path | None,
        typer.Option(help="Minisign public key from elsewhere; else the one beside the archive."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify signature, checksums and attestation of a downloaded bundle, offline.

    Needs no token, no API and no Terraform. Exit 1 when a check fails.
    """
    from control_plane.cli.verifying import BundleUnreadable, verify_folder  # noqa: PLC0415 - heavy

    try:
        report = verify_folder(folder, public_key)
    except BundleUnreadable as error:
        refuse(str(error), USAGE)
    if as_json:
        output.as_json_text(report.to_json())
    else:
        for check in report.checks:
            output.say(f"{'ok  ' if check.ok else 'FAIL'} {check.name:<12} {check.detail}")
        typer.echo(f"key  {report.key_id}, from {report.key_from}")
        if public_key is None:
            typer.echo(
                "The key came with the bundle: compare its id with one that you got another way."
            )
    if not report.is_ok:
        raise typer.Exit(FAILED)


@bundle.command("receipt")
def register_receipt(
    bundle_id: str,
    file: Annotated[Path, typer.Argument(help="`terraform output -json receipt`, - for stdin.")],
    as_json: Json = False,
) -> None:
    """Register what the customer's apply sent back."""
    body = {"receipt": read_json(file)}
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/receipts", body)
    output.show(found, as_json=as_json, fields=("id", "bundle_id", "digest", "registered_at"))
