"""Commands that work on this machine's installation without the API.

What they need of the product is imported when they run: most commands need none of it.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from control_plane import config
from control_plane.adapters.home import Home, Key
from control_plane.adapters.intake.keys import LONGEST, FileProviderKeys
from control_plane.cli import output
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import CONNECTIONS, Json, refuse
from control_plane.config import PREFIX, Installation, ProcessRole
from control_plane.domain.actor import Role
from control_plane.domain.errors import NotFound, SettingInvalid, Unavailable
from control_plane.shown_settings import shown_settings

if TYPE_CHECKING:
    from control_plane.bootstrap import Parts
    from control_plane.workflows.core import Caller

keys = typer.Typer(no_args_is_help=True, help="Keys of an installation.")
stack = typer.Typer(no_args_is_help=True, help="Stacks, for the plain `pulumi` command.")
database = typer.Typer(no_args_is_help=True, help="Database of a production installation.")
LEFT_BY_SERVE = "serve.json"
_ADMIN = "PGADMIN_URL"
# SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_NO_RIGHT = "42501"  # insufficient_privilege
# undefined table, column and function, and a schema that is not there
_NO_TABLES = frozenset({"42P01", "42703", "42883", "3F000"})
_WAITED = frozenset({"55P03", "57014"})  # lock_not_available, query_canceled (timeout)


@contextmanager
def database_faults(setting: str = f"{PREFIX}DATABASE_…") -> Iterator[None]:
    """Turn a driver's stack trace into a sentence when there is no database.

    ``setting`` is the variable with the URL. Raises ``Unavailable`` or ``SettingInvalid``.
    """
    import psycopg  # noqa: PLC0415 - the commands of the API need no driver
    import sqlalchemy.exc  # noqa: PLC0415

    try:
        yield
    except sqlalchemy.exc.ArgumentError:
        raise _not_a_url(setting) from None
    except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
        cause = getattr(error, "orig", None) or error
        state = getattr(cause, "sqlstate", None) or ""
        if state == _NO_RIGHT:
            raise SettingInvalid(
                f"the role in the URL of {setting} does not have the rights that this needs; is it "
                "the URL of another role?",
                name=setting,
            ) from None
        if state in _NO_TABLES:
            raise Unavailable(
                "the database does not have the tables of this release: run `tenantctl database "
                "upgrade`"
            ) from None
        if state in _WAITED:
            raise Unavailable("the database did not finish in time: try again") from None
        if isinstance(cause, psycopg.OperationalError):
            reason = (str(cause).splitlines() or ["no reason given"])[0][:200]
            what = "refuses" if state else "is unreachable"  # a state is the server's own word
            raise Unavailable(f"the database {what}: {reason}") from None
        if isinstance(cause, psycopg.ProgrammingError) and not state:
            raise _not_a_url(setting) from None
        raise


def _not_a_url(setting: str) -> SettingInvalid:
    """Return what is said of a URL that cannot be read: the driver's words would repeat it."""
    return SettingInvalid(f"a URL in {setting} does not start with postgresql://", name=setting)


def parts_of_this_installation() -> Parts:
    """Return the parts as settings say, or as a running `serve` has left where its database is."""
    settings = config.load()
    from control_plane.bootstrap import Parts  # noqa: PLC0415 - heavy

    if settings.database_url is not None or settings.database_auditor_url is not None:
        return Parts(settings)
    file = settings.home / LEFT_BY_SERVE
    try:
        left = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        raise Unavailable(
            f"no installation is running in {settings.home}; start `tenantctl serve`, or set "
            f"{PREFIX}HOME or {PREFIX}DATABASE_AUDITOR_URL"
        ) from None
    return Parts(config.load({name.removeprefix(PREFIX).lower(): left[name] for name in left}))


def tree_of(parts: Parts, key: str) -> str:
    """Return the audit log's name of a tenant id, a slug, or ``platform``. Raises ``NotFound``.

    A slug is looked up in the database where the application's role is at hand, else by the API.
    """
    if key == "platform" or re.fullmatch(r"ten_[0-9A-Z]{26}", key):
        return key
    if parts.settings.database_url is None:
        if not os.environ.get(f"{PREFIX}TOKEN"):
            refuse(
                f"{key} is not a tenant id; to look up a slug, set {PREFIX}URL and {PREFIX}TOKEN",
                USAGE,
            )
        from control_plane.cli.client import from_environment, segment  # noqa: PLC0415 - heavy

        return str(from_environment().get(f"/v1/tenants/{segment(key)}")["id"])
    from sqlalchemy import select  # noqa: PLC0415 - as above

    from control_plane.adapters.db.tables import tenant  # noqa: PLC0415

    CONNECTIONS.callback(parts.app_engine.dispose)
    with database_faults(), parts.app_engine.connect() as connection:
        found = connection.execute(select(tenant.c.id).where(tenant.c.slug == key)).scalar()
    if found is None:
        raise NotFound(f"no tenant has the slug {key}")
    return str(found)


def token(
    role: Annotated[list[str], typer.Option(help=f"May be repeated: {', '.join(Role)}.")],
    subject: Annotated[str, typer.Option(help="Subject of the token.")] = "operator",
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="Tenant id that it covers; may be repeated (default: all)."),
    ] = None,
    minutes: Annotated[int, typer.Option(min=1, max=720, help="Lifetime in minutes.")] = 60,
    on_behalf_of: Annotated[
        str | None, typer.Option(help="Person for whom a machine acts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print an access token of the embedded issuer; refused in production."""
    unknown = [name for name in role if name not in set(Role)]
    if unknown:
        refuse(f"{unknown[0]} is not a role; roles are {', '.join(Role)}", USAGE)
    settings = config.load()
    from control_plane.adapters.identity.embedded import (  # noqa: PLC0415 - as above
        open_embedded_issuer,
    )

    # without the composition root, which takes a second to import: scripts make a token a command
    issuer = open_embedded_issuer(
        Home(settings.home.absolute()).key(Key.ISSUER),
        audience=settings.audience,
        is_used=settings.installation is Installation.EMBEDDED and settings.issuer is None,
    )
    if not (settings.home / LEFT_BY_SERVE).exists():
        sys.stderr.write(
            f"note: no installation is running in {settings.home}; a token is valid only for the "
            f"one with the same {PREFIX}HOME\n"
        )
    roles = [Role(name) for name in role]
    made = issuer.mint(
        subject,
        roles=roles,
        tenants=tuple(tenant or ("*",)),
        minutes=minutes,
        machine=Role.AUTOMATION in roles,
        on_behalf_of=on_behalf_of,
    )
    if as_json:
        output.as_json_text({"token": made, "minutes": minutes})
    else:
        typer.echo(made)


def settings(
    role: Annotated[
        ProcessRole | None, typer.Option(help="Only settings that a process of this role reads.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every setting with its variable, current value and meaning; secrets are masked.

    With --role, also report what it lacks or must not have (exit 2).
    """
    present = config.load()
    found = shown_settings(present, () if role is None else config.used_by(role))
    if as_json:
        names = ("variable", "value", "meaning")
        output.as_json_text([dict(zip(names, item, strict=True)) for item in found])
    for variable, value, meaning in () if as_json else found:
        typer.echo(f"{variable}={value or ''}\n    {meaning}")
    if role is not None:
        config.check_role(present, role)


@keys.command("create")
def create_keys(
    only: Annotated[
        list[Key] | None, typer.Option(help="Only this key; may be repeated (default: all).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the keys of an installation in TENANTPLANE_HOME; existing ones are kept.

    In production each process has a home with its own keys alone, named with --only: `audit` for
    the signer, `master` and `bundle` for workers, `page` and `onboarding` for the API. Workers get
    a copy of `onboarding`: both make the same one-time links with it.
    """
    present = config.load()
    is_production = present.installation is Installation.PRODUCTION
    if is_production and only and Key.ISSUER in only:
        raise SettingInvalid("production has no issuer key: tokens come from the identity provider")
    if is_production and not only:
        raise SettingInvalid(
            "in production each process has its own keys: use --only audit for the signer, --only "
            "master --only bundle for a worker, --only page --only onboarding for the API"
        )
    home = Home(present.home.absolute())
    wanted = only or list(Key)
    made = home.create_keys(wanted)
    if as_json:
        output.as_json_text({str(key): "made" if key in made else "kept" for key in wanted})
        return
    for key in wanted:
        typer.echo(f"{key:<7} {'made' if key in made else 'kept'}  {home.key(key)}")


@keys.command("intake")
def install_provider_key(
    name: Annotated[str, typer.Argument(help="The name that rules/intake.yaml has for it.")],
    as_json: Json = False,
) -> None:
    """Install a key that a provider signs deliveries with; it is read from standard input.

    A key is never replaced: a new one gets a name of its own, and both are active until the file
    of the old one is removed. Only the API needs them.
    """
    home = Home(config.load().home.absolute())
    home.require()
    folder = home.part("keys") / "intake"
    FileProviderKeys(folder).install(name, sys.stdin.buffer.read(LONGEST + 1))
    if as_json:
        output.as_json_text({name: "installed"})
        return
    typer.echo(f"{name} installed: {folder / f'{name}.key'}")


@keys.command("system")
def install_credential(
    name: Annotated[str, typer.Argument(help="The name that rules/systems.yaml has for it.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the one that is installed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Install a credential for a system outside; it is read from standard input.

    Only workers need it, and they read it when they use it.
    """
    from control_plane.adapters.systems.credentials import LONGEST as MOST  # noqa: PLC0415 - as above
    from control_plane.adapters.systems.credentials import FileCredentials  # noqa: PLC0415

    home = Home(config.load().home.absolute())
    home.require()
    installed = FileCredentials(home.part("keys") / "systems")
    installed.install(name, sys.stdin.buffer.read(MOST + 1), replaces=replace)
    if as_json:
        output.as_json_text({name: "installed"})
        return
    typer.echo(f"{name} installed: {installed.file(name)}")


@stack.command("open", context_settings={"ignore_unknown_options": True})
def open_stack(
    deployment: Annotated[str, typer.Argument(help="Deployment id or stack name.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="What to run, after `--`; a shell if it is left out.")
    ] = None,
) -> None:
    """Serve the state of a stack to the plain `pulumi` command, for reading; the log records it.

    Run it where a worker runs, with its settings: it needs the master secret and the database. The
    state is served on loopback as long as the command runs, and only to that.
    """
    parts = parts_of_this_installation()
    from control_plane.adapters.pulumi.reader import served  # noqa: PLC0415 - as above
    from control_plane.bootstrap import SOURCE  # noqa: PLC0415 - as above
    from control_plane.services.operating_stacks import open_stack as opening  # noqa: PLC0415
    from control_plane.services.performing import perform  # noqa: PLC0415 - as above

    parts.home.require(is_written=False)
    CONNECTIONS.callback(parts.app_engine.dispose)
    with database_faults():
        found, salt = perform(parts.core, _operator(), opening, deployment)
    order = parts.engine.order_to_read(found.id, found.stack, salt)
    with served(order, source=SOURCE, environment=_of_runners(parts)) as added:
        program = parts.engine.command().parent
        added["PATH"] = f"{program}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        asked = command or [os.environ.get("SHELL", "/bin/sh")]
        try:
            code = subprocess.run(asked, env={**os.environ, **added}, check=False).returncode
        except OSError as error:
            refuse(f"{asked[0]} could not be run: {error.strerror}", USAGE)
    raise typer.Exit(code)


@stack.command("convert")
def convert_stacks(as_json: Json = False) -> None:
    """Take over the states of all stacks that an earlier release wrote, after an upgrade.

    Run it where a worker runs, with its settings, while no worker runs. A stack that has a state of
    this release is left alone; the old states are not changed.
    """
    parts = parts_of_this_installation()
    from control_plane.adapters.pulumi.converting import converted  # noqa: PLC0415 - as above
    from control_plane.bootstrap import SOURCE  # noqa: PLC0415 - as above
    from control_plane.services.operating_stacks import all_stacks, record_conversion  # noqa: PLC0415
    from control_plane.services.performing import perform  # noqa: PLC0415 - as above

    parts.home.require(is_written=False)
    CONNECTIONS.callback(parts.app_engine.dispose)
    caller = _operator()
    with database_faults():
        stacks = perform(parts.core, caller, all_stacks)
    found: dict[str, int | None] = {}
    for each, salt in stacks:
        order = parts.engine.order_to_read(each.id, each.stack, salt)
        found[each.stack] = count = converted(
            order, cli=parts.engine.command(), source=SOURCE, environment=_of_runners(parts)
        )
        if count is not None:
            perform(parts.core, caller, record_conversion, each.id, count)
        if not as_json:
            what = "left as it is" if count is None else f"taken over, {count} resources"
            typer.echo(f"{each.stack:<40} {what}")
    if as_json:
        output.as_json_text({"stacks": found})


def _operator() -> Caller:
    from control_plane.domain.actor import Actor, ActorKind  # noqa: PLC0415 - as above
    from control_plane.workflows.core import Caller  # noqa: PLC0415 - as above

    who = Actor(id=f"local:{getpass.getuser()}", kind=ActorKind.USER, tenants=("*",))
    return Caller(actor=who)


def _of_runners(parts: Parts) -> dict[str, str]:
    from control_plane.adapters.pulumi.runner_process import runner_environment  # noqa: PLC0415

    return runner_environment(sandbox=parts.settings.cloud != "aws")


@database.command("roles")
def make_roles() -> None:
    """Create the database and its four roles, as an administrator of the server (PGADMIN_URL)."""
    admin_url = os.environ.get(_ADMIN)
    if not admin_url:
        raise SettingInvalid(
            f"{_ADMIN} is not set: the URL of an administrator of the server, whose password does "
            "not belong on a command line",
            name=_ADMIN,
        )
    from control_plane.adapters.db.roles import DATABASE, ROLES, bootstrap  # noqa: PLC0415 - heavy
    from control_plane.adapters.db.transport import is_open_on_the_network  # noqa: PLC0415

    is_production = config.load().installation is Installation.PRODUCTION
    if is_production and is_open_on_the_network(admin_url):
        raise SettingInvalid(
            f"in production {_ADMIN} must ask for TLS: add ?sslmode=verify-full (or verify-ca, or "
            "require) to the URL",
            name=_ADMIN,
        )
    with database_faults(_ADMIN):
        bootstrap(admin_url)
    typer.echo(f"database {DATABASE}, roles {', '.join(ROLES)}: set their passwords")


@database.command("upgrade")
def upgrade() -> None:
    """Run missing migrations, as the owner (TENANTPLANE_DATABASE_OWNER_URL)."""
    url = config.load(role=ProcessRole.MIGRATE).database_owner_url
    from control_plane.bootstrap import prepare_database  # noqa: PLC0415 - heavy

    with database_faults():
        prepare_database(url.get_secret_value() if url else "")
    typer.echo("the database is up to date")
