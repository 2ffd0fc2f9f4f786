"""JSON as it goes into rows: strict, and from any mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final


def plain(value: Any) -> Any:
    """Return a mapping as the dict that ``json`` can write. Raises ``TypeError`` for the rest."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


dumps: Final = partial(json.dumps, ensure_ascii=False, allow_nan=False, default=plain)
