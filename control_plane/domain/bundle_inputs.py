"""Inputs of a bundle: how an edit changes them, what of them is fixed, what deserves a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# decided by the request; the rest is the architect's
FIXED: Final = ("schema_version", "region")
_CHANGEABLE_OF_OWNER: Final = "install_id"

_NOBODY: Final = (
    "network.client_cidrs is empty, so nobody could reach the Hub; name the networks that "
    "clients connect from"
)

Inputs = Mapping[str, Any]


def merged(inputs: Inputs, patch: Inputs) -> dict[str, Any]:
    """Return ``inputs`` with ``patch`` merged in, nested objects too; null removes (RFC 7396).

    An object whose ``mode`` changes is taken as given: fields of the other mode do not belong to
    it, and nobody has to remove them one by one.
    """
    result = dict(inputs)
    for name, value in patch.items():
        present = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(present, Mapping):
            keeps_mode = "mode" not in value or value["mode"] == present.get("mode")
            result[name] = merged(present if keeps_mode else {}, value)
        else:
            result[name] = merged({}, value) if isinstance(value, Mapping) else value
    return result


def fixed_field(before: Inputs, after: Inputs, *, installed: bool) -> str | None:
    """Return the path of a changed field that an edit may not change, or None.

    ``installed``: the Hub exists under its ``install_id``, which therefore stays.
    """
    for name in FIXED:
        if before.get(name) != after.get(name):
            return name
    old, new = before.get("owner") or {}, after.get("owner")
    if not isinstance(new, Mapping):
        return "owner"
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name) and (installed or name != _CHANGEABLE_OF_OWNER):
            return f"owner.{name}"
    return None


def advice(inputs: Inputs) -> tuple[str, ...]:
    """Return what is allowed and probably not meant."""
    if not (inputs.get("network") or {}).get("client_cidrs"):
        return (_NOBODY,)
    return ()
