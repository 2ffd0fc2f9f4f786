"""Commands on personal values of the logs: open them, grant them to exports, erase them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse

GRANT: Final = (
    "id", "tree", "status", "paths", "first_idx", "last_idx", "requested_by", "requested_at",
    "granted_by", "granted_at", "expires_at", "reason",
)  # fmt: skip
GRANTS: Final = ("id", "status", "paths", "requested_by", "granted_by", "expires_at")
ERASURE: Final = (
    "id", "tree", "status", "scope", "count", "digest", "legal_reference", "reason",
    "requested_by", "requested_at", "confirmed_by", "confirmed_at", "expires_at",
)  # fmt: skip
ERASURES: Final = ("id", "status", "scope", "count", "requested_by", "confirmed_by", "expires_at")
Tree = Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")]
Trees = Annotated[str, typer.Argument(help="Tenant id or slug, `platform`, or `all` logs.")]
Reason = Annotated[str, typer.Option(help="Reason, recorded in the audit log.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of rows.")]


def disclose(
    tree: Tree,
    idx: Annotated[int, typer.Argument(min=0, help="Index of the entry.")],
    reason: Reason,
    path: Annotated[
        list[str] | None, typer.Option("--path", help="One value (default: all of the entry).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Open personal values of an entry; each is recorded before it is shown.

    It says of each whether it is what the entry committed to. Erased ones have no value.
    """
    body = {"idx": idx, "paths": path or [], "reason": reason}
    found = from_environment().post(f"{_of(tree)}/disclosures", body)
    if as_json:
        output.as_json_text(found)
        return
    rows = [{**each, "is": _state(each)} for each in found["values"]]
    output.table(rows, as_json=False, fields=("path", "value", "is"), empty="no values")


def _state(value: dict[str, Any]) -> str:
    if value["erased_at"] is not None:
        return f"erased ({value['erasure_event']})"
    return "what the entry committed to" if value["matches"] else "NOT what the entry committed to"


def ask_for_grant(
    tree: Tree,
    reason: Reason,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", help="First word of the paths, such as `reason` (default: all)."),
    ] = None,
    first: Annotated[int | None, typer.Option("--from", min=0, help="First index.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Last index.")] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long it is valid.")] = 7,
    as_json: Json = False,
) -> None:
    """Ask that exports of a log may hold personal values; another person confirms it."""
    body = {
        "paths": path or [], "first_idx": first, "last_idx": last, "days": days, "reason": reason
    }  # fmt: skip
    found = from_environment().post(f"{_of(tree)}/grants", body)
    output.show(found, as_json=as_json, fields=GRANT)
    if not as_json:
        output.say(f"another person: tenantctl audit confirm-grant {tree} {found['id']} --reason …")


def confirm_grant(tree: Tree, grant_id: str, reason: Reason, as_json: Json = False) -> None:
    """Give a grant that another person asked for."""
    path = f"{_of(tree)}/grants/{segment(grant_id)}/confirm"
    output.show(from_environment().post(path, {"reason": reason}), as_json=as_json, fields=GRANT)


def list_grants(tree: Tree, limit: Most = 50, as_json: Json = False) -> None:
    """List the grants for exports of a log, newest first."""
    found = from_environment().pages(f"{_of(tree)}/grants", most=limit)
    output.table(found, as_json=as_json, fields=GRANTS, empty="no grants")


def erase(
    tree: Trees,
    legal_reference: Annotated[
        str, typer.Option(help="On what ground, such as `GDPR Art. 17(1)(b)`.")
    ],
    reason: Reason,
    subject: Annotated[
        str | None, typer.Option(help="Whose values: an e-mail address, best; it is not kept.")
    ] = None,
    values: Annotated[
        Path | None,
        typer.Option(help="File with a value a line: event id, blank, path; instead of a subject."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name personal values of logs to be erased; nothing is erased before another confirms it."""
    body = {
        "subject": subject, "values": _listed(values), "legal_reference": legal_reference,
        "reason": reason,
    }  # fmt: skip
    found = from_environment().post(f"{_of(tree)}/erasures", body)
    _show(found, as_json)
    if not as_json:
        output.say(
            f"another person: tenantctl audit confirm-erasure {tree} {found['id']}"
            f" --digest {found['digest']} --reason …"
        )


def _listed(file: Path | None) -> list[dict[str, str]]:
    if file is None:
        return []
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        refuse(f"{file}: {error.strerror}", USAGE)
    except UnicodeDecodeError:
        refuse(f"{file} is not text", USAGE)
    for number, words in enumerate(lines, 1):
        if len(words) not in (0, 2):
            refuse(f"{file}, line {number}: wants an event id, a blank and a path", USAGE)
    return [{"event_id": words[0], "path": words[1]} for words in lines if words]


def confirm_erasure(
    tree: Trees,
    erasure_id: str,
    digest: Annotated[str, typer.Option(help="Of the list that you read.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Erase what another person named, with its salts; it cannot be taken back."""
    path = f"{_of(tree)}/erasures/{segment(erasure_id)}/confirm"
    _show(from_environment().post(path, {"digest": digest, "reason": reason}), as_json)


def show_erasure(tree: Trees, erasure_id: str, as_json: Json = False) -> None:
    """Show an erasure with every value that it names."""
    _show(from_environment().get(f"{_of(tree)}/erasures/{segment(erasure_id)}"), as_json)


def list_erasures(tree: Trees, limit: Most = 50, as_json: Json = False) -> None:
    """List the erasures of a log, newest first; with `all` those of every log."""
    found = from_environment().pages(f"{_of(tree)}/erasures", most=limit)
    output.table(found, as_json=as_json, fields=ERASURES, empty="no erasures")


def _show(found: dict[str, Any], as_json: bool) -> None:
    output.show(found, as_json=as_json, fields=ERASURE)
    if not as_json:
        for part in found["values"]:
            for value in part["values"]:
                output.say(f"  {part['tree']} {value}")


def _of(tree: str) -> str:
    return f"/v1/audit/{segment(tree)}"
