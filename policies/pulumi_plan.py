"""From our plan of a Pulumi stack to the neutral resources of the policies.

Reads the runner's ``resources``: {urn, type, name, operation, custom, inputs, protect, provider}
and, where the runner knows it, ``property_dependencies`` (input name to URNs, as in the engine's
own plan). Inputs are in camel case; secrets are masked as ``{"secret": true}`` and count as
unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.catalog import CATALOG, KIND_OF_TOKEN
from policies.model import Operation, Resource
from policies.resource_type import TypeFacts, snake

# What the engine writes for a value that is not known yet (sdk/go/common/resource/plugin/rpc.go):
# boolean, number, string, array, asset, archive, object.
UNKNOWN_MARKS: Final = (
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
)
_SIGNATURE: Final = (
    "4dabf18193072939515e22adb298388d"  # key of secrets, assets and outputs in states
)
_PROVIDER: Final = "pulumi:providers:"
_ENGINE_TYPES: Final = ("pulumi:pulumi:Stack",)
_OPERATIONS: Final = {
    "same": Operation.SAME,
    "create": Operation.CREATE,
    "import": Operation.CREATE,
    "update": Operation.UPDATE,
    "replace": Operation.REPLACE,
    "create-replacement": Operation.REPLACE,
    "import-replacement": Operation.REPLACE,
    "delete": Operation.DELETE,
    "delete-replaced": Operation.DELETE,
    "discard": Operation.DELETE,
    "discard-replaced": Operation.DELETE,
    "remove-pending-replace": Operation.DELETE,
    "read": Operation.READ,
    "read-replacement": Operation.READ,
    "refresh": Operation.SAME,
}
# Maps whose keys are the user's, and documents whose keys are IAM's: not ours to spell anew.
_AS_WRITTEN: Final = frozenset({"tags", "tagsAll", "policy", "assumeRolePolicy"})
_INVENTED: Final = re.compile(r"-?[0-9a-f]{7}\Z")  # what Pulumi adds to a logical name


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What a provider gives to its resources. None: it is not known."""

    region: str | None
    default_tags: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class Values:
    """Inputs or outputs under Terraform's names, with the paths of what is not known."""

    values: dict[str, Any]
    unknown: frozenset[str]


def resources_from_plan(planned: Sequence[Mapping[str, Any]]) -> tuple[Resource, ...]:
    """Return the resources of a plan; components, providers and the stack itself are left out.

    Raises ``ValueError`` for an operation nobody knows.
    """
    providers = providers_of(planned)
    return tuple(_resource(entry, providers) for entry in planned if is_resource(entry))


def is_resource(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry is something in a cloud."""
    kind = str(entry["type"])
    return bool(entry.get("custom", True)) and not (
        kind.startswith(_PROVIDER) or kind in _ENGINE_TYPES
    )


def providers_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, Provider]:
    """Return what each provider of a plan or state gives to its resources, by URN."""
    return {
        str(entry["urn"]): _provider(entry.get("inputs") or {})
        for entry in entries
        if str(entry["type"]).startswith(_PROVIDER)
    }


def provider_of(entry: Mapping[str, Any], providers: Mapping[str, Provider]) -> Provider:
    """Return the provider of an entry; its reference is the provider's URN, ``::`` and an id."""
    reference = str(entry.get("provider") or "")
    urn = reference if reference in providers else reference.rpartition("::")[0]
    return providers.get(urn, Provider(region=None, default_tags={}))


def neutral(inputs: Mapping[str, Any], facts: TypeFacts | None) -> Values:
    """Return properties under Terraform's names."""
    unknown: set[str] = set()
    renames = facts.renames if facts else {}
    values: dict[str, Any] = {}
    for key, value in inputs.items():
        if key.startswith("__"):
            continue
        name = snake(key)
        name = renames.get(name, name)
        values[name] = _value(value, name, unknown, as_written=key in _AS_WRITTEN)
    return Values(values=values, unknown=frozenset(unknown))


def operation_of(entry: Mapping[str, Any]) -> Operation:
    """Return the operation of an entry. Raises ``ValueError`` for one nobody knows."""
    name = str(entry.get("operation", "same"))
    if name not in _OPERATIONS:
        raise ValueError(f"the plan has an operation that is unknown to the policies: {name}")
    return _OPERATIONS[name]


def is_auto_named(entry: Mapping[str, Any], facts: TypeFacts | None, values: Values) -> bool:
    """Tell whether a tool invented the physical name.

    Providers of Terraform's kind say so in ``__defaults``; otherwise the logical name with seven
    hexadecimal digits gives it away.
    """
    names = facts.names if facts else ()
    defaults = (entry.get("inputs") or {}).get("__defaults") or ()
    renames = facts.renames if facts else {}
    defaulted = {renames.get(snake(str(item)), snake(str(item))) for item in defaults}
    logical = str(entry.get("name", ""))
    invented = False
    for name in names:
        physical = values.values.get(name)
        invented = invented or name in defaulted
        if logical and isinstance(physical, str) and physical.startswith(logical):
            invented = invented or bool(_INVENTED.match(physical[len(logical) :]))
    return invented


def _resource(entry: Mapping[str, Any], providers: Mapping[str, Provider]) -> Resource:
    kind = KIND_OF_TOKEN.get(str(entry["type"]), str(entry["type"]))
    facts = CATALOG.get(kind)
    values = neutral(entry.get("inputs") or {}, facts)
    provider = provider_of(entry, providers)
    region = values.values.get("region") or provider.region
    return Resource(
        address=str(entry["urn"]),
        kind=kind,
        name=str(entry.get("name", "")),
        inputs=values.values,
        unknown=values.unknown,
        references=_references(entry, facts),
        operation=operation_of(entry),
        protected=bool(entry.get("protect")),
        region=region if isinstance(region, str) else None,
        tags=effective_tags(values, provider),
        auto_named=is_auto_named(entry, facts, values),
    )


def effective_tags(values: Values, provider: Provider) -> dict[str, str] | None:
    """Return the provider's default tags and the resource's own; None when either is not known."""
    if provider.default_tags is None or "tags" in values.unknown:
        return None
    own = values.values.get("tags") or {}
    return {**provider.default_tags, **{key: str(text) for key, text in own.items() if text}}


def _references(entry: Mapping[str, Any], facts: TypeFacts | None) -> dict[str, tuple[str, ...]]:
    renames = facts.renames if facts else {}
    found = {}
    for key, urns in (entry.get("property_dependencies") or {}).items():
        name = snake(str(key))
        found[renames.get(name, name)] = tuple(str(urn) for urn in urns)
    return found


def _provider(inputs: Mapping[str, Any]) -> Provider:
    region = inputs.get("region")
    tags = inputs.get("defaultTags")
    if isinstance(tags, str) and not is_unknown(tags):
        tags = json.loads(tags)  # the engine keeps nested settings of providers as JSON text
    unknown: set[str] = set()
    known = _value((tags or {}), "tags", unknown, as_written=True)
    default = (known or {}).get("tags") or {}
    return Provider(
        region=region if isinstance(region, str) and not is_unknown(region) else None,
        default_tags=None if unknown else {key: str(text) for key, text in default.items()},
    )


def _value(value: object, path: str, unknown: set[str], *, as_written: bool) -> Any:
    if is_unknown(value):
        unknown.add(path)
        return None
    if isinstance(value, Mapping):
        return {
            name: _value(item, f"{path}.{name}", unknown, as_written=as_written)
            for name, item in (
                (str(key) if as_written else snake(str(key)), item)
                for key, item in value.items()
                if not str(key).startswith("__")
            )
        }
    if isinstance(value, list | tuple):
        return [
            _value(item, f"{path}.{index}", unknown, as_written=as_written)
            for index, item in enumerate(value)
        ]
    return value


def is_unknown(value: object) -> bool:
    """Tell whether a value is not known yet, or masked: neither can be judged."""
    if isinstance(value, str):
        return any(mark in value for mark in UNKNOWN_MARKS)
    return isinstance(value, Mapping) and (value == {"secret": True} or _SIGNATURE in value)
