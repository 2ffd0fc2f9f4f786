"""Commands on the pool of AWS accounts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.calls import Most
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse

account = typer.Typer(no_args_is_help=True, help="The pool of AWS accounts.")
ACCOUNT: Final = (
    "account_id", "status", "role_arn", "has_external_id", "shared", "claimed_by", "served",
    "retired_at",
)  # fmt: skip
Number = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The 12 digits of the account.")]
RoleArn = Annotated[
    str | None, typer.Option(help="Role that the worker assumes (default: its own credentials).")
]
ExternalId = Annotated[
    Path | None,
    typer.Option("--external-id-file", help="File with the role's external ID; - for stdin."),
]
Key = Annotated[str | None, typer.Option(help="Idempotency key (default: a new one).")]


@account.command("add")
def add(
    number: Number,
    role_arn: RoleArn = None,
    external_id: ExternalId = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Let many deployments share it.")
    ] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Add an account to the pool; runs that wait for one continue automatically."""
    body = {
        "account_id": number,
        "role_arn": role_arn,
        "external_id": _secret(external_id),
        "shared": shared,
    }
    found = from_environment().post("/v1/accounts", body, key=key)
    output.show(found, as_json=as_json, fields=ACCOUNT)


@account.command("list")
def list_accounts(limit: Most = 50, as_json: Json = False) -> None:
    """List the accounts of the pool, newest first."""
    found = from_environment().pages("/v1/accounts", most=limit)
    output.table(found, as_json=as_json, fields=ACCOUNT, empty="no accounts")


@account.command("show")
def show(number: Number, as_json: Json = False) -> None:
    """Show an account of the pool."""
    found = from_environment().get(f"/v1/accounts/{segment(number)}")
    output.show(found, as_json=as_json, fields=ACCOUNT)


@account.command("update")
def update(
    number: Number,
    role_arn: RoleArn = None,
    external_id: ExternalId = None,
    shared: Annotated[
        bool | None,
        typer.Option("--shared/--own", help="Shared by many deployments, or owned by one."),
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Change the role, the external id or the sharing of an account; the rest stays as it is."""
    given: dict[str, Any] = {
        "role_arn": role_arn,
        "external_id": _secret(external_id),
        "shared": shared,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        refuse("nothing to change: give --role-arn, --external-id-file, --shared or --own", USAGE)
    found = from_environment().change("PATCH", f"/v1/accounts/{segment(number)}", changes, key=key)
    output.show(found, as_json=as_json, fields=ACCOUNT)


@account.command("remove")
def remove(number: Number, key: Key = None, as_json: Json = False) -> None:
    """Remove an account from the pool; refused while a deployment uses it."""
    found = from_environment().change("DELETE", f"/v1/accounts/{segment(number)}", key=key)
    output.show(found, as_json=as_json, fields=ACCOUNT)


def _secret(file: Path | None) -> str | None:
    """Return the content of a file: what identifies us to a customer is never an argument."""
    if file is None:
        return None
    return (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip()
