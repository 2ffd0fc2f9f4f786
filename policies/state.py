"""From the resources of a state, after an apply, to the neutral resources of the policies.

What exists counts, so outputs go before inputs. The same rules run over it as over the plan, with
``Stage.STATE``: what was not known then must be known now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from policies.catalog import CATALOG, KIND_OF_TOKEN
from policies.model import Operation, Resource
from policies.pulumi_plan import (
    Provider,
    Values,
    effective_tags,
    is_auto_named,
    is_resource,
    neutral,
    provider_of,
    providers_of,
)


def resources_from_state(entries: Sequence[Mapping[str, Any]]) -> tuple[Resource, ...]:
    """Return the resources of a state, as the runner exports them with secrets masked.

    An entry is {urn, type, name, custom, inputs, outputs, protect, provider}. What a failed
    replacement left to be deleted exists until it is, beside the living resource of the same URN,
    and is judged like it; what is not managed here (``external``) is not.
    """
    providers = providers_of(entries)
    return tuple(_resource(entry, providers) for entry in entries if is_resource(entry))


def _resource(entry: Mapping[str, Any], providers: Mapping[str, Provider]) -> Resource:
    kind = KIND_OF_TOKEN.get(str(entry["type"]), str(entry["type"]))
    facts = CATALOG.get(kind)
    inputs = neutral(entry.get("inputs") or {}, facts)
    values = merged(inputs, neutral(entry.get("outputs") or {}, facts))
    provider = provider_of(entry, providers)
    region = values.values.get("region") or provider.region
    return Resource(
        address=str(entry["urn"]),
        kind=kind,
        name=str(entry.get("name", "")),
        inputs=values.values,
        unknown=values.unknown,
        operation=Operation.READ if entry.get("external") else Operation.SAME,
        protected=bool(entry.get("protect")),
        region=region if isinstance(region, str) else None,
        tags=_tags(values, provider),
        auto_named=is_auto_named(entry, facts, inputs),
    )


def merged(inputs: Values, outputs: Values) -> Values:
    """Return outputs over inputs; an output that is null says nothing."""
    said = {
        name
        for name, value in outputs.values.items()
        if value is not None or name in outputs.unknown
    }
    kept = {path for path in inputs.unknown if path.partition(".")[0] not in said}
    return Values(
        values={**inputs.values, **{name: outputs.values[name] for name in said}},
        unknown=frozenset(kept | outputs.unknown),
    )


def _tags(values: Values, provider: Provider) -> dict[str, str] | None:
    every = values.values.get("tags_all")
    if isinstance(every, Mapping) and every:
        return {str(key): str(text) for key, text in every.items() if text}
    return effective_tags(values, provider)
