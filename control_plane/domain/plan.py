"""A plan: what a run would change; immutable, with a digest over named parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from control_plane.domain.canonical import digest
from control_plane.domain.engine import Operation, OutputChange, PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.risk import Risk

PARTS: Final = ("operations", "spec", "state", "program", "policies", "rules", "versions")
CLOUD: Final = "cloud"  # beside these: what exists is not what the plan was made over
CHANGING: Final = frozenset({"create", "update", "replace", "delete", "import"})

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value it awaits


def plan_digest(parts: Mapping[str, str]) -> str:
    """Return the digest of a plan from the digests of its named parts.

    Raises ``ValueError`` unless exactly ``PARTS`` are given: a forgotten part would bind nothing.
    """
    if set(parts) != set(PARTS):
        raise ValueError(f"a plan digest takes the parts {', '.join(PARTS)}")
    return digest({"plan": 2, "parts": dict(parts)})


def moved_parts(approved: Mapping[str, str], present: Mapping[str, str]) -> tuple[str, ...]:
    """Name the parts that differ, in the fixed order of ``PARTS``."""
    return tuple(part for part in PARTS if approved.get(part) != present.get(part))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would change.

    ``operations`` are sorted by URN, ``resources`` are the masked inputs that policies read,
    ``outputs`` the outputs of the stack that change, ``risks`` what people should look at.
    """

    id: str
    run_id: str
    deployment_id: str
    digest: str
    parts: Mapping[str, str]
    operations: tuple[Operation, ...]
    outputs: tuple[OutputChange, ...] = ()
    resources: tuple[PlannedResource, ...]
    summary: Mapping[str, int]
    evaluation: Evaluation
    risks: tuple[Risk, ...] = ()
    created_at: datetime

    @property
    def irreversible(self) -> tuple[Operation, ...]:
        """What cannot be undone."""
        return tuple(operation for operation in self.operations if operation.irreversible)

    @property
    def is_empty(self) -> bool:
        """Whether the plan changes nothing."""
        return is_empty(self.operations, self.outputs)


@dataclass(frozen=True, kw_only=True)
class PlanHead:
    """What a list shows of a plan: how much it changes, what cannot be undone, its risks.

    ``state`` is the digest of the state that it was made over.
    """

    id: str
    summary: Mapping[str, int]
    irreversible: tuple[Operation, ...]
    risks: tuple[Risk, ...]
    state: str
    created_at: datetime


def operations_outside(
    approved: Plan, operations: Sequence[Operation], resources: Sequence[PlannedResource]
) -> list[str]:
    """Return the URNs of changes that are not inside an approved plan.

    Inside is what the plan names, and what completes it where an engine died: an update, to the
    very inputs that were approved, of a thing that it made and did not set up; the deletion of the
    old object of a replacement that it made. Values that the plan did not know yet may have become
    any. Options that change are approved by name, for what exists already.
    """
    planned = {(operation.urn, operation.op) for operation in approved.operations}
    made = {urn for urn, op in planned if op in ("create", "replace")}
    options = {operation.urn: set(operation.options) for operation in approved.operations}
    wanted = {resource.urn: resource.inputs for resource in approved.resources}
    present = {r.urn: r.inputs for r in resources if r.operation != "delete"}

    def is_inside(operation: Operation) -> bool:
        urn = operation.urn
        if urn not in made and not set(operation.options) <= options.get(urn, set()):
            return False
        if operation.op not in CHANGING or (urn, operation.op) in planned:
            return True
        if operation.op == "delete":
            return (urn, "replace") in planned and urn in present
        completes = operation.op == "update" and urn in made
        return completes and agrees(wanted.get(urn), present.get(urn))

    return [operation.urn for operation in operations if not is_inside(operation)]


def agrees(approved: object, present: object) -> bool:
    """Tell whether a value is the approved one, as far as that was known."""
    if isinstance(approved, str) and _UNKNOWN in approved:
        return True
    if isinstance(approved, Mapping) and isinstance(present, Mapping):
        return approved.keys() == present.keys() and all(
            agrees(approved[key], present[key]) for key in approved
        )
    if isinstance(approved, list) and isinstance(present, list):
        return len(approved) == len(present) and all(map(agrees, approved, present))
    return approved == present


def summarize(operations: Sequence[Operation]) -> dict[str, int]:
    """Count operations by kind, for people: ``{"create": 30, "same": 2}``."""
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation.op] = counts.get(operation.op, 0) + 1
    return dict(sorted(counts.items()))


def is_empty(operations: Sequence[Operation], outputs: Sequence[OutputChange]) -> bool:
    """Tell whether a plan changes nothing: no resource, no option of one, no output."""
    changes = any(operation.op in CHANGING or operation.options for operation in operations)
    return not changes and not outputs
