"""A plan as people read it before they decide: what cannot be undone, then every value.

A created resource shows its inputs, a changed one what each property was and will be. Policy
documents are shown in full; secrets never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.cli.output import GROUPING, say, text
from control_plane.domain.plan_words import (
    SIGNS,
    TAGS,
    WIDE,
    address_of,
    change_of,
    common_tags,
    name_of,
    shown_value,
)


def show_plan(found: Mapping[str, Any], *, brief: bool = False) -> None:
    """Show a plan: what cannot be undone, operations with values, outputs, what policies say.

    ``brief`` leaves the values out.
    """
    say(f"plan {found['id']}  {found['digest']}")
    parts = ", ".join(f"{name} {_short(value)}" for name, value in found["parts"].items())
    say(f"parts    {parts}")
    say(f"summary  {text(found['summary'])}")
    for item in found["irreversible"]:
        say(f"  CANNOT BE UNDONE  {item['op']}  {name_of(item)}  {item['type']}")
        if item.get("on_removal"):
            say(f"      {item['on_removal']}")
    inputs = {(r["urn"], r["operation"]): r["inputs"] for r in found["resources"]}
    common = common_tags(found["resources"])
    if common and not brief:
        say("tags     " + text(common))
    changing = [
        item
        for item in found["operations"]
        if item["op"] != "same" or item["options"] or item["changes"]
    ]
    real = [
        item for item in changing if item["holds_data"] or not item["type"].startswith(GROUPING)
    ]
    width = max((len(name_of(item)) for item in real), default=0)
    for item in real:
        changed = "" if item["op"] == "create" else f"  [{', '.join(item['diffs'])}]"
        say(f"  {SIGNS.get(item['op'], '±')} {name_of(item):<{width}}  {item['type']}"
            f"{changed if item['diffs'] else ''}{_marks(item)}")  # fmt: skip
        if not brief:
            for line in _values(item, inputs.get((item["urn"], item["op"]), {}), common):
                say(f"      {line}")
    if len(changing) > len(real):
        say(f"  and {len(changing) - len(real)} internal to the engine (components, provider)")
    for output in found["outputs"]:
        say(f"  output {output['name']}: {change_of(output)}")
    _violations(found["evaluation"].get("violations", []))


def _marks(item: Mapping[str, Any]) -> str:
    marks = [f"option {option} changes" for option in item["options"]]
    if item["protect"]:
        marks.append("protected")
    if item["irreversible"]:
        marks.append("cannot be undone")
    return f"  ({', '.join(marks)})" if marks else ""


def _values(
    item: Mapping[str, Any], inputs: Mapping[str, Any], common: Mapping[str, Any]
) -> Iterator[str]:
    if item["op"] != "create":
        for change in item["changes"]:
            yield from lines_of(change["path"], change_of(change))
        return
    for name, value in sorted(inputs.items()):
        if name in TAGS and isinstance(value, Mapping):
            value = {key: tag for key, tag in value.items() if common.get(key) != tag}  # noqa: PLW2901 - the part that is this resource's own
        if not name.startswith("__") and value not in (None, "", [], {}):
            yield from lines_of(name, shown_value(value))


def lines_of(name: str, shown: str) -> Iterator[str]:
    """Yield a name with its value, a wide or long one on lines of its own."""
    if len(shown) <= WIDE and "\n" not in shown:
        yield f"{name}: {shown}"
        return
    yield f"{name}:"
    for line in shown.splitlines():
        yield f"    {line}"


def _violations(found: Sequence[Mapping[str, Any]]) -> None:
    """Show what the policies found: what many resources have in common is said once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for item in found:
        common = tuple(str(item[name]) for name in ("enforcement", "rule", "reason", "remedy"))
        alike.setdefault(common, []).append(_where(item))
    for (enforcement, rule, reason, remedy), addresses in alike.items():
        why = f"{reason.rstrip('.')}. {remedy}"
        if len(addresses) == 1:
            say(f"  {enforcement}: {rule}  {addresses[0]} {why}")
            continue
        say(f"  {enforcement}: {rule}  each of {len(addresses)} resources {why}")
        for address in addresses:
            say(f"      {address}")


def _where(violation: Mapping[str, Any]) -> str:
    """Return the address, and which values of it are not known: the reason does not name them."""
    address = address_of(violation["address"])
    unknown = violation.get("verdict") == "unknown" and violation.get("path")
    return f"{address} ({unknown})" if unknown else address


def _short(digest: str) -> str:
    return str(digest).removeprefix("sha256:")[:8]
