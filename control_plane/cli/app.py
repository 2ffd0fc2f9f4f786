"""The commands of ``tenantctl``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli import calls
from control_plane.cli.audit import audit
from control_plane.cli.bundles import bundle
from control_plane.cli.errors import exit_code
from control_plane.domain.errors import DomainError

app = typer.Typer(
    name="tenantctl",
    help="Tenant provisioning control plane: requests, runs, approvals, bundles, audit logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for name, group in {
    "request": calls.request, "tenant": calls.tenant, "hub": calls.hub, "run": calls.run,
    "approval": calls.approval, "bundle": bundle, "audit": audit,
}.items():  # fmt: skip
    app.add_typer(group, name=name, rich_help_panel="The API")


def run() -> None:
    """Run a command; a fact becomes one sentence on stderr and its exit code."""
    if set(sys.argv[1:2]) & set(LOCAL):
        _add_local()
    try:
        app()
    except DomainError as error:
        sys.stderr.write(f"{error.message}\n")
        if error.remedy:
            sys.stderr.write(f"{error.remedy}\n")
        sys.exit(exit_code(error.code))


@app.command(rich_help_panel="Processes")
def serve(
    port: Annotated[int | None, typer.Option(help="Port of the API.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of the data.")] = None,
) -> None:
    """Start everything on this machine: database, emulated cloud, signer, worker, API."""
    from control_plane.bootstrap import read_settings  # noqa: PLC0415 - heavy, see cli/__init__
    from control_plane.cli.serving import EmbeddedInstallation  # noqa: PLC0415

    given = {"port": port, "home": home}
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    with EmbeddedInstallation(settings, typer.echo) as running:
        typer.echo(f"ready       {running.url}   (Ctrl-C stops everything)")
        code = running.wait()
    typer.echo("stopped")
    raise typer.Exit(code)


@app.command(rich_help_panel="Processes")
def api() -> None:
    """Start the API of an installation whose database is given by settings."""
    os.execv(sys.executable, [sys.executable, "-m", "api"])  # noqa: S606 - our own module, no shell


@app.command(rich_help_panel="Processes")
def worker() -> None:
    """Start a worker: it does the phases of runs and bundles."""
    from control_plane import worker as process  # noqa: PLC0415
    from control_plane.bootstrap import start_process  # noqa: PLC0415

    raise typer.Exit(process.run(start_process("worker"), ready=_say_ready))


@app.command(rich_help_panel="Processes")
def signer() -> None:
    """Start the audit log's sequencer and signer, with a key and a database role of its own."""
    from control_plane.bootstrap import start_process  # noqa: PLC0415

    raise typer.Exit(start_process("signer").sign_until_stopped(ready=_say_ready))


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


LOCAL = ("token", "settings", "database", "demo", "--help")


def _add_local() -> None:
    """Add the commands that read settings and keys: heavy, so only when they are asked for."""
    from control_plane.cli import local  # noqa: PLC0415
    from control_plane.cli.demo import demo  # noqa: PLC0415

    panel = "This machine"
    app.command("token", rich_help_panel=panel)(local.token)
    app.command("settings", rich_help_panel=panel)(local.settings)
    app.command("demo", rich_help_panel=panel)(demo)
    app.add_typer(local.database, name="database", rich_help_panel=panel)
