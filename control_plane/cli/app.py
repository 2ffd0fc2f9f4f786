"""The commands of ``tenantctl``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane import config
from control_plane.adapters.loopback import keep_loopback_direct
from control_plane.cli import calls, local, output
from control_plane.cli.accounts import account
from control_plane.cli.audit import audit
from control_plane.cli.bundles import bundle
from control_plane.cli.client import CONNECTIONS, forget_json, say_error
from control_plane.cli.errors import FAILED, exit_code
from control_plane.config import ProcessRole
from control_plane.domain.errors import DomainError, SettingInvalid, Unavailable

app = typer.Typer(
    name="tenantctl",
    help="Tenant provisioning control plane: requests, runs, approvals, bundles, audit logs.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found or not allowed, "
    "5 unavailable, 10 to 12 what `audit verify` found, 130 Ctrl-C. "
    "Commands of the API read TENANTPLANE_URL and TENANTPLANE_TOKEN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PROCESSES = "Processes"
_MACHINE = "This machine"

for name, group in {
    "request": calls.request, "tenant": calls.tenant, "hub": calls.hub,
    "account": account, "run": calls.run,
    "approval": calls.approval, "bundle": bundle, "audit": audit,
}.items():  # fmt: skip
    app.add_typer(group, name=name, rich_help_panel="The API")
app.command("token", rich_help_panel=_MACHINE)(local.token)
app.command("settings", rich_help_panel=_MACHINE)(local.settings)
for name, group in {
    "keys": local.keys, "database": local.database, "stack": local.stack,
}.items():  # fmt: skip
    app.add_typer(group, name=name, rich_help_panel=_MACHINE)


def run() -> None:
    """Run the command of this process and end it with its exit code."""
    output.steady_streams()
    keep_loopback_direct(os.environ)
    code = invoke(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has gone; nothing is left to be said to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or FAILED
    sys.exit(code)


def invoke(arguments: list[str]) -> int:
    """Run a command and return its exit code; an error becomes one sentence on stderr."""
    forget_json()
    try:
        app(args=arguments, prog_name="tenantctl")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except DomainError as error:
        remedy = _remedy(error)
        problem = {"code": error.code, "detail": error.message} | (
            {"remedy": remedy} if remedy else {}
        )
        say_error("\n".join(filter(None, (error.message, remedy))), problem)
        return exit_code(error.code)
    except OSError as error:  # a file or folder that the user named, a full disk
        where = f"{error.filename}: " if error.filename else ""
        say_error(f"{where}{error.strerror or type(error).__name__}")
        return FAILED
    except KeyboardInterrupt:
        return 130
    finally:
        CONNECTIONS.close()
    return 0


def _remedy(error: DomainError) -> str:
    """Return the remedy of an error where it fits what was typed here.

    That of what is unavailable speaks to callers of the API; that of a setting needs a variable,
    and a file or folder that is wrong has none.
    """
    if isinstance(error, Unavailable):
        return ""
    if isinstance(error, SettingInvalid) and "name" not in error.data:
        return ""
    return error.remedy


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow, used once

        typer.echo(f"tenantctl {version('tenantplane')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Tenant provisioning control plane: requests, runs, approvals, bundles, audit logs."""


Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks a free one.")
]


@app.command(rich_help_panel=_PROCESSES)
def serve(
    port: Port = None,
    home: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
) -> None:
    """Start everything on this machine: database, emulated cloud, signer, worker, API."""
    given = {"port": port, "home": home}
    overrides = {name: value for name, value in given.items() if value is not None}
    settings = config.load(overrides)
    from control_plane.cli.serving import EmbeddedInstallation  # noqa: PLC0415 - heavy

    with EmbeddedInstallation(settings, typer.echo) as running:
        typer.echo(f"ready       {running.url}   (Ctrl-C stops everything)")
        typer.echo(running.next_steps())
        code = running.wait()
    typer.echo("stopped")
    raise typer.Exit(code)


@app.command(rich_help_panel=_PROCESSES)
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")
    ] = False,
) -> None:
    """Build a Hub and one tenant of each mode, verify the audit logs, show what exists."""
    from control_plane.cli.demo import demo as tell  # noqa: PLC0415 - heavy

    tell(keep=keep)


@app.command(rich_help_panel=_PROCESSES)
def api() -> None:
    """Start the API, with the database that the settings name."""
    config.load(role=ProcessRole.API)  # a wrong setting is told here, with its exit code
    os.execv(sys.executable, [sys.executable, "-m", "api"])  # noqa: S606 - our own module, no shell


@app.command(rich_help_panel=_PROCESSES)
def worker() -> None:
    """Start a worker: it does the phases of runs and bundles."""
    from control_plane import worker as process  # noqa: PLC0415 - heavy
    from control_plane.bootstrap import start_process  # noqa: PLC0415

    with local.database_faults():
        raise typer.Exit(process.run(start_process("worker"), ready=_say_ready))


@app.command(rich_help_panel=_PROCESSES)
def signer() -> None:
    """Start the audit log's sequencer and signer, with a key and a database role of its own."""
    from control_plane.bootstrap import start_process  # noqa: PLC0415 - heavy

    parts = start_process("signer")
    with local.database_faults():
        raise typer.Exit(parts.sign_until_stopped(ready=_say_ready))


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
