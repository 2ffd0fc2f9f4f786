"""Settings as people read them: without what is secret in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from control_plane.config import PREFIX, Settings

Shown = tuple[str, str | None, str]


def shown_settings(present: Settings, names: Sequence[str] = ()) -> list[Shown]:
    """Return variable, value and meaning of settings in force, of all if none is named.

    What is secret in a value is masked.
    """
    return [
        (
            PREFIX + name.upper(),
            _shown(name, getattr(present, name)),
            Settings.model_fields[name].description or "",
        )
        for name in names or Settings.model_fields
    ]


def _shown(name: str, value: object) -> str | None:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if name == "accounts":
        return re.sub(r"\|[^,]*", "|**********", str(value))
    if name == "objects_url":
        return re.sub(r"//[^/@]*@", "//**********@", str(value))
    return str(value)
