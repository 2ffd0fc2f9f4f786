"""What is wrong with a field, in a plain sentence for each of pydantic's kinds of error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_SHOWN_VALUES: Final = 6
_FIXED: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "json_invalid": "is not JSON",
}
_LIMITS: Final = {
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_pattern_mismatch": "does not match the pattern {pattern}",
}
_QUOTED: Final = re.compile(r"'([^']*)'")


def sentence(error: Mapping[str, Any]) -> str:
    """Return what is wrong, without the field's name: ``must be a whole number``.

    ``error`` is one of pydantic's. Long lists of values are cut.
    """
    kind, context = str(error.get("type", "")), error.get("ctx") or {}
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in {"string_too_short", "too_short"} and context.get("min_length") == 1:
        return "must not be empty"
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    if kind in {"literal_error", "enum"}:
        return f"must be one of {_values(str(context.get('expected', '')))}"
    if kind == "value_error" and "error" in context:
        return str(context["error"])
    return str(error["msg"])


def _values(expected: str) -> str:
    names = _QUOTED.findall(expected) or [expected]
    more = len(names) - _SHOWN_VALUES
    shown = ", ".join(names[:_SHOWN_VALUES] if more > 1 else names)
    return f"{shown} and {more} more (see /openapi.json)" if more > 1 else shown
