"""Commands about systems outside; they read the document and the home, and ask no API of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from control_plane import config
from control_plane.cli import output
from control_plane.cli.errors import FAILED
from control_plane.cli.refusing import Json
from control_plane.domain.errors import DomainError
from control_plane.domain.systems import NONE, RECORD, SystemEntry, SystemPort

if TYPE_CHECKING:
    from control_plane.bootstrap import Parts

FIELDS: Final = ("port", "system", "credential", "installed", "where")
CHECKED: Final = ("port", "system", "answer", "found")

systems = typer.Typer(
    no_args_is_help=True, help="Systems outside: CRM, tickets, mail and chat of this installation."
)


@systems.command("list")
def list_systems(as_json: Json = False) -> None:
    """List the system of each port and whether its credential is installed here.

    Run it where a worker runs, with its settings: only workers use credentials.
    """
    parts = _parts()
    rows = [_row(parts, entry) for entry in parts.rules.systems]
    if as_json:
        output.as_json_text(rows)
        return
    shown = [{**row, "installed": _yes(row["installed"])} for row in rows]
    output.table(shown, as_json=False, fields=FIELDS, empty="no systems")


@systems.command("check")
def check_systems(
    port: Annotated[
        list[SystemPort] | None, typer.Argument(help="Ports to check (default: all).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask each system something harmless: nothing is created, changed or sent (exit 1: one fails).

    Run it where a worker runs, with its settings.
    """
    parts = _parts()
    wanted = [entry for entry in parts.rules.systems if not port or entry.port in port]
    rows = [_checked(parts, entry) for entry in wanted]
    if as_json:
        output.as_json_text(rows)
    else:
        output.table(rows, as_json=False, fields=CHECKED, empty="no systems")
    if any(row["answer"] == "failed" for row in rows):
        raise typer.Exit(FAILED)


def _parts() -> Parts:
    from control_plane.bootstrap import Parts  # noqa: PLC0415 - heavy

    return Parts(config.load())


def _row(parts: Parts, entry: SystemEntry) -> dict[str, Any]:
    name = entry.credential
    options = entry.options
    folder = parts.around_systems.folder if entry.system == RECORD else None
    return {
        "port": str(entry.port),
        "system": entry.system,
        "credential": name,
        "installed": None if name is None else parts.around_systems.credentials.has(name),
        "where": options.get("url") or options.get("host") or options.get("region") or (
            str(folder) if folder else None
        ),
    }  # fmt: skip


def _checked(parts: Parts, entry: SystemEntry) -> dict[str, Any]:
    from control_plane.adapters.systems.opening import open_system  # noqa: PLC0415 - heavy

    row = {"port": str(entry.port), "system": entry.system}
    if entry.system == NONE:
        return {**row, "answer": "not used", "found": "steps that need it are left out"}
    try:
        found = open_system(entry, parts.around_systems).check()
    except DomainError as error:
        return {**row, "answer": "failed", "found": error.message, "code": error.code}
    return {**row, "answer": "ok", "found": found}


def _yes(installed: bool | None) -> str:
    return "" if installed is None else "yes" if installed else "no"
