"""Commands on Mode C bundles."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from control_plane.cli import output
from control_plane.cli.calls import BUNDLE, BUNDLES, Most
from control_plane.cli.client import download_link, from_environment, segment
from control_plane.cli.errors import FAILED, REFUSED, USAGE
from control_plane.cli.reading import read_json
from control_plane.cli.refusing import Json, refuse
from control_plane.domain.networks import is_loopback
from control_plane.domain.receipt import sample_receipt

_STACKS: Final = Path(__file__).resolve().parents[2] / "stacks"
# decided by the request, so that no edit may change them
_GIVEN: Final = ("schema_version", "owner", "region")

bundle = typer.Typer(no_args_is_help=True, help="Mode C bundles.")


@bundle.command("list")
def list_bundles(
    status: Annotated[
        str | None, typer.Option(help="Only this status, such as awaiting_architect.")
    ] = None,
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
    fields = (
        *BUNDLE, "playbook=cause.playbook", "step=cause.step", "content_digest", "files",
        "handed_over_at", "expires_at", "error.message", "warnings", "allowed_actions", "inputs",
    )  # fmt: skip
    output.show(found, as_json=as_json, fields=fields)
    if not as_json:
        output.Checks().tell(found["checks"])


@bundle.command("accept")
def accept_bundle(bundle_id: str, as_json: Json = False) -> None:
    """Accept a queued bundle."""
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/accept")
    output.show(found, as_json=as_json, fields=("id", "status", "accepted_by"))


@bundle.command("edit")
def edit_bundle(
    bundle_id: str,
    file: Annotated[Path, typer.Argument(help="JSON of the variables to change; - for stdin.")],
    as_json: Json = False,
) -> None:
    """Change variables; for a built, expired or applied bundle this creates the next version.

    Nested objects are merged field by field; null removes a field.
    """
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
        typer.echo("planning for the review files, then signing and rehearsing …", err=True)
    told = output.Checks()
    while wait and found["status"] == "building":
        time.sleep(0.5)
        found = api.get(f"/v1/bundles/{segment(bundle_id)}")
        if not as_json:
            told.tell(found["checks"])
    output.show(found, as_json=as_json, fields=("id", "status", "rehearsal", "error.message"))
    _warn(found)
    if found["status"] == "build_failed":
        raise typer.Exit(FAILED)


@bundle.command("hand-over")
def hand_over(
    bundle_id: str,
    name: Annotated[str, typer.Option(help="Name of the recipient.")],
    email: Annotated[str, typer.Option(help="E-mail address of the recipient.")],
    revoke_earlier: Annotated[
        bool, typer.Option("--revoke-earlier", help="Revoke the links of earlier recipients.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hand over to a named person; prints the link only once and mails nothing."""
    body = {
        "recipient_name": name,
        "recipient_email": email,
        "revoke_earlier_links": revoke_earlier,
    }
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/hand-over", body)
    fields = ("handover_id", "link_id", "expires_at", "download_url")
    output.show(found, as_json=as_json, fields=fields)
    _warn(found["bundle"])
    if not as_json:
        typer.echo(
            "No mail was sent: give the link to the recipient, and the id of the signing key "
            "(`tenantctl bundle key`) over another channel.",
            err=True,
        )


def _warn(bundle: Mapping[str, Any]) -> None:
    for warning in bundle["warnings"]:
        typer.echo(f"warning: {output.clean(str(warning))}", err=True)


@bundle.command("links")
def list_links(bundle_id: str, as_json: Json = False) -> None:
    """List the download links of a bundle and whom they were made for."""
    found = from_environment().get(f"/v1/bundles/{segment(bundle_id)}/links")
    fields = ("id", "recipient_email", "uses", "expires_at", "revoked_at")
    output.table(found, as_json=as_json, fields=fields, empty="no links")


@bundle.command("revoke-link")
def revoke_link(bundle_id: str, link_id: str, as_json: Json = False) -> None:
    """Revoke a download link before it expires."""
    path = f"/v1/bundles/{segment(bundle_id)}/links/{segment(link_id)}/revoke"
    found = from_environment().post(path)
    output.show(found, as_json=as_json, fields=("id", "recipient_email", "uses", "revoked_at"))


@bundle.command("inputs")
def show_inputs(
    example: Annotated[
        bool, typer.Option("--example", help="Print an example to edit, not the schema.")
    ] = False,
    existing: Annotated[
        bool,
        typer.Option(
            "--existing", help="With --example: use an existing network, keys and boundary."
        ),
    ] = False,
) -> None:
    """Print the schema of the variables, or an example of what an architect edits; works
    offline."""
    if not example:
        typer.echo((_STACKS / "schemas" / "mode_c_variables.schema.json").read_text("utf-8"))
        return
    name = "existing" if existing else "created"
    file = _STACKS / "mode_c_modules" / "examples" / f"{name}.tfvars.json"
    found = json.loads(file.read_text("utf-8"))
    output.as_json_text({key: value for key, value in found.items() if key not in _GIVEN})


@bundle.command("key")
def show_key(as_json: Json = False) -> None:
    """Print the public key that this installation signs bundles with, for publication.

    Runs where the key lies; needs no API.
    """
    from control_plane import config  # noqa: PLC0415 - the commands of the API need none of it
    from control_plane.bootstrap import Parts  # noqa: PLC0415

    public = Parts(config.load()).builder.public_key()
    comment, key = public.splitlines()[:2]
    found = {"key_id": comment.rpartition(" ")[2], "public_key": key}
    output.show(found, as_json=as_json, fields=("key_id", "public_key"))


@bundle.command("download")
def download(
    bundle: Annotated[
        str, typer.Argument(help="Bundle id, or a download link, which needs no token.")
    ],
    folder: Annotated[Path, typer.Argument(help="Folder for the files.")] = Path(),
    as_json: Json = False,
) -> None:
    """Download the archive with its signature, attestation and key, and what lies beside it."""
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
        refuse("the bundle has not been built yet, so it has no files", REFUSED)
    for name in files:
        yield _file_name(name), api.content(f"{path}/archive", file=name).content


def _by_link(link: str) -> Iterator[tuple[str, bytes]]:
    answer = download_link(link)
    given = answer.headers.get("Content-Disposition", "")
    archive = _file_name(given.partition('filename="')[2].rstrip('"'))
    yield archive, answer.content
    named = answer.headers.get("X-Bundle-Files", "").split(", ")
    for name in (_file_name(each) for each in named if each and each != archive):
        yield name, download_link(link, file=name).content


def _file_name(name: str) -> str:
    """Return a name that stays in the folder; any other ends the command."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", name):
        refuse(f"the answer names an invalid file name: {name!r}", FAILED)
    return name


@bundle.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a downloaded bundle.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            help="Minisign public key from a trusted source (default: the one beside the archive)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify signature, checksums, content digest and attestation of a bundle, offline.

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
                "The key came with the bundle: compare its id with one from another channel."
            )
    if not report.is_ok:
        raise typer.Exit(FAILED)


def _receipt(file: Path) -> dict[str, Any]:
    """Return a receipt, also out of the other forms in which Terraform prints outputs.

    ``terraform output -json`` without a name prints all of them, each wrapped in ``value``.
    """
    found: Any = read_json(file)
    while "content_digest" not in found:
        wrapped = found.get("receipt", found.get("value"))
        if not isinstance(wrapped, dict):
            refuse(
                f"{file} is not a receipt: it has no content_digest."
                " Send what `terraform output -json receipt` prints.",
                USAGE,
            )
        found = wrapped
    return dict(found)


@bundle.command("sample-receipt")
def print_sample_receipt(bundle_id: str, as_json: Json = True) -> None:
    """Print what an apply would send back, as JSON with made-up ids; for use on this machine."""
    del as_json  # it is JSON either way
    api = from_environment()
    if not is_loopback(httpx.URL(api.url).host):
        refuse(
            "a sample receipt is for an installation on this machine; elsewhere the customer's "
            "apply makes the receipt",
            USAGE,
        )
    found = api.get(f"/v1/bundles/{segment(bundle_id)}")
    if found["content_digest"] is None:
        refuse(f"{bundle_id} is not built yet: `tenantctl bundle build {bundle_id}`", REFUSED)
    typer.echo(json.dumps(sample_receipt(found["inputs"], found["content_digest"]), indent=2))


@bundle.command("receipt")
def register_receipt(
    bundle_id: str,
    file: Annotated[
        Path, typer.Argument(help="Output of `terraform output -json receipt`; - for stdin.")
    ],
    as_json: Json = False,
) -> None:
    """Register the receipt of the customer's apply."""
    body = {"receipt": _receipt(file)}
    found = from_environment().post(f"/v1/bundles/{segment(bundle_id)}/receipts", body)
    output.show(found, as_json=as_json, fields=("id", "bundle_id", "digest", "registered_at"))
