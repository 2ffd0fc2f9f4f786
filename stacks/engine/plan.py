"""From the events of a preview and its saved plan to what is shown, judged and approved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stacks.contract import PlannedOperation, PlannedResource
from stacks.engine.failures import name_of
from stacks.engine.values import Hide, digest, hidden, masked, secret_names

_REPLACEMENT = ("replace", "create-replacement", "delete-replaced")
_LOOKING = ("refresh", "read-discard", "discard")  # steps that change nothing in the cloud

Step = Mapping[str, Any]


def operations_of(steps: Sequence[Step]) -> tuple[PlannedOperation, ...]:
    """Return one operation per resource, sorted by URN; the three steps of a replacement are one.

    ``steps`` is the metadata of the events that the engine sent before each step.
    """
    grouped: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        if _op(step) not in _LOOKING:
            grouped.setdefault((str(step["urn"]), _op(step)), []).append(step)
    return tuple(_operation(urn, op, grouped[urn, op]) for urn, op in sorted(grouped))


def resources_of(steps: Sequence[Step]) -> tuple[PlannedResource, ...]:
    """Return what policies judge: the inputs of every resource as it would be, sorted by URN.

    For a deletion they are those that it has. Secrets are masked, unknown values are the engine's
    mark.
    """
    found: dict[tuple[str, str], PlannedResource] = {}
    for step in steps:
        op = _op(step)
        if op in _LOOKING or str(step["op"]) == "delete-replaced":
            continue
        state = _present(step)
        if state is not None:
            found[str(step["urn"]), op] = PlannedResource(
                urn=step["urn"],
                type=step["type"],
                name=name_of(step["urn"]),
                operation=op,
                custom=bool(state.get("custom")),
                inputs=masked(state.get("inputs") or {}),
                protect=bool(state.get("protect")),
                parent=state.get("parent") or None,
                provider=state.get("provider") or step.get("provider") or None,
            )
    return tuple(found[key] for key in sorted(found))


def outputs_of(done: Sequence[Step]) -> dict[str, Any]:
    """Return the stack's outputs as the preview knows them, secrets masked."""
    for step in reversed(done):
        if step["type"] == "pulumi:pulumi:Stack":
            return dict(masked((step.get("new") or {}).get("outputs") or {}))
    return {}


def operations_digest(
    operations: Sequence[PlannedOperation],
    resources: Sequence[PlannedResource],
    outputs: Mapping[str, Any],
    saved_plan: bytes,
    hide: Hide,
) -> str:
    """Return the digest of everything that the plan would do.

    Beside what is shown it binds the goals of the engine's own plan, with secrets as ``hide``
    makes them: two plans that differ only in the value of a secret differ. The time and the random
    seeds of the file are left out, and dependencies are sorted.
    """
    goals = {
        urn: {"goal": _ordered(hidden(entry.get("goal"), hide)), "steps": entry.get("steps")}
        for urn, entry in _resource_plans(saved_plan).items()
    }
    return digest(
        {
            "operations": [o.model_dump(mode="json") for o in operations],
            "resources": [r.model_dump(mode="json") for r in resources],
            "outputs": dict(outputs),
            "goals": goals,
        }
    )


def cli_version(saved_plan: bytes) -> str:
    """Return the version of the CLI that wrote the plan, without the leading v."""
    manifest = _plan(saved_plan).get("manifest") or {}
    return str(manifest.get("version", "")).removeprefix("v")


def _resource_plans(saved_plan: bytes) -> Mapping[str, Any]:
    return _plan(saved_plan).get("resourcePlans") or {}


def _ordered(goal: Any) -> Any:
    """Sort the lists whose order is that in which the program's tasks happened to run."""
    if not isinstance(goal, Mapping):
        return goal
    by_property = goal.get("propertyDependencies") or {}
    return {
        **goal,
        "dependencies": sorted(goal.get("dependencies") or ()),
        "propertyDependencies": {k: sorted(v or ()) for k, v in by_property.items()},
    }


def _plan(saved_plan: bytes) -> Mapping[str, Any]:
    document = json.loads(saved_plan)
    plan = document.get("plan", document)
    return plan if isinstance(plan, Mapping) else {}


def _operation(urn: str, op: str, steps: Sequence[Step]) -> PlannedOperation:
    states = [s for step in steps for s in (step.get("old"), step.get("new")) if s]
    secrets = {
        name
        for state in states
        for side in ("inputs", "outputs")
        for name in secret_names(state.get(side) or {})
    }
    diffs: dict[str, str] = {}
    replaces: set[str] = set()
    if op != "same":
        for step in steps:
            diffs.update(_diffs(step))
            replaces.update(step.get("keys") or ())
    replaces.update(path for path, kind in diffs.items() if kind.endswith("-replace"))
    return PlannedOperation(
        urn=urn,
        type=steps[0]["type"],
        name=name_of(urn),
        op=op,
        diffs=dict(sorted(diffs.items())),
        replaces=tuple(sorted(replaces)) if op == "replace" else (),
        protect=any(bool(s.get("protect")) for s in states),
        secrets=tuple(sorted(secrets)),
    )


def _diffs(step: Step) -> dict[str, str]:
    detailed = step.get("detailedDiff")
    if detailed:
        return {path: str(diff["diffKind"]) for path, diff in detailed.items()}
    return {str(path): "update" for path in step.get("diffs") or ()}


def _op(step: Step) -> str:
    op = str(step["op"])
    return "replace" if op in _REPLACEMENT else op


def _present(step: Step) -> Mapping[str, Any] | None:
    state = step.get("old") if step["op"] == "delete" else step.get("new") or step.get("old")
    return state if isinstance(state, Mapping) else None
