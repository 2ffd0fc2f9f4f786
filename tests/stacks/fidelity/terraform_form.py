"""Pulumi's inputs in the form of Terraform's provider.

Pulumi writes names in camel case, lists of more than one in the plural, single blocks without
their list; the provider's schema says which of these a field is. What the schema has no place for
is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.contract import UNKNOWN
from tests.stacks.fidelity.plugin_protocol import UNKNOWN_VALUE, Refused, attribute_type

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"

_LIST, _SET, _MAP = 2, 3, 4  # kinds of nesting of a block

# module of pulumi_aws -> what Terraform's names begin with after "aws_"
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "ec2": ("", "ec2_"),
    "vpc": ("vpc_", ""),
    "rds": ("db_", "rds_"),
}
# fields that are named otherwise; by type and path in the schema
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "aws_cloudwatch_metric_alarm": {"alarm_name": "name"},
    "aws_default_security_group": {"ingress": "ingress", "egress": "egress"},
    "aws_security_group": {"ingress": "ingress", "egress": "egress"},
}
# blocks that the schema repeats and Pulumi does not
_SINGLE: Mapping[str, frozenset[str]] = {
    "aws_s3_bucket_lifecycle_configuration": frozenset(
        {
            "rule.abort_incomplete_multipart_upload",
            "rule.expiration",
            "rule.filter",
            "rule.filter.and",
            "rule.filter.tag",
            "rule.noncurrent_version_expiration",
        }
    ),
    "provider": frozenset({"default_tags"}),
}


def terraform_type(token: str, known: Mapping[str, Any]) -> str:
    """Return the Terraform type of a Pulumi token such as ``aws:s3/bucket:Bucket``."""
    found = re.fullmatch(r"aws:(\w+)/\w+:(\w+)", token)
    if found is None:
        raise Refused(f"{token} is not a type of the AWS provider")
    module, name = found[1], _snake(found[2])
    for prefix in _PREFIXES.get(module, (f"{module}_", "")):
        if f"aws_{prefix}{name}" in known:
            return f"aws_{prefix}{name}"
    raise Refused(f"{token} has no counterpart in Terraform's provider")


def configuration(type_: str, block: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that ``inputs`` are. Raises ``Refused`` for what has no place."""
    return _Form(type_).block(block, inputs, "")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _plurals(name: str) -> tuple[str, ...]:
    if name.endswith("s"):
        return (name, f"{name}es")
    return (f"{name}s", f"{name}es", f"{name[:-1]}ies", f"{name[:-2]}ices", name)


class _Form:
    """Puts the inputs of one resource in form."""

    def __init__(self, type_: str) -> None:
        self._renamed = _RENAMED.get(type_, {})
        self._single = _SINGLE.get(type_, frozenset())

    def block(self, block: Any, inputs: Any, path: str) -> dict[str, Any]:
        if not isinstance(inputs, Mapping):
            raise Refused(f"{path}: a block is wanted, not {inputs!r}")
        left = {key: value for key, value in inputs.items() if not key.startswith("__")}
        formed: dict[str, Any] = {}
        for attribute in block.attributes:
            type_ = attribute_type(attribute)
            many = isinstance(type_, list) and type_[0] in ("list", "set")
            value = self._take(left, attribute.name, path, many=many)
            formed[attribute.name] = _value(type_, value, _joined(path, attribute.name))
        for nested in block.block_types:
            inner = _joined(path, nested.type_name)
            repeated = nested.nesting in (_LIST, _SET)
            many = repeated and nested.max_items != 1 and inner not in self._single
            value = self._take(left, nested.type_name, path, many=many)
            formed[nested.type_name] = self._nested(nested, value, inner)
        if left:
            raise Refused(f"no such input: {', '.join(_joined(path, key) for key in sorted(left))}")
        return formed

    def _nested(self, nested: Any, value: Any, path: str) -> Any:
        if nested.nesting in (_LIST, _SET):
            if value == UNKNOWN:
                return UNKNOWN_VALUE
            items = [] if value is None else value if isinstance(value, list) else [value]
            return [
                UNKNOWN_VALUE if item == UNKNOWN else self.block(nested.block, item, path)
                for item in items
            ]
        if nested.nesting == _MAP:
            return {key: self.block(nested.block, one, path) for key, one in (value or {}).items()}
        return None if value is None else self.block(nested.block, value, path)

    def _take(self, left: dict[str, Any], name: str, path: str, *, many: bool) -> Any:
        for candidate in self._candidates(name, path, many=many):
            if candidate in left:
                return _plain(left.pop(candidate))
        return None

    def _candidates(self, name: str, path: str, *, many: bool) -> Iterator[str]:
        renamed = self._renamed.get(_joined(path, name))
        if renamed is not None:
            yield renamed
            return
        if many:
            yield from _plurals(_camel(name))
        yield _camel(name)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _plain(value: Any) -> Any:
    """Return what a secret wraps, or stands for when it is encrypted."""
    if isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET:
        return _plain(value["value"]) if "value" in value else "a-secret-value"
    return value


def _value(type_: Any, value: Any, path: str) -> Any:
    value = _plain(value)
    if value is None:
        return None
    if value == UNKNOWN:
        return UNKNOWN_VALUE
    if isinstance(type_, str):
        return _scalar(type_, value, path)
    kind, inner = type_
    if kind in ("list", "set"):
        items = value if isinstance(value, list) else [value]
        return [_value(inner, item, f"{path}[{index}]") for index, item in enumerate(items)]
    if not isinstance(value, Mapping):
        raise Refused(f"{path}: a map is wanted, not {value!r}")
    if kind == "map":
        return {key: _value(inner, one, f"{path}.{key}") for key, one in value.items()}
    return _object(inner, value, path)


def _object(fields: Mapping[str, Any], value: Mapping[str, Any], path: str) -> dict[str, Any]:
    left = dict(value)
    formed: dict[str, Any] = dict.fromkeys(fields)
    for name, type_ in fields.items():
        for candidate in (_camel(name), *_plurals(_camel(name))):
            if candidate in left:
                formed[name] = _value(type_, left.pop(candidate), f"{path}.{name}")
                break
    if left:
        raise Refused(f"no such input: {', '.join(f'{path}.{key}' for key in sorted(left))}")
    return formed


def _scalar(type_: str, value: Any, path: str) -> Any:
    if isinstance(value, (list, Mapping)):
        raise Refused(f"{path}: a {type_} is wanted, not {value!r}")
    if type_ == "string":
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if type_ == "bool":
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise Refused(f"{path}: a bool is wanted, not {value!r}")
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise Refused(f"{path}: a number is wanted, not {value!r}") from None
