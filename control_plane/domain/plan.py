"""A plan: what a run would change; immutable, with a digest over named parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.domain.canonical import digest

PARTS: Final = ("operations", "spec", "state", "program", "policies", "versions")
CHANGING: Final = frozenset(
    {"create", "update", "replace", "delete", "create-replacement", "delete-replaced", "import"}
)

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the engine's mark of a value it awaits


def plan_digest(parts: Mapping[str, str]) -> str:
    """Return the digest of a plan from the digests of its named parts.

    Raises ``ValueError`` unless exactly ``PARTS`` are given: a forgotten part would bind nothing.
    """
    if set(parts) != set(PARTS):
        raise ValueError(f"a plan digest takes the parts {', '.join(PARTS)}")
    return digest({"plan": 1, "parts": dict(parts)})


def moved_parts(approved: Mapping[str, str], present: Mapping[str, str]) -> tuple[str, ...]:
    """Name the parts that differ, in the fixed order of ``PARTS``."""
    return tuple(part for part in PARTS if approved.get(part) != present.get(part))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would change.

    ``operations`` are plain JSON objects {urn, type, name, op, diffs, protect, secrets}, sorted by
    URN. ``resources`` are the masked inputs that policies read. ``irreversible`` lists what cannot
    be undone. ``evaluation`` is the policy evaluation. ``saved_plan_ref`` is the object that holds
    the engine's own plan, encrypted.
    """

    id: str
    run_id: str
    deployment_id: str
    digest: str
    parts: Mapping[str, str]
    operations: Sequence[Mapping[str, Any]]
    resources: Sequence[Mapping[str, Any]]
    summary: Mapping[str, int]
    irreversible: Sequence[Mapping[str, Any]] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    saved_plan_ref: str | None = None
    created_at: datetime


def beyond(
    approved: Plan,
    operations: Sequence[Mapping[str, Any]],
    resources: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return the URNs of changes that are not inside an approved plan.

    Inside is what the plan names, and what completes a create that it names: an engine that died
    between making a thing and setting it up plans an update of it, to the very inputs that were
    approved. Values that the plan did not know yet may have become any.
    """
    planned = {(op["urn"], op["op"]) for op in approved.operations}
    wanted = {resource["urn"]: resource["inputs"] for resource in approved.resources}
    present = {resource["urn"]: resource["inputs"] for resource in resources}

    def is_inside(operation: Mapping[str, Any]) -> bool:
        urn = operation["urn"]
        if (urn, operation["op"]) in planned:
            return True
        completes = operation["op"] == "update" and (urn, "create") in planned
        return completes and _agrees(wanted.get(urn), present.get(urn))

    return [op["urn"] for op in operations if op["op"] in CHANGING and not is_inside(op)]


def _agrees(approved: object, present: object) -> bool:
    """Tell whether a value is the approved one, as far as that was known."""
    if isinstance(approved, str) and _UNKNOWN in approved:
        return True
    if isinstance(approved, Mapping) and isinstance(present, Mapping):
        return approved.keys() == present.keys() and all(
            _agrees(approved[key], present[key]) for key in approved
        )
    if isinstance(approved, list) and isinstance(present, list):
        return len(approved) == len(present) and all(map(_agrees, approved, present))
    return approved == present


def summarize(operations: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count operations by kind, for people: ``{"create": 30, "same": 2}``."""
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation["op"]] = counts.get(operation["op"], 0) + 1
    return dict(sorted(counts.items()))


def is_empty(operations: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a plan changes nothing."""
    return not any(operation["op"] in CHANGING for operation in operations)
