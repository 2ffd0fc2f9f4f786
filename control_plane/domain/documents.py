"""Values that rows and messages hold as JSON objects with the same keys as their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

Readers = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True, kw_only=True)
class Documented:
    """A value that is kept as a JSON object; ``_readers`` read what JSON writes differently."""

    _readers: ClassVar[Readers] = {}

    def to_document(self) -> dict[str, Any]:
        """Return the value as a JSON object."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the value from its JSON object; keys that it does not have are ignored.

        Raises ``TypeError`` when a field without a default is missing.
        """
        known = {f.name for f in fields(cls)}
        return cls(
            **{
                key: cls._readers[key](value) if key in cls._readers else value
                for key, value in document.items()
                if key in known
            }
        )


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: lists for tuples, and objects for what is documented."""
    if value is None or isinstance(value, str | int | float):  # most are, and asking is cheap
        return value
    if isinstance(value, Documented):
        return value.to_document()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def tuple_of(kind: type[Documented]) -> Callable[[Any], Any]:
    """Return what reads a list of documents of a kind."""
    return lambda documents: tuple(map(kind.from_document, documents))
