"""What of each program is protected from deletion, and how a spec takes that away by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SHELLS: Final = ("secret.app", "secret.idp", "secret.llm")
_HUB: Final = ("bucket.data", "bucket.logs", "key.data", "key.logs", "table.hub")

# program -> names as ``policies.resource_type.protected_name`` makes them
PROTECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "mode_a.hub": _HUB,
    "mode_a.slice": ("key.data", *_SHELLS),
    "mode_b": (*_HUB, "instance.db", "key.secrets", *_SHELLS),
}


@dataclass(frozen=True)
class Protection:
    """``unprotected``: names of what is registered without protection."""

    unprotected: frozenset[str]

    def keeps(self, name: str) -> bool:
        """Tell whether a resource is protected; by the engine, and by AWS where AWS can do it."""
        return name not in self.unprotected
