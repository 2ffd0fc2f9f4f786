"""Checking a bundle's variables against their schema, with sentences that a person can act on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from control_plane.domain.errors import InvalidInput
from control_plane.ports import Json

# Keyword of our schemas: what to say when a keyword beside it does not hold. Validators ignore it.
_SENTENCES: Final = "sentences"
_SHOWN: Final = 5


def check_variables(schema: Path, variables: Json, *, is_draft: bool) -> None:
    """Validate variables; in a draft ``account_id`` may be empty, since it is known last.

    Raises ``InvalidInput`` with every wrong field: ``fields`` are {field, reason}, ``field`` is
    the first of them.
    """
    found: list[tuple[str, str]] = []
    for error in _validator(schema).iter_errors(dict(variables)):
        if is_draft and list(error.absolute_path) == ["account_id"] and error.instance == "":
            continue
        found += _wrong(error)
    if not found:
        return
    fields = [{"field": field, "reason": reason} for field, reason in sorted(set(found))]
    told = "; ".join(f"{item['field']}: {item['reason']}" for item in fields[:_SHOWN])
    more = f"; and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    raise InvalidInput(told + more, field=fields[0]["field"], fields=fields)


@cache
def _validator(schema: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))


def _wrong(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield path and sentence of what one error is about."""
    path = ["inputs", *(str(part) for part in error.absolute_path)]
    kind = str(error.validator)
    schema: Any = error.schema
    instance: Any = error.instance
    limit: Any = error.validator_value
    sentence = schema.get(_SENTENCES, {}).get(kind)
    if kind == "required":
        missing = error.message.split("'")[1]
        yield ".".join([*path, missing]), "is missing"
    elif kind == "additionalProperties":
        known = schema.get("properties", {})
        for name in sorted(set(instance) - set(known)):
            yield (
                ".".join([*path, str(name)[:60]]),
                sentence or f"is unknown; known are {', '.join(sorted(known))}",
            )
    elif sentence is not None:
        yield ".".join(path), sentence
    elif kind == "enum":
        allowed = ", ".join(str(value) for value in limit)
        yield ".".join(path), f"must be one of {allowed}"
    elif kind == "const":
        yield ".".join(path), f"must be {limit}"
    elif kind in {"minimum", "maximum"}:
        word = "at least" if kind == "minimum" else "at most"
        yield ".".join(path), f"must be {word} {limit}"
    else:
        yield ".".join(path), error.message[:300]
