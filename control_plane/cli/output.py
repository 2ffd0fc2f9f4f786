"""What the command line shows: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer

from control_plane.cli.tables import draw

_ESCAPE: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
GROUPING: Final = ("tenantplane:", "pulumi:")  # types that exist in no cloud


def as_json_text(item: Any) -> None:
    """Print JSON, and nothing else, on stdout."""
    typer.echo(json.dumps(item, indent=1, ensure_ascii=False))


def say(line: str) -> None:
    """Print a line of text that may come from elsewhere."""
    typer.echo(clean(line))


def line(text: str) -> None:
    """Print a line that a program reads, as it is."""
    typer.echo(text)


class Checks:
    """Prints the checks of a build as they are done, each once."""

    def __init__(self) -> None:
        self._told = 0

    def tell(self, checks: Sequence[Mapping[str, Any]]) -> None:
        """Print the checks that are new; ``checks`` are all so far."""
        for check in checks[self._told :]:
            verdict = "ok  " if check["ok"] else "FAIL"
            detail = f"  {check['detail']}" if check["detail"] else ""
            say(f"    {verdict} {check['name']} {check['seconds']} s{detail}")
        self._told = max(self._told, len(checks))


def show(item: Any, *, as_json: bool, fields: Sequence[str] = ()) -> None:
    """Show one item: its named fields, as ``table`` names them, or all of it as JSON."""
    if as_json:
        as_json_text(item)
        return
    named = [(name.partition("=")[0], name.rpartition("=")[2]) for name in fields]
    width = max((len(name) for name, _ in named), default=0)
    for name, path in named:
        value = _at(item, path)
        if _is_deep(value):
            drawn = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
            say(f"{name}\n  {drawn}")
        else:
            say(f"{name:<{width}}  {text(value)}")


def table(
    items: Sequence[Mapping[str, Any]], *, as_json: bool, fields: Sequence[str], empty: str
) -> None:
    """Show items as a table, or as a JSON list.

    A field is a path such as ``body.time``; ``status+blocked_on`` shows two as one column, and
    ``actor=body.actor.id`` gives a column another name.
    """
    if as_json:
        as_json_text(list(items))
    elif not items:
        if empty:
            say(empty)
    else:
        names = [re.split(r"[=+]", name)[0].rsplit(".", 1)[-1] for name in fields]
        paths = [name.rpartition("=")[2] for name in fields]
        rows = [[clean(_cell(item, path)).replace("\n", " ") for path in paths] for item in items]
        draw(names, rows)


def text(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_DIGEST.sub(_cut, text(item))}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(text(item) for item in value)
    return _TIME.sub(r"\1 \2Z", str(value))


def _cut(digest: re.Match[str]) -> str:
    return f"{digest[0][:15]}…"


def clean(line: str) -> str:
    """Return text without what would steer the terminal."""
    return _CONTROL.sub(" ", _ESCAPE.sub("", line))


def _cell(item: Mapping[str, Any], field: str) -> str:
    found = [_at(item, name) for name in field.split("+")]
    return ": ".join(text(value) for value in found if value is not None) or "-"


def _at(item: Any, path: str) -> Any:
    for part in path.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def _is_deep(value: Any) -> bool:
    items = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list):
        return False
    return any(isinstance(item, Mapping) or (isinstance(item, list) and item) for item in items)


def event(found: Mapping[str, Any]) -> str:
    """Return one progress line for people, or nothing when it says nothing to them."""
    body, kind = found["body"], found["kind"]
    if kind == "status":
        extra = f" ({body['blocked_on']}: {body['next_action']})" if "blocked_on" in body else ""
        error = f": {body['error']['message']}" if "error" in body else ""
        return clean(f"{body['status']}{extra}{error}")
    if kind == "resource":
        return _resource(body)
    if kind == "diagnostic":
        lines = str(body.get("text", body.get("message", ""))).splitlines()
        return clean("\n    ".join([f"  {body.get('severity') or 'info'}: {lines[0]}", *lines[1:]])
                     if lines else "")  # fmt: skip
    if kind == "window":
        until = f" until {text(body['applies_until'])}" if body["applies_until"] else ""
        when = f"from {text(body['applies_from'])}{until}" if body["applies_from"] else "never"
        return clean(f"  its change window is closed: it is applied {when}")
    if kind == "interrupted":
        return clean(f"  interrupted: {body['message']}; what that left is checked first")
    if kind == "resumed":
        return clean(f"  resumed after an interruption, in its phase {body['phase']}")
    if kind == "phase":
        return clean(f"  {body.get('phase') or body.get('name', '')} {body.get('status', '')}")
    return ""


def _resource(body: Mapping[str, Any]) -> str:
    """Return what happened to a resource; components are left out, their parts are shown."""
    kind = str(body.get("type") or "")
    if kind.startswith(GROUPING):
        return ""
    status = str(body.get("status") or "")
    if body.get("phase") in {"plan", "verify"}:  # the engine looks and does nothing
        status = "planned" if status == "done" else status
    name = body.get("name") or str(body.get("urn", "")).rpartition("::")[2]
    return clean(f"  {status:<8} {body.get('op') or '':<8} {kind.rpartition(':')[2]}  {name}")


def steady_streams() -> None:
    """Let no name of a company end a command on a terminal that cannot show its letters."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
