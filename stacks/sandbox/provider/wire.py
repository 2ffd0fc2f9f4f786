"""Property maps as they travel between engine and provider, and as plain Python values.

Special values are objects with a signature key or, for an unknown, one reserved string (source:
`sdk/go/common/resource/properties.go` and `sdk/go/common/resource/plugin/rpc.go` of Pulumi).
Decoded, a property map is a `dict` of plain values in which `UNKNOWN` stands for what is not known
yet; where secrets were is kept beside it as a set of paths, so that code which compares and sends
values never meets a wrapper and the wrapper is put back on the way out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf import struct_pb2  # type: ignore[import-untyped] # no types shipped

Properties: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]
SecretPaths: TypeAlias = frozenset[Path]

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the kind's public signature
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWN_TEXTS = frozenset(
    {
        _UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # of a boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # of a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # of a list
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # of an object
    }
)

NO_SECRETS: Final[SecretPaths] = frozenset()


class Unknown:
    """A value that only exists after an operation that is still to come."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unknown":
        return self


UNKNOWN: Final = Unknown()


def decode(properties: struct_pb2.Struct) -> tuple[Properties, SecretPaths]:
    """Return the plain values of a property map and the paths at which secrets stood."""
    secrets: set[Path] = set()
    plain = {key: _decode_value(value, (key,), secrets) for key, value in properties.fields.items()}
    return plain, frozenset(secrets)


def _decode_value(value: struct_pb2.Value, path: Path, secrets: set[Path]) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWN_TEXTS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [
                _decode_value(item, (*path, index), secrets)
                for index, item in enumerate(value.list_value.values)
            ]
        case "struct_value":
            return _decode_object(value.struct_value, path, secrets)
        case _:
            return None


def _decode_object(value: struct_pb2.Struct, path: Path, secrets: set[Path]) -> Any:
    fields = value.fields
    match fields[_SIGNATURE].string_value if _SIGNATURE in fields else None:
        case None:
            return {key: _decode_value(item, (*path, key), secrets) for key, item in fields.items()}
        case signature if signature == _SECRET:
            secrets.add(path)
            return _decode_value(fields["value"], path, secrets)
        case signature if signature == _OUTPUT:
            if "secret" in fields and fields["secret"].bool_value:
                secrets.add(path)
            return _decode_value(fields["value"], path, secrets) if "value" in fields else UNKNOWN
        case signature if signature == _RESOURCE:
            known = _decode_value(fields["id"], path, secrets) if "id" in fields else UNKNOWN
            return UNKNOWN if known in (None, "") else known
        case _:  # an asset or an archive: no property takes one, its shape is refused by Check
            return {key: _decode_value(item, (*path, key), set()) for key, item in fields.items()}


def encode(properties: Mapping[str, Any], secrets: SecretPaths = NO_SECRETS) -> struct_pb2.Struct:
    """Return a property map with the values at `secrets` wrapped.

    A secret whose path runs through a list, or is not there any more, makes its whole top-level
    property secret: items of sets change their places.
    """
    names = set(properties)
    wrapped: set[Path] = set()
    for path in secrets:
        exact = all(isinstance(step, str) for step in path) and _has(properties, path)
        wrapped.add(path if exact else path[:1])
    struct = struct_pb2.Struct()
    for name in sorted(names):
        value = properties[name]
        if value is not None:
            _encode_value(struct.fields[name], value, (name,), wrapped)
    return struct


def _has(properties: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(properties, dict) or step not in properties:
            return False
        properties = properties[step]
    return True


def _encode_value(target: struct_pb2.Value, value: Any, path: Path, secrets: set[Path]) -> None:
    if path in secrets:
        target.struct_value.fields[_SIGNATURE].string_value = _SECRET
        target = target.struct_value.fields["value"]
    if isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for key, item in value.items():
            if item is not None:
                _encode_value(target.struct_value.fields[key], item, (*path, key), secrets)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for index, item in enumerate(value):
            _encode_value(target.list_value.values.add(), item, (*path, index), secrets)
    else:
        _encode_scalar(target, value)


def _encode_scalar(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, Unknown):
        target.string_value = _UNKNOWN_TEXT
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    else:
        target.string_value = str(value)


def has_unknown(value: Any) -> bool:
    """Return whether `value` is unknown or contains something unknown."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


def secret_strings(properties: Properties, secrets: Iterable[Path]) -> set[str]:
    """Return every text found at or below the secret paths, for keeping it out of messages."""
    found: set[str] = set()
    for path in secrets:
        value: Any = properties
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                value = None
        _collect(value, found)
    return found


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, str):
        found.add(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
