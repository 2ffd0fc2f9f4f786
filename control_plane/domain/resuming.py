"""What somebody else has changed before an interrupted apply continues.

Settling reads the cloud into the state, and what remains of the plan is then made over that: a
change of something that the plan touches would be overwritten under an approval that never saw it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control_plane.domain.engine import CloudDifference, Drift
from control_plane.domain.finding import OF_STATE
from control_plane.domain.json_paths import NOTHING, JsonPath, Several
from control_plane.domain.plan import CHANGING, Plan, agrees

_GOES = frozenset({"delete", "replace"})
_COMES = frozenset({"create", "replace", "import"})


def touched_by(plan: Plan) -> frozenset[str]:
    """Return the URNs of what a plan changes."""
    return frozenset(o.urn for o in plan.operations if o.op in CHANGING or o.options)


def drift_beside(plan: Plan, differences: Iterable[CloudDifference]) -> list[Drift]:
    """Return what differs of things that a plan leaves alone: the apply cannot have made that."""
    touched = touched_by(plan)
    return [
        Drift(
            kind=each.kind, subject=each.urn, type=each.type, path=each.path,
            expected=each.in_plan, actual=each.in_cloud,
        )
        for each in differences
        if each.urn not in touched and each.kind in OF_STATE
    ]  # fmt: skip


def changed_by_others(
    plan: Plan, differences: Iterable[CloudDifference]
) -> tuple[CloudDifference, ...]:
    """Return what differs of things that a plan changes, unless the apply itself has made it.

    It may have made them where the cloud has what was approved, since an engine whose provider died
    does not know that it was done, and where something is gone that was to go. What it created may
    be there half made; nobody had approved anything else of that, so it is completed.
    """
    wanted = {resource.urn: resource.inputs for resource in plan.resources}
    touched = touched_by(plan)
    goes = {operation.urn for operation in plan.operations if operation.op in _GOES}
    made = {operation.urn for operation in plan.operations if operation.op in _COMES}

    def is_own(found: CloudDifference) -> bool:
        if found.kind == "unhealthy" or found.urn in made:
            return True
        if found.kind == "missing":
            return found.urn in goes
        value = _at(wanted.get(found.urn), found.path)
        return found.in_cloud is None if value is NOTHING else agrees(value, found.in_cloud)

    return tuple(each for each in differences if each.urn in touched and not is_own(each))


def _at(inputs: Any, path: str) -> Any:
    try:
        return JsonPath.read(path).of(inputs)
    except (Several, ValueError):
        return NOTHING
