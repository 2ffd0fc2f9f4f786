"""What is known about one type of resource, and what is lost when it changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

DESTROYING: Final = frozenset({"delete", "replace", "delete-replaced", "create-replacement"})
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HEAD: Final = re.compile(r"[^.\[]+")


class Lookup(StrEnum):
    """How a thing that an interrupted create may have made is found in the cloud."""

    NAMED = "named"  # the physical name is an input
    TAGGED = "tagged"  # AWS gives the id; ours has the tags of the inputs
    SETTING = "setting"  # making it again writes over what is there
    NONE = "none"  # nobody looks: no program of ours creates it


class Loss(StrEnum):
    """Which change of an input loses what cannot be recovered."""

    ANY = "any"
    SHRINKS = "shrinks"
    ENDS_SOONER = "ends_sooner"  # a time, of which 0 and nothing at all stand for ever
    TURNED_OFF = "turned_off"


@dataclass(frozen=True, kw_only=True)
class TypeFacts:
    """What the rules, the front ends and the engine must know about a type.

    Attributes:
        token: Pulumi's name of the type.
        label: Its name for people.
        taggable: Whether it takes ``tags``.
        regional: Whether it lies in a region.
        names: Inputs that hold its physical name.
        policies: Inputs that hold policy documents.
        renames: Inputs whose Pulumi name is not Terraform's in camel case (Pulumi's, in snake
            case, to Terraform's).
        buckets: Inputs that name a bucket.
        holds_data: Whether what it holds is gone with it, and cannot be made again from a spec.
        unprotected_because: Why it holds data and need not be protected; empty otherwise.
        on_removal: What a removal does with the data, in words.
        losses: Inputs whose change loses data although the resource stays.
        guard: Input that AWS itself guards it with, else empty.
        disarmed: Input and value that take away the time or care that AWS gives.
        encryptable: Whether a rule wants it encrypted with a key of the deployment.
        lookup: How an interrupted create is found.
    """

    token: str
    label: str
    taggable: bool = True
    regional: bool = True
    names: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[str, ...] = ()
    holds_data: bool = False
    unprotected_because: str = ""
    on_removal: str = ""
    losses: Mapping[str, Loss] = field(default_factory=dict)
    guard: str = ""
    disarmed: tuple[str, object] | None = None
    encryptable: bool = False
    lookup: Lookup = Lookup.SETTING

    @property
    def must_be_protected(self) -> bool:
        """Tell whether it holds data that one wrong step must not delete."""
        return self.holds_data and not self.unprotected_because

    def loses_by(
        self, paths: Iterable[str], changes: Mapping[str, tuple[Any, Any]] | None = None
    ) -> bool:
        """Tell whether a change of inputs loses data.

        ``paths`` are those of the engine's diff or Terraform's. ``changes`` has the values before
        and after, by the same paths, where they are known; without them any change counts.
        """
        known = changes or {}
        for path in paths:
            match = _HEAD.match(path)
            head = snake(match.group()) if match else ""
            loss = self.losses.get(self.renames.get(head, head))
            if loss is not None and _is_lost(loss, path, known):
                return True
        return False


def protected_name(token: str, name: str) -> str:
    """Return how a spec names a resource whose protection it takes away: ``bucket.data``.

    ``token`` is Pulumi's name of its type, ``name`` its logical name.
    """
    return f"{token.rpartition(':')[2].lower()}.{name}"


def snake(name: str) -> str:
    """Return a name in camel case with underscores."""
    return _HUMP.sub("_", name).lower()


def _is_lost(loss: Loss, path: str, changes: Mapping[str, tuple[Any, Any]]) -> bool:
    if loss is Loss.ANY or path not in changes:
        return True
    before, after = changes[path]
    if loss is Loss.TURNED_OFF:
        return before not in (None, False) and after in (None, False)
    nothing = float("inf") if loss is Loss.ENDS_SOONER else 0
    numbers = [value or nothing for value in (before, after)]
    if not all(isinstance(value, int | float) for value in numbers):
        return True  # a value that nobody can compare
    return bool(numbers[1] < numbers[0])
