"""Where the values of a Terraform configuration come from.

``terraform show -json`` has the references of every expression, of module inputs and of outputs,
but not of locals: what passes through a local cannot be traced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

INSTANCE_KEY: Final = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
_CONSTANT: Final = frozenset({"each.key", "count", "path", "terraform", "self"})
_MAX_HOPS: Final = 32

Path = tuple[str, ...]


class Untraceable(Exception):
    """A value passes through something whose references the plan does not hold."""


class Configuration:
    """The ``configuration`` of a plan, asked for references.

    Addresses are without instance keys: ``module.data.aws_s3_bucket.this``.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._root: Mapping[str, Any] = document.get("root_module") or {}
        self.providers: Mapping[str, Any] = document.get("provider_config") or {}

    def resource(self, address: str) -> Mapping[str, Any] | None:
        """Return the configuration of the resource at an address, instance keys or not."""
        path, local = split_address(address)
        for entry in (self._module(path) or {}).get("resources") or ():
            if entry.get("mode") == "managed" and f"{entry['type']}.{entry['name']}" == local:
                found: Mapping[str, Any] = entry
                return found
        return None

    def references(self, address: str) -> dict[str, frozenset[str]]:
        """Return for every traceable input of a resource the addresses that it comes from."""
        entry = self.resource(address)
        path, _ = split_address(address)
        found = {}
        for name, expression in _expressions((entry or {}).get("expressions") or {}, ""):
            try:
                found[name] = self._origins(expression, path, 0)
            except Untraceable:
                continue
        return {name: origins for name, origins in found.items() if origins}

    def _module(self, path: Path) -> Mapping[str, Any] | None:
        module: Mapping[str, Any] = self._root
        for name in path:
            call = (module.get("module_calls") or {}).get(name)
            if call is None:
                return None
            module = call.get("module") or {}
        return module

    def _origins(self, expression: Mapping[str, Any], path: Path, hops: int) -> frozenset[str]:
        if hops > _MAX_HOPS:
            raise Untraceable
        names = [INSTANCE_KEY.sub("", str(name)) for name in expression.get("references") or ()]
        found: set[str] = set()
        for name in names:
            found |= self._origin(name.split("."), path, hops)
        return frozenset(found)

    def _origin(self, parts: list[str], path: Path, hops: int) -> frozenset[str]:
        head = parts[0]
        if head in _CONSTANT or ".".join(parts[:2]) in _CONSTANT:
            return frozenset()
        if head == "var":
            return self._variable(parts[1], path, hops)
        if head == "module":
            return self._output(parts, path, hops)
        if head in ("local", "each"):
            raise Untraceable
        count = 3 if head == "data" else 2
        if len(parts) < count:
            raise Untraceable
        return frozenset({_address(path, ".".join(parts[:count]))})

    def _variable(self, name: str, path: Path, hops: int) -> frozenset[str]:
        if not path:
            return frozenset()  # a variable of the root is no resource's
        calls = (self._module(path[:-1]) or {}).get("module_calls") or {}
        expressions = (calls.get(path[-1]) or {}).get("expressions") or {}
        expression = expressions.get(name)
        if not isinstance(expression, Mapping):
            return frozenset()  # the variable's default
        return self._origins(expression, path[:-1], hops + 1)

    def _output(self, parts: list[str], path: Path, hops: int) -> frozenset[str]:
        if len(parts) < 3:  # "module.name" alone: a longer reference stands beside it
            return frozenset()
        inner = (*path, parts[1])
        outputs = (self._module(inner) or {}).get("outputs") or {}
        output = outputs.get(parts[2])
        if output is None:
            raise Untraceable
        return self._origins(output.get("expression") or {}, inner, hops + 1)


def split_address(address: str) -> tuple[Path, str]:
    """Return the names of the modules, and type and name: ``(("data",), "aws_s3_bucket.this")``."""
    parts = INSTANCE_KEY.sub("", address).split(".")
    path: list[str] = []
    while len(parts) > 1 and parts[0] == "module":
        path.append(parts[1])
        parts = parts[2:]
    return tuple(path), ".".join(parts)


def _address(path: Path, local: str) -> str:
    return ".".join((*(f"module.{name}" for name in path), local))


def _expressions(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path, without list indexes, and the expression of every input that is written."""
    for name, value in tree.items():
        path = f"{prefix}{name}"
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, Mapping):
                continue
            if "references" in item or "constant_value" in item:
                yield path, item
            else:
                yield from _expressions(item, f"{path}.")
