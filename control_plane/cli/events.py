"""Entries of an audit log as people read them: what an entry lists comes below the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.cli import output
from control_plane.cli.plans import named_by

FIELDS: Final = ("idx", "time", "action", "actor", "data")
_FIRST: Final = ("enforcement", "kind", "rule")  # what says most of a thing comes first
_SUBJECT: Final = ("address", "urn", "subject", "name")


def show_events(found: Sequence[Mapping[str, Any]]) -> None:
    """Show entries as a table, then the violations, risks and findings that some of them list."""
    output.table([_row(each) for each in found], as_json=False, fields=FIELDS, empty="no entries")
    for each in found:
        body = each["body"]
        for name, records in _lists(body["data"]).items():
            output.say(f"{each['idx']}  {body['action']}: {name}")
            for record in records:
                output.say(f"    {_line(record)}")
            left = int(body["data"].get("count") or 0) - len(records)
            if left > 0:
                output.say(f"    and {left} more, which the entry binds by its digest")


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    body = entry["body"]
    lists = _lists(body["data"])
    data = {name: value for name, value in body["data"].items() if name not in lists}
    return {
        "idx": entry["idx"],
        "time": body["time"],
        "action": f"{body['action']}: {body['stage']}",
        "actor": body["actor"]["id"],
        "data": data | {name: f"{len(records)} (below)" for name, records in lists.items()},
    }


def _lists(data: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what of an entry's data lists things that have facts of their own."""
    return {
        name: value
        for name, value in data.items()
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value)
    }


def _line(record: Mapping[str, Any]) -> str:
    first = [output.text(record[name]) for name in _FIRST if record.get(name)]
    subjects = [_subject(str(record[name])) for name in _SUBJECT if record.get(name)]
    rest = {
        name: value
        for name, value in record.items()
        if name not in {*_FIRST, *_SUBJECT} and value not in (None, "", [], {})
    }
    return "  ".join([*first, *subjects, *([output.text(rest)] if rest else [])])


def _subject(address: str) -> str:
    """Return type and name of an engine's URN, and any other address as it is."""
    if not address.startswith("urn:pulumi:"):
        return address
    kind = address.split("::")[-2].rpartition("$")[2]
    return f"{kind} {named_by(address)}"
