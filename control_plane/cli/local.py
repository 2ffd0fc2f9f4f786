"""Commands that work on this machine's installation without the API."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from control_plane.bootstrap import Parts, prepare_database, read_settings
from control_plane.cli.errors import USAGE
from control_plane.config import PREFIX, Settings
from control_plane.domain.actor import Role
from control_plane.domain.errors import SettingInvalid, Unavailable

database = typer.Typer(no_args_is_help=True, help="Database of a production installation.")


def parts_of_this_installation() -> Parts:
    """Return the parts as settings say, or as a running `serve` has left where its database is."""
    settings = read_settings()
    if settings.database_url is not None or settings.database_auditor_url is not None:
        return Parts(settings)
    file = settings.home / "serve.json"
    if not file.exists():
        raise Unavailable(
            f"there is no running installation in {settings.home.name}; start `tenantctl serve`, "
            f"or set {PREFIX}HOME or {PREFIX}DATABASE_AUDITOR_URL"
        )
    left = json.loads(file.read_text(encoding="utf-8"))["settings"]
    known = {name.removeprefix(PREFIX).lower(): value for name, value in left.items()}
    return Parts(read_settings(**known))


def token(
    role: Annotated[list[str], typer.Option(help="Role; may be repeated.")],
    subject: Annotated[str, typer.Option(help="Who the token is for.")] = "operator",
    tenant: Annotated[
        list[str] | None, typer.Option(help="Tenant id seen; may be repeated; none: all.")
    ] = None,
    minutes: Annotated[int, typer.Option(help="Life, at most 720.")] = 60,
    on_behalf_of: Annotated[
        str | None, typer.Option(help="Person for whom a machine asks.")
    ] = None,
) -> None:
    """Print an access token of the embedded issuer; refused in production."""
    unknown = [name for name in role if name not in set(Role)]
    if unknown:
        sys.stderr.write(f"{unknown[0]} is no role; roles are {', '.join(Role)}\n")
        raise typer.Exit(USAGE)
    parts = Parts(read_settings())
    roles = [Role(name) for name in role]
    typer.echo(
        parts.embedded_issuer.mint(
            subject,
            roles=roles,
            tenants=tuple(tenant or ("*",)),
            minutes=minutes,
            machine=Role.AUTOMATION in roles,
            on_behalf_of=on_behalf_of,
        )
    )


def settings() -> None:
    """List every setting with its variable, present value and meaning; secrets are hidden."""
    present = read_settings()
    for name, field in Settings.model_fields.items():
        value = getattr(present, name)
        typer.echo(f"{PREFIX}{name.upper()}={'' if value is None else value}")
        typer.echo(f"    {field.description}")


@database.command("roles")
def make_roles(
    admin_url: Annotated[str, typer.Option(envvar="PGADMIN_URL", help="URL of an administrator.")],
) -> None:
    """Create the database and its four roles, as an administrator of the server."""
    from control_plane.adapters.db.roles import DATABASE, ROLES, bootstrap  # noqa: PLC0415 - heavy

    bootstrap(admin_url)
    typer.echo(f"database {DATABASE}, roles {', '.join(ROLES)}: give them passwords")


@database.command("upgrade")
def upgrade() -> None:
    """Run missing migrations, as the owner (TENANTPLANE_DATABASE_OWNER_URL)."""
    url = read_settings().database_owner_url
    if url is None:
        raise SettingInvalid(f"{PREFIX}DATABASE_OWNER_URL is not set")
    prepare_database(url.get_secret_value())
    typer.echo("the database is up to date")
