"""A plan in words and values, as people read it: on a terminal and on a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "same": " "}
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value not known
TAGS: Final = ("tags", "tagsAll", "defaultTags")
WIDE: Final = 100  # longer values go on lines of their own


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


def shown_value(value: Any) -> str:
    """Return a value in full: documents indented, secrets and unknown values as such."""
    if value == {"secret": True}:
        return "(secret)"
    if isinstance(value, str):
        if value == UNKNOWN:
            return "(known after the apply)"
        value = _document(value)
    if isinstance(value, str):
        return value.replace(UNKNOWN, "(known after the apply)")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        flat = json.dumps(value, ensure_ascii=False)
        if len(flat) > WIDE:
            flat = json.dumps(value, ensure_ascii=False, indent=2)
        return flat.replace(f'"{UNKNOWN}"', "(known after the apply)").replace(
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


def common_tags(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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


def address_of(address: str) -> str:
    """Return type and name of an engine's URN, and any other address as it is."""
    if not address.startswith("urn:pulumi:"):
        return address
    *_, kinds, name = address.split("::")
    return f"{kinds.rpartition('$')[2]} {name}"
