"""Canonical JSON and digests: equal values have equal bytes.

The form is that of RFC 8785 (JCS) for the values it can hold without doubt: objects, arrays,
strings, booleans, null and integers within +-(2^53-1). Floating point numbers are refused, since
their spelling is where implementations differ; money and large numbers are written as strings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 64
_CLOSED_KEY: Final = re.compile(r"[a-z][a-z0-9_.]*\Z")
_ATOMS: Final = frozenset({str, bool, type(None)})
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
_encode_sorted: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), sort_keys=True
).encode


class NotCanonical(ValueError):
    """A value has no canonical form, or bytes are not in it. The message quotes no content."""


def canonical_json(value: Any, *, closed_keys: bool = False) -> bytes:
    """Return the RFC 8785 bytes of ``value``.

    Mappings, lists, tuples, strings, integers, booleans and None are taken. With ``closed_keys``
    every key must match ``[a-z][a-z0-9_.]*``, the form of audit event bodies. Raises
    ``NotCanonical`` for anything else: floats (NaN and infinities included), integers beyond
    2^53-1, keys that are not strings, lone surrogates, more than 64 levels.
    """
    try:
        if _is_plain(value, closed_keys, 0):
            return _encode_sorted(value).encode()
        return _encode(_ordered(value, closed_keys, 0)).encode()
    except UnicodeEncodeError as exc:
        raise NotCanonical("a string holds a lone surrogate, which UTF-8 cannot carry") from exc


def digest(value: Any) -> str:
    """Return ``sha256:<hex>`` over the canonical JSON of ``value``. Raises ``NotCanonical``."""
    return f"sha256:{hashlib.sha256(canonical_json(value)).hexdigest()}"


def digest_bytes(content: bytes) -> str:
    """Return ``sha256:<hex>`` over bytes as they are."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def parse_canonical(content: bytes, *, closed_keys: bool = False) -> Any:
    """Return the value whose canonical form ``content`` is, byte for byte.

    That excludes repeated keys: a plain JSON parser silently keeps the last. Raises
    ``NotCanonical``.
    """
    try:
        value = _decode(content.decode())
    except NotCanonical:
        raise
    except (ValueError, RecursionError) as exc:
        raise NotCanonical("not JSON") from exc
    if closed_keys:
        _check_closed(value, 0)
        is_canonical = _encode_sorted(value).encode("utf-8", "replace") == content
    else:
        is_canonical = canonical_json(value) == content
    if not is_canonical:
        raise NotCanonical("JSON, but not in its canonical form")
    return value


def _check_closed(value: Any, depth: int) -> None:
    """Check keys and depth of a parsed value; under closed keys, sorting is by ASCII only."""
    if depth > MAX_DEPTH:
        raise NotCanonical(f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not _CLOSED_KEY.match(key):
                raise NotCanonical("a key is not of the form [a-z][a-z0-9_.]*")
            if isinstance(item, dict | list):
                _check_closed(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                _check_closed(item, depth + 1)


def _bounded(spelling: str) -> int:
    if len(spelling) > len(str(-MAX_INTEGER)):
        raise NotCanonical("an integer beyond 2^53-1; write it as a string")
    number = int(spelling)
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise NotCanonical("an integer beyond 2^53-1; write it as a string")
    return number


def _refuse(_spelling: str) -> NoReturn:
    raise NotCanonical("floating point numbers have no canonical form; write them as strings")


# made once: making it takes as long as reading an event
_decode: Final = json.JSONDecoder(
    parse_int=_bounded, parse_float=_refuse, parse_constant=_refuse
).decode


def _is_plain(value: Any, closed_keys: bool, depth: int) -> bool:
    """Tell whether the encoder itself writes a value in its canonical form.

    It does for the types of JSON, and sorts ASCII keys as RFC 8785 does. It is much faster than
    ``_ordered``, which takes every other value, and says what is wrong with it.
    """
    kind = type(value)
    if kind is int:
        return -MAX_INTEGER <= int(value) <= MAX_INTEGER
    if kind in _ATOMS:
        return True
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        is_good = _is_closed if closed_keys else _is_ascii
        return all(map(is_good, value)) and _are_plain(value.values(), closed_keys, depth + 1)
    return (kind is list or kind is tuple) and _are_plain(value, closed_keys, depth + 1)


def _are_plain(values: Iterable[Any], closed_keys: bool, depth: int) -> bool:
    for value in values:  # a generator would take twice as long
        if type(value) is not str and not _is_plain(value, closed_keys, depth):
            return False
    return True


@lru_cache(maxsize=4096)  # the keys of events are few, and each event has dozens
def _is_closed(key: Any) -> bool:
    return type(key) is str and _CLOSED_KEY.match(key) is not None


@lru_cache(maxsize=4096)
def _is_ascii(key: Any) -> bool:
    return type(key) is str and key.isascii()


def _ordered(value: Any, closed_keys: bool, depth: int) -> Any:
    """Return ``value`` with sorted keys, or raise: what is returned encodes canonically."""
    if value is None or value is True or value is False or isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        raise NotCanonical(f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {
            key: _ordered(value[key], closed_keys, depth + 1)
            for key in _sorted_keys(value, closed_keys)
        }
    if isinstance(value, list | tuple):
        return [_ordered(item, closed_keys, depth + 1) for item in value]
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise NotCanonical("an integer beyond 2^53-1; write it as a string")
        return int(value)
    if isinstance(value, float):
        _refuse("")
    raise NotCanonical(f"a {type(value).__name__} has no canonical form")


def _sorted_keys(value: Mapping[Any, Any], closed_keys: bool) -> list[str]:
    """Return the keys in the order of RFC 8785 §3.2.3: by UTF-16 code units."""
    keys = list(value)
    plain = True
    for key in keys:
        if not isinstance(key, str):
            raise NotCanonical("a key is not a string")
        if closed_keys and not _CLOSED_KEY.match(key):
            raise NotCanonical("a key is not of the form [a-z][a-z0-9_.]*")
        plain = plain and key.isascii()
    # code points and UTF-16 code units order ASCII alike, and only surrogate pairs differently
    return sorted(keys) if plain else sorted(keys, key=_utf16)


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")
