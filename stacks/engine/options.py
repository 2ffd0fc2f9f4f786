"""Which options of a resource change: what steers the engine without being an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

# How an option is named for people, where its name in the state is another.
_NAMES = {"dependencies": "dependsOn", "hideDiff": "hideDiffs"}
_GOAL = ("protect", "parent", "provider", "dependencies", "ignoreChanges",
         "additionalSecretOutputs", "customTimeouts")  # fmt: skip
_STEP = ("retainOnDelete",)
_REGISTERED = ("deletedWith", "replaceOnChanges", "hideDiff")


def changed_options(
    urn: str, before: Document, *, goal: Document, step: Document, registered: Document
) -> tuple[str, ...]:
    """Return the names of the options that differ from those of a resource's state, sorted.

    No single place has all options (3.259.0): ``goal`` is that of the saved plan, ``step`` the new
    state of the event, ``registered`` what the program registered.
    """
    places = ((_GOAL, goal), (_STEP, step), (_REGISTERED, registered))
    found = {
        _NAMES.get(name, name)
        for names, place in places
        for name in names
        if _value(before.get(name)) != _value(place.get(name))
    }
    if before.get("urn") != urn:  # known by an alias until now
        found.add("aliases")
    return tuple(sorted(found))


def _value(value: Any) -> Any:
    """Return a value that compares: without order, and nothing is nothing."""
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if v} or None
    if isinstance(value, list | tuple):
        return sorted(value) or None
    return value or None
