"""From ``terraform show -json <plan>`` to the neutral resources of the policies.

Values that the provider computes and nobody configured count as absent, not as unknown: what a
configuration leaves open, it does not ensure. Sensitive values are masked and count as unknown.

What is adopted (``importing``) counts as created, as an import of Pulumi does: it is under this
configuration from then on, even where the plan says that nothing is to be done to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from policies.catalog import CATALOG
from policies.model import UNKNOWN, Operation, Resource
from policies.terraform_references import INSTANCE_KEY, Configuration

_FORMAT: Final = "1."
_OPERATIONS: Final[Mapping[tuple[str, ...], Operation]] = {
    ("no-op",): Operation.SAME,
    ("create",): Operation.CREATE,
    ("update",): Operation.UPDATE,
    ("delete",): Operation.DELETE,
    ("read",): Operation.READ,
    ("forget",): Operation.READ,
    ("delete", "create"): Operation.REPLACE,
    ("create", "delete"): Operation.REPLACE,
    ("create", "forget"): Operation.REPLACE,
}


def resources_from_terraform(
    plan: Mapping[str, Any], *, region: str | None = None
) -> tuple[Resource, ...]:
    """Return the managed resources of a plan; data sources are left out.

    ``region`` stands in for a provider whose region the plan does not show. Raises ``ValueError``
    for what is not a complete plan in a known format here.
    """
    if not str(plan.get("format_version", "")).startswith(_FORMAT):
        raise ValueError("not a plan in the JSON format 1 of `terraform show -json`")
    if plan.get("errored"):
        raise ValueError("the Terraform plan is not complete: planning ended with an error")
    configuration = Configuration(plan.get("configuration") or {})
    regions = _regions(plan, configuration)
    found = [
        _resource(change, configuration, regions, region)
        for change in plan.get("resource_changes") or ()
        if change.get("mode") == "managed" and not change.get("deposed")
    ]
    return tuple(_linked(resource, found, configuration) for resource in found)


def _resource(
    entry: Mapping[str, Any],
    configuration: Configuration,
    regions: Mapping[str, str],
    fallback: str | None,
) -> Resource:
    change = entry["change"]
    address = str(entry["address"])
    config = configuration.resource(address)
    written = set((config or {}).get("expressions") or {}) if config is not None else None
    operation = _operation(change.get("actions") or ())
    if operation is Operation.SAME and change.get("importing") is not None:
        operation = Operation.CREATE
    moved_from = entry.get("previous_address")
    after = change.get("after") or change.get("before") or {}
    paths = set(_marked(change.get("after_unknown"), ""))
    unknown = {path for path in paths if written is None or path.partition(".")[0] in written}
    masked = set(_marked(change.get("after_sensitive"), ""))
    tags, unknown_tags = _tags(after, paths)
    return Resource(
        address=address,
        kind=str(entry["type"]),
        name=str(entry["name"]),
        inputs=_masked(after, "", masked),
        unknown=frozenset(unknown | masked | unknown_tags),
        operation=operation,
        region=_region(after, config, regions) or fallback,
        tags=tags,
        moved_from=str(moved_from) if moved_from not in (None, address) else None,
    )


def _operation(actions: Sequence[str]) -> Operation:
    if tuple(actions) not in _OPERATIONS:
        raise ValueError(f"the plan has actions that are unknown to the policies: {list(actions)}")
    return _OPERATIONS[tuple(actions)]


def _marked(tree: object, path: str) -> Iterator[str]:
    """Yield the paths that a tree of marks (``after_unknown``, ``after_sensitive``) sets."""
    if tree is True:
        yield path
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(tree, Mapping):
        items = iter(tree.items())
    elif isinstance(tree, list):
        items = iter(enumerate(tree))
    for key, item in items:
        yield from _marked(item, f"{path}.{key}" if path else str(key))


def _masked(value: Any, path: str, masked: set[str]) -> Any:
    if path in masked:
        return None
    prefix = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {key: _masked(item, f"{prefix}{key}", masked) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, f"{prefix}{index}", masked) for index, item in enumerate(value)]
    return value


def _tags(after: Mapping[str, Any], unknown: set[str]) -> tuple[dict[str, str] | None, set[str]]:
    """Return the effective tags, None when they are not known, and the paths of unknown ones."""
    name = "tags_all" if "tags_all" in after or "tags_all" in unknown else "tags"
    if name in unknown:
        return None, set()
    known = {key: str(text) for key, text in (after.get(name) or {}).items() if text}
    lost = {path.partition(".")[2] for path in unknown if path.startswith(f"{name}.")}
    return known, {f"tags.{key}" for key in lost}


def _region(
    after: Mapping[str, Any], config: Mapping[str, Any] | None, regions: Mapping[str, str]
) -> str | None:
    own = after.get("region")
    if isinstance(own, str):
        return own
    key = str((config or {}).get("provider_config_key", ""))
    return regions.get(key) or regions.get(key.rpartition(":")[2])


def _regions(plan: Mapping[str, Any], configuration: Configuration) -> dict[str, str]:
    """Return the regions of the providers whose region is written out or is a root variable."""
    variables = plan.get("variables") or {}
    found = {}
    for key, provider in configuration.providers.items():
        expression = (provider.get("expressions") or {}).get("region") or {}
        value = expression.get("constant_value")
        for reference in (expression.get("references") or ())[:1]:
            head, *rest = reference.split(".")
            value = variables if head == "var" else None
            for index, part in enumerate(rest):
                value = value.get(part) if isinstance(value, Mapping) else None
                if index == 0 and isinstance(value, Mapping):
                    value = value.get("value")
        if isinstance(value, str):
            found[key] = value
    return found


def _linked(
    resource: Resource, every: Sequence[Resource], configuration: Configuration
) -> Resource:
    """Return the resource with the addresses that its values come from.

    An unknown bucket that is certainly a bucket of this plan is replaced by that bucket's name:
    ``aws_s3_bucket.data.id`` is unknown until the apply, its name is not.
    """
    references = {
        path: _instances(origins, resource.address, every)
        for path, origins in configuration.references(resource.address).items()
    }
    inputs, unknown = dict(resource.inputs), set(resource.unknown)
    facts = CATALOG.get(resource.kind)
    by_address = {each.address: each for each in every}
    for path in facts.buckets if facts else ():
        origins = references.get(path, ())
        bucket = by_address.get(origins[0]) if len(origins) == 1 else None
        if resource.value(path) is UNKNOWN and bucket and bucket.kind == "aws_s3_bucket":
            name = bucket.value("bucket")
            if isinstance(name, str):
                inputs[path] = name
                unknown.discard(path)
    return replace(resource, references=references, inputs=inputs, unknown=frozenset(unknown))


def _instances(origins: frozenset[str], address: str, every: Sequence[Resource]) -> tuple[str, ...]:
    """Return the instances of configured addresses; of several the one with the same key."""
    found = []
    for origin in sorted(origins):
        instances = [each.address for each in every if INSTANCE_KEY.sub("", each.address) == origin]
        key = _last_key(address)
        same = [each for each in instances if key and _last_key(each) == key]
        found.extend(same if len(instances) > 1 and len(same) == 1 else instances or [origin])
    return tuple(found)


def _last_key(address: str) -> str:
    matches = list(INSTANCE_KEY.finditer(address))
    return matches[-1].group() if matches and address.endswith(matches[-1].group()) else ""
