"""Commands that start processes: everything on this machine, or one part of an installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane import config
from control_plane.cli.local import database_faults
from control_plane.config import ProcessRole

Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks a free one.")
]


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


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")
    ] = False,
) -> None:
    """Build a Hub and one tenant of each mode, verify the audit logs, show what exists."""
    from control_plane.cli.demo import demo as tell  # noqa: PLC0415 - heavy

    tell(keep=keep)


def api() -> None:
    """Start the API, with the database that the settings name."""
    config.load(role=ProcessRole.API)  # a wrong setting is told here, with its exit code
    os.execv(sys.executable, [sys.executable, "-m", "api"])  # noqa: S606 - our own module, no shell


def worker() -> None:
    """Start a worker: it does the phases of runs and bundles."""
    from control_plane import worker as process  # noqa: PLC0415 - heavy
    from control_plane.bootstrap import start_process  # noqa: PLC0415

    with database_faults():
        raise typer.Exit(process.run(start_process("worker"), ready=_say_ready))


def signer() -> None:
    """Start the audit log's sequencer and signer, with a key and a database role of its own."""
    from control_plane.bootstrap import start_process  # noqa: PLC0415 - heavy

    parts = start_process("signer")
    with database_faults():
        raise typer.Exit(parts.sign_until_stopped(ready=_say_ready))


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
