"""How two plans of one deployment differ, for those who decide on the newer one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.domain.engine import Operation, OutputChange
from control_plane.domain.plan import CHANGING, Plan, moved_parts
from control_plane.domain.spec import Difference, differences

_Key = tuple[str, bool]  # URN, and whether it is what a replacement has left to be deleted


@dataclass(frozen=True, kw_only=True)
class ChangedOperation:
    """What two plans do otherwise with one resource.

    ``inputs`` are those that it would have otherwise: ``before`` as the older plan has them.
    """

    before: Operation
    after: Operation
    inputs: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True)
class PlanComparison:
    """What the newer of two plans does and the older one does not, and the other way round.

    Operations are those that change something. ``outputs`` are changes of outputs that only the
    newer plan has, or has with other values; ``parts`` are the parts of the digest that differ.
    Compared with no plan, all of the newer one is added.
    """

    older: Plan | None
    newer: Plan
    parts: tuple[str, ...]
    added: tuple[Operation, ...]
    removed: tuple[Operation, ...]
    changed: tuple[ChangedOperation, ...]
    outputs: tuple[OutputChange, ...]


def compare(older: Plan | None, newer: Plan) -> PlanComparison:
    """Return how a plan differs from an older one; operations stay sorted by URN."""
    before = _operations(older) if older is not None else {}
    inputs_before = _inputs(older) if older is not None else {}
    after, inputs_after = _operations(newer), _inputs(newer)
    known_outputs = older.outputs if older is not None else ()
    changed = (
        ChangedOperation(
            before=before[key],
            after=operation,
            inputs=differences(inputs_before.get(key, {}), inputs_after.get(key, {})),
        )
        for key, operation in after.items()
        if key in before
    )
    return PlanComparison(
        older=older,
        newer=newer,
        parts=moved_parts(older.parts if older is not None else {}, newer.parts),
        added=tuple(operation for key, operation in after.items() if key not in before),
        removed=tuple(operation for key, operation in before.items() if key not in after),
        changed=tuple(each for each in changed if each.before != each.after or each.inputs),
        outputs=tuple(each for each in newer.outputs if each not in known_outputs),
    )


def _operations(plan: Plan) -> Mapping[_Key, Operation]:
    keys = _keys([(each.urn, each.op) for each in plan.operations])
    return {
        key: each
        for key, each in zip(keys, plan.operations, strict=True)
        if each.op in CHANGING or each.options
    }


def _inputs(plan: Plan) -> Mapping[_Key, Mapping[str, Any]]:
    keys = _keys([(each.urn, each.operation) for each in plan.resources])
    return {key: each.inputs for key, each in zip(keys, plan.resources, strict=True)}


def _keys(done: Sequence[tuple[str, str]]) -> list[_Key]:
    """Return a key for each URN with what is done: one resource may be two, one of them old."""
    living = {urn for urn, op in done if op != "delete"}
    return [(urn, op == "delete" and urn in living) for urn, op in done]
