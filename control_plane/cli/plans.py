"""A plan as people read it before they decide: what cannot be undone, then every value.

A created resource shows its inputs, a changed one what each property was and will be. Policy
documents are shown in full; secrets never are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from control_plane.cli.output import GROUPING, say, text

SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "same": " "}
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value not known
_TAGS: Final = ("tags", "tagsAll", "defaultTags")
_WIDE: Final = 100  # longer values go on lines of their own


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
    read = {(r["urn"], r["op"]): r for r in found["changes"]}
    common = _common_tags(found["resources"])
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
            key = (item["urn"], item["op"])
            for line in _values(item, inputs.get(key, {}), common, read.get(key) or {}):
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
    item: Mapping[str, Any],
    inputs: Mapping[str, Any],
    common: Mapping[str, Any],
    read: Mapping[str, Any],
) -> Iterator[str]:
    sides = (("before", read.get("rule_before")), ("after", read.get("rule_after")))
    yield from (f"{side}: {rule}" for side, rule in sides if rule)
    yield from (f"WIDER  {detail}" for detail in read.get("widened", ()))
    if item["op"] != "create":
        for change in item["changes"]:
            yield from lines_of(change["path"], change_of(change))
            yield from _sentences(read, change["path"])
        return
    for name, value in sorted(inputs.items()):
        if name in _TAGS and isinstance(value, Mapping):
            value = {key: tag for key, tag in value.items() if common.get(key) != tag}  # noqa: PLW2901 - the part that is this resource's own
        if not name.startswith("__") and value not in (None, "", [], {}):
            yield from lines_of(name, shown_value(value))
            yield from _sentences(read, name)


def _sentences(read: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield what a policy document or a rule of a network says, and what got wider."""
    for each in read.get("properties", ()):
        if each["path"] == path:
            for side in ("before", "after"):
                yield from (f"  {side}: {sentence}" for sentence in each[f"statements_{side}"])
            yield from (f"  WIDER  {detail}" for detail in each["widened"])


def change_of(change: Mapping[str, Any]) -> str:
    """Return what a property, or an output, was and will be."""
    before = shown_value(change["before"]) if change.get("before_known", True) else "(not reported)"
    match change["kind"].removesuffix("-replace"):
        case "add":
            shown = shown_value(change["after"])
        case "delete":
            shown = f"{before} -> (removed)"
        case _:
            shown = f"{before} -> {shown_value(change['after'])}"
    return shown + ("  forces a replacement" if change["kind"].endswith("-replace") else "")


def lines_of(name: str, shown: str) -> Iterator[str]:
    """Yield a name with its value, a wide or long one on lines of its own."""
    if len(shown) <= _WIDE and "\n" not in shown:
        yield f"{name}: {shown}"
        return
    yield f"{name}:"
    for line in shown.splitlines():
        yield f"    {line}"


def shown_value(value: Any) -> str:
    """Return a value in full: documents indented, secrets and unknown values as such."""
    if value == {"secret": True}:
        return "(secret)"
    if isinstance(value, str):
        if value == _UNKNOWN:
            return "(known after the apply)"
        value = _document(value)
    if isinstance(value, str):
        return value.replace(_UNKNOWN, "(known after the apply)")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        flat = json.dumps(value, ensure_ascii=False)
        if len(flat) > _WIDE:
            flat = json.dumps(value, ensure_ascii=False, indent=2)
        return flat.replace(f'"{_UNKNOWN}"', "(known after the apply)").replace(
            '{"secret": true}', "(secret)"
        )
    return str(value)


def _document(value: str) -> Any:
    """Return the object that a text holds, such as a policy document, else the text."""
    if not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _common_tags(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tags that most resources of a plan carry, so that they are shown once."""
    tagged = [r["inputs"]["tags"] for r in resources if isinstance(r["inputs"].get("tags"), dict)]
    counts = Counter((key, str(value)) for tags in tagged for key, value in tags.items())
    return {key: value for (key, value), count in sorted(counts.items()) if count > len(tagged) / 2}


def name_of(item: Mapping[str, Any]) -> str:
    """Return a resource's name with the component that it belongs to."""
    return named_by(str(item["urn"]), str(item["name"]))


def named_by(urn: str, name: str = "") -> str:
    """Return what ``name_of`` does of a URN; its last part is the name, unless that is given."""
    *_, path, last = ("", *urn.split("::"))
    kinds = path.split("$")
    component = kinds[-2].rpartition(":")[2] if len(kinds) > 1 else ""
    return f"{component}/{name or last}" if component else name or last


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
    address = _address(violation["address"])
    unknown = violation.get("verdict") == "unknown" and violation.get("path")
    return f"{address} ({unknown})" if unknown else address


def _address(address: str) -> str:
    """Return type and name of an engine's URN, and any other address as it is."""
    if not address.startswith("urn:pulumi:"):
        return address
    *_, kinds, name = address.split("::")
    return f"{kinds.rpartition('$')[2]} {name}"


def _short(digest: str) -> str:
    return str(digest).removeprefix("sha256:")[:8]
