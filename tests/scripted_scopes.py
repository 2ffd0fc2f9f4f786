"""What the scripted engine does within a scope, and what its looks see of a stack."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from control_plane.domain.engine import Drift, Place
from control_plane.ports import Json
from control_plane.ports.engine import EngineCall
from tests.scripted_resources import made
from tests.scripted_stacks import ScriptedStack


def take_in(stack: ScriptedStack, urns: Collection[str]) -> None:
    """Bring the state to what the cloud has of some resources."""
    for urn in urns:
        values = stack.changed.pop(urn, None)
        if values is not None and urn in stack.resources:
            found = stack.resources[urn]
            stack.resources[urn] = made({**found, "inputs": {**found["inputs"], **values}})
        if urn in stack.lost:
            stack.lost.discard(urn)
            stack.resources.pop(urn, None)


def read(stack: ScriptedStack, urns: Collection[str]) -> ScriptedStack:
    """Return a stack as it is once some resources were read again."""
    found = copy.deepcopy(stack)
    take_in(found, urns)
    return found


def within(
    stack: ScriptedStack, urns: Collection[str], wanted: Sequence[Json]
) -> list[dict[str, Any]]:
    """Return what is wanted of a scope, and of everything else what the state has."""
    inside = [dict(item) for item in wanted if item["urn"] in urns]
    return [*inside, *(item for urn, item in stack.resources.items() if urn not in urns)]


def drift_of(stack: ScriptedStack) -> Iterator[Drift]:
    """Yield what is otherwise in the cloud, by property."""
    for urn, values in sorted(stack.changed.items()):
        item = stack.resources[urn]
        for path, value in sorted(values.items()):
            yield Drift(
                kind="changed", subject=urn, type=str(item["type"]), path=path,
                expected=item["inputs"].get(path), actual=value,
            )  # fmt: skip


def places_of(stack: ScriptedStack, call: EngineCall) -> Iterator[Place]:
    """Yield where the resources of a stack are."""
    for urn, item in sorted(stack.resources.items()):
        if urn not in stack.lost:
            kind = str(item["type"])
            region = "global" if kind.startswith("aws:iam/") else call.region
            yield Place(subject=urn, type=kind, what="resource", region=region)
