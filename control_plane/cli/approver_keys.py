"""Commands about the keys that approvers sign with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import REFUSED
from control_plane.cli.refusing import Json, refuse
from control_plane.cli.signing import signed_key_statement, signer_of
from control_plane.domain.approver_key import confirming, enrolling
from control_plane.domain.signed_decision import NAMESPACE

KEYS: Final = ("id", "actor=actor_id", "status", "fingerprint", "enrolled_at", "confirmed_by")
KEY: Final = (
    "id", "actor=actor_id", "status", "kind", "fingerprint", "public_key", "enrolled_at",
    "confirmed_by", "confirmed_at", "with=confirmation.by_key", "revoked_by", "revoked_at",
    "why=revoke_reason",
)  # fmt: skip
Most = Annotated[int, typer.Option("--limit", min=1, max=5000, help="Maximum number of items.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
OwnKey = Annotated[
    Path,
    typer.Option(
        "--key", envvar="TENANTPLANE_APPROVER_KEY",
        help="Your own SSH key, such as ~/.ssh/id_ed25519.pub.",
    ),
]  # fmt: skip

approver = typer.Typer(no_args_is_help=True, help="Keys that approvers sign with.")
key = typer.Typer(no_args_is_help=True, help="Keys: enroll, confirm, revoke, list, export.")
approver.add_typer(key, name="key")


@key.command("enroll")
def enroll(own: OwnKey, as_json: Json = False) -> None:
    """Enroll your own key; a second person confirms it before it counts."""
    api, signer = from_environment(), signer_of(own.expanduser())
    terms = api.get("/v1/approver-keys/terms")
    facts = enrolling(terms["host"], terms["actor"], signer.public_key, signer.fingerprint)
    body = {"public_key": signer.public_key, **signed_key_statement(signer, facts)}
    found = api.post("/v1/approver-keys", body)
    output.show(found, as_json=as_json, fields=KEY)
    if not as_json:
        output.say("a second person compares the fingerprint with you, then types:")
        typer.echo(f"tenantctl approver key confirm {found['id']} --fingerprint "
                   f"{found['fingerprint']} --key FILE.pub")  # fmt: skip


@key.command("confirm")
def confirm(
    key_id: str,
    fingerprint: Annotated[
        str, typer.Option(help="Fingerprint, from the owner of the key in person.")
    ],
    own: OwnKey,
    as_json: Json = False,
) -> None:
    """Confirm whose a key is, signed with your own key."""
    api, signer = from_environment(), signer_of(own.expanduser())
    found = api.get(f"/v1/approver-keys/{segment(key_id)}")
    if found["fingerprint"] != fingerprint:
        refuse(f"the key has the fingerprint {found['fingerprint']}; it was not confirmed", REFUSED)
    terms = api.get("/v1/approver-keys/terms")
    facts = confirming(terms["host"], found, terms["actor"], signer.fingerprint)
    body = {"by_key": signer.fingerprint, **signed_key_statement(signer, facts)}
    done = api.post(f"/v1/approver-keys/{segment(found['id'])}/confirmation", body)
    output.show(done, as_json=as_json, fields=KEY)


@key.command("revoke")
def revoke(key_id: str, reason: Reason, as_json: Json = False) -> None:
    """Revoke a key immediately and for good: your own, or one that you confirmed."""
    path = f"/v1/approver-keys/{segment(key_id)}/revocation"
    output.show(from_environment().post(path, {"reason": reason}), as_json=as_json, fields=KEY)


@key.command("list")
def list_keys(
    actor: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    limit: Most = 50,
    as_json: Json = False,
) -> None:
    """List keys of approvers, newest first; revoked ones too."""
    found = from_environment().pages("/v1/approver-keys", most=limit, actor=actor)
    output.table(found, as_json=as_json, fields=KEYS, empty="no keys")


@key.command("show")
def show(key_id: str, as_json: Json = False) -> None:
    """Show a key: whose it is, and who confirmed it."""
    found = from_environment().get(f"/v1/approver-keys/{segment(key_id)}")
    output.show(found, as_json=as_json, fields=KEY)


@key.command("export")
def export(limit: Most = 5000, as_json: Json = False) -> None:
    """Print all keys that were confirmed, as `ssh-keygen -Y verify` and workers read them."""
    found = from_environment().pages("/v1/approver-keys", most=limit)
    lines = [_line(each) for each in reversed(found) if each["confirmed_at"] is not None]
    if as_json:
        output.show({"lines": lines}, as_json=True, fields=())
        return
    for line in lines:
        typer.echo(line)


def _line(found: dict[str, Any]) -> str:
    options = [f'namespaces="{NAMESPACE}"', f'valid-after="{_time(found["confirmed_at"])}"']
    if found["revoked_at"] is not None:
        options.append(f'valid-before="{_time(found["revoked_at"])}"')
    return f"{found['actor_id']} {','.join(options)} {found['public_key']}"


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y%m%d%H%M%S}Z"
