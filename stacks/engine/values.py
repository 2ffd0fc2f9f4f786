"""Property values as the engine writes them into events, plans and states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

SIGNATURE = "4dabf18193072939515e22adb298388d"  # marks an object as a special value
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of a secret, not a secret
SECRET_MASK: Mapping[str, Any] = {"secret": True}

Decrypt = Callable[[str], bytes]  # ciphertext -> the secret as JSON
Hide = Callable[[Mapping[str, Any]], Any]  # marked secret -> what may be digested


def is_secret(value: Any) -> bool:
    """Tell whether a value is a marked secret."""
    return isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET


def masked(value: Any) -> Any:
    """Return the value with every secret as ``{"secret": true}``."""
    if is_secret(value):
        return dict(SECRET_MASK)
    if isinstance(value, Mapping):
        return {str(k): masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v) for v in value]
    return value


def hidden(value: Any, hide: Hide) -> Any:
    """Return the value with every marked secret replaced by what ``hide`` makes of it."""
    if is_secret(value):
        return {"secret": hide(value)}
    if isinstance(value, Mapping):
        return {str(k): hidden(v, hide) for k, v in value.items()}
    if isinstance(value, list):
        return [hidden(v, hide) for v in value]
    return value


def plain(value: Any, hide: Callable[[str], str]) -> Any:
    """Return what a provider answered as people read it: without the texts that ``hide`` takes out,
    and a whole number, which comes as a float, as one."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v, hide) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v, hide) for v in value]
    return value


def opened(value: Any, decrypt: Decrypt) -> Any:
    """Return the value with every secret in the open, still marked, as providers are sent it.

    Raises ``ValueError`` for special values of other kinds, which no stack of ours has: assets,
    archives and references to resources are sent in forms of their own.
    """
    if is_secret(value):
        return {
            SIGNATURE: SECRET,
            "value": opened(json.loads(decrypt(value["ciphertext"])), decrypt),
        }
    if isinstance(value, Mapping):
        if SIGNATURE in value:
            raise ValueError("a special value that is not a secret")
        return {str(k): opened(v, decrypt) for k, v in value.items()}
    if isinstance(value, list):
        return [opened(v, decrypt) for v in value]
    return value


def bared(value: Any) -> Any:
    """Return an opened value without the marks of its secrets."""
    if is_secret(value):
        return bared(value["value"])
    if isinstance(value, Mapping):
        return {k: bared(v) for k, v in value.items()}
    if isinstance(value, list):
        return [bared(v) for v in value]
    return value


def secret_names(properties: Mapping[str, Any]) -> set[str]:
    """Return the paths of secret properties, such as ``environment.token`` or ``rules[0].key``."""
    return {path for name, value in properties.items() for path in _secrets(name, value)}


def _secrets(path: str, value: Any) -> Iterator[str]:
    if is_secret(value):
        yield path
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _secrets(f"{path}.{name}", child)
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from _secrets(f"{path}[{position}]", child)


def digest(value: Any) -> str:
    """Return ``sha256:<hex>`` over the value as JSON with sorted keys and no blanks."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
