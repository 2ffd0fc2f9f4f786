"""Values as a database would give them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from control_plane.adapters.plain_json import dumps
from control_plane.domain.errors import InvalidInput

T = TypeVar("T")


def stored(entity: T) -> T:
    """Return a copy of an entity as its row would hold it.

    Times are in UTC, sequences are tuples, mappings are JSON objects of their own. Raises
    ``ValueError`` for a time without a zone, ``TypeError`` for what is no JSON and ``InvalidInput``
    for text that PostgreSQL cannot store.
    """
    values = {
        field.name: _stored_value(getattr(entity, field.name))
        for field in fields(entity)  # type: ignore[arg-type]  # every entity is a dataclass; a type variable cannot say so
    }
    return type(entity)(**values)


def matches(row: Any, equals: Mapping[str, Any]) -> bool:
    """Tell whether the fields of a row equal values; a collection means one of its members."""
    return all(_equal(getattr(row, name), wanted) for name, wanted in equals.items())


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple | list | set | frozenset):
        return value in wanted
    return bool(value == wanted)


def _stored_value(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)
    if isinstance(value, str):
        _check_text(value)
        return value
    if isinstance(value, Mapping):
        return _json(value)
    if isinstance(value, list | tuple):
        return tuple(_json(item) for item in value)
    return value


def _json(value: Any) -> Any:
    copy = json.loads(dumps(value))
    for text in _texts(copy):
        _check_text(text)
    return copy


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise InvalidInput("a value cannot be stored: a NUL character or a number out of range")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("a text holds characters that cannot be stored") from None
