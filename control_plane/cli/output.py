"""What the command line shows: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)


def show(item: Any, *, as_json: bool, fields: Sequence[str] = ()) -> None:
    """Show one item: its named fields, or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(item, indent=1, ensure_ascii=False))
        return
    width = max((len(name) for name in fields), default=0)
    for name in fields:
        console.print(f"{name:<{width}}  {text(_at(item, name))}", markup=False)


def table(
    items: Sequence[Mapping[str, Any]], *, as_json: bool, fields: Sequence[str], empty: str
) -> None:
    """Show items as a table, or as a JSON list."""
    if as_json:
        typer.echo(json.dumps(list(items), indent=1, ensure_ascii=False))
        return
    if not items:
        console.print(empty)
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in fields:
        drawn.add_column(name.rsplit(".", 1)[-1], overflow="fold")
    for item in items:
        drawn.add_row(*(text(_at(item, name)) for name in fields))
    console.print(drawn)


def text(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(text(item) for item in value)
    return str(value)


def _at(item: Any, path: str) -> Any:
    for part in path.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def plan(found: Mapping[str, Any]) -> None:
    """Show a plan: what cannot be undone first, then operations by kind, then violations."""
    console.print(f"plan {found['id']}  {found['digest']}", markup=False)
    console.print(f"summary: {text(found['summary'])}")
    for item in found["irreversible"]:
        console.print(f"  CANNOT BE UNDONE  {item['op']}  {item['name']}  {item['type']}")
    for operation in found["operations"]:
        if operation["op"] == "same":
            continue
        sign = {"create": "+", "update": "~", "delete": "-"}.get(operation["op"], "±")
        changed = ", ".join(operation.get("diffs") or {})
        note = f"  [{changed}]" if changed and operation["op"] != "create" else ""
        console.print(f"  {sign} {operation['type']}  {operation['name']}{note}", markup=False)
    for violation in found["evaluation"].get("violations", []):
        console.print(
            f"  {violation['enforcement']}: {violation['rule']}  {violation['address']}: "
            f"{violation['reason']} {violation['remedy']}",
            markup=False,
        )


def event(found: Mapping[str, Any]) -> str:
    """Return one progress line."""
    body, kind = found["body"], found["kind"]
    if kind == "status":
        extra = f" ({body['blocked_on']}: {body['next_action']})" if "blocked_on" in body else ""
        error = f": {body['error']['message']}" if "error" in body else ""
        return f"{body['status']}{extra}{error}"
    if kind == "resource":
        return f"  {body.get('op', '')} {body.get('status', '')} {body.get('name', '')}"
    if kind == "diagnostic":
        return f"  {body.get('severity', '')}: {body.get('message', body.get('text', ''))}"
    return f"  {kind} {text(dict(body))}"
