"""Which options of a resource change: what steers the engine without being an input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

# How an option is named for people, where its name in the state is another.
_NAMES = {"dependencies": "dependsOn", "hideDiff": "hideDiffs"}
_STEP = ("protect", "parent", "provider", "retainOnDelete")
_REGISTERED = ("dependencies", "ignoreChanges", "additionalSecretOutputs", "customTimeouts",
               "deletedWith", "replaceOnChanges", "hideDiff")  # fmt: skip
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_AMOUNT = re.compile(r"([0-9.]+)(h|ms|m|s|us|µs|ns)")


def changed_options(
    urn: str, before: Document, *, step: Document, registered: Document | None
) -> tuple[str, ...]:
    """Return the names of the options that differ from those of a resource's state, sorted.

    No single place has all options (3.259.0): ``step`` is the new state of the event,
    ``registered`` the program's registration, None for what it does not register.
    """
    places: list[tuple[Sequence[str], Document]] = [(_STEP, step)]
    if registered is not None:
        places.append((_REGISTERED, _as_in_state(registered)))
    found = {
        _NAMES.get(name, name)
        for names, place in places
        for name in names
        if _value(before.get(name)) != _value(place.get(name))
    }
    if before.get("urn") != urn:  # known by an alias until now
        found.add("aliases")
    return tuple(sorted(found))


def _as_in_state(registered: Document) -> Document:
    """Return a registration with the names and units of a state."""
    timeouts = registered.get("customTimeouts") or {}
    return {
        **registered,
        "hideDiff": registered.get("hideDiffs"),
        "customTimeouts": {name: _seconds(text) for name, text in timeouts.items()},
    }


def _seconds(duration: str) -> float:
    """Return the seconds of a duration as Go writes it, such as ``1h30m``."""
    return sum(float(number) * _UNITS[unit] for number, unit in _AMOUNT.findall(duration))


def _value(value: Any) -> Any:
    """Return a value that compares: without order, and nothing is nothing."""
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if v} or None
    if isinstance(value, list | tuple):
        return sorted(value) or None
    return value or None
