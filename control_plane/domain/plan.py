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


def summarize(operations: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count operations by kind, for people: ``{"create": 30, "same": 2}``."""
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation["op"]] = counts.get(operation["op"], 0) + 1
    return dict(sorted(counts.items()))


def is_empty(operations: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a plan changes nothing."""
    return not any(operation["op"] in CHANGING for operation in operations)
