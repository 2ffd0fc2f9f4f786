"""From what the engine says in a preview to what is shown, judged and approved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from policies import annotate
from stacks.contract import UNKNOWN, Code, OutputChange, PlannedOperation, PlannedResource
from stacks.engine.backend import State
from stacks.engine.call import Done, refuse_version
from stacks.engine.changes import property_changes, secretness_changes
from stacks.engine.failures import STACK_TYPE, CallFailed, name_of
from stacks.engine.options import changed_options
from stacks.engine.state import outputs_of
from stacks.engine.values import SECRET_MASK, Hide, digest, hidden, is_secret, masked, secret_names

_REPLACEMENT = frozenset(
    {"replace", "create-replacement", "delete-replaced", "import-replacement", "read-replacement"}
)
# steps that change nothing in the cloud
_LOOKING = frozenset({"refresh", "discard", "discard-replaced", "remove-pending-replace"})
_UNCHANGING = frozenset({"same", "read"})
_KEEPING = frozenset({"same", "update", "replace"})  # of something that exists already

Step = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the engine said in one preview.

    ``steps`` is the metadata of the events that it sent before each step, ``registered`` the
    options by URN that only the program's own registrations show, ``state`` what was there before.
    """

    steps: Sequence[Step]
    saved_plan: bytes
    state: State | None
    registered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What is done with each resource, sorted by URN and operation.

        The three steps of a replacement are one. The deletion of what a failed replacement left
        behind is a deletion of its own.
        """
        replaced = {
            str(step["urn"]): _old_id(step)
            for step in self.steps
            if step["op"] != "delete-replaced" and step["op"] in _REPLACEMENT
        }
        grouped: dict[tuple[str, str, str], list[Step]] = {}
        for step in self.steps:
            urn, op, left = str(step["urn"]), str(step["op"]), ""
            if op in _LOOKING:
                continue
            if op == "delete-replaced" and replaced.get(urn) != _old_id(step):
                op, left = "delete", _old_id(step)
            if op in _REPLACEMENT:
                op = "replace"
            grouped.setdefault((urn, op, left), []).append(step)
        return tuple(Change(urn, op, grouped[urn, op, left]) for urn, op, left in sorted(grouped))

    @cached_property
    def goals(self) -> Mapping[str, Mapping[str, Any]]:
        """The goals of the saved plan by URN."""
        plans = resource_plans(self.saved_plan)
        return {urn: entry["goal"] for urn, entry in plans.items() if entry.get("goal")}

    @cached_property
    def living(self) -> Mapping[str, Mapping[str, Any]]:
        """The resources of the state by URN, without those that wait to be deleted."""
        resources = (self.state or {}).get("resources") or ()
        return {str(r["urn"]): r for r in resources if not r.get("delete")}


@dataclass(frozen=True)
class Change:
    """What is done with one resource, and the engine's steps for it."""

    urn: str
    op: str
    steps: Sequence[Step]

    @property
    def step(self) -> Step:
        """The step that says most: one that has both states, if there is one."""
        return next((s for s in self.steps if s.get("old") and s.get("new")), self.steps[0])

    @property
    def old(self) -> Mapping[str, Any]:
        """The state before; empty when there is none."""
        return self.step.get("old") or {}

    @property
    def new(self) -> Mapping[str, Any]:
        """The state after; empty when there is none."""
        return self.step.get("new") or {}


def preview_of(done: Done, state: State | None, path: Path) -> Preview:
    """Return what a good engine command said that has previewed the program over ``state``.

    ``path`` is where it saved its plan. Raises ``CallFailed`` when it did not, or when the CLI has
    another version than the one that this code is written for.
    """
    try:
        saved_plan = path.read_bytes()
    except FileNotFoundError:
        raise CallFailed(Code.ENGINE, "The engine succeeded, but wrote no plan.") from None
    refuse_version(cli_version(saved_plan))
    return Preview(
        steps=done.events.started, saved_plan=saved_plan, state=state, registered=done.registered
    )


def operations_of(preview: Preview) -> tuple[PlannedOperation, ...]:
    """Return one operation per resource, sorted by URN."""
    return tuple(_operation(preview, change) for change in preview.changes)


def resources_of(preview: Preview) -> tuple[PlannedResource, ...]:
    """Return what policies judge: the inputs of every resource as it would be, sorted by URN.

    For a deletion they are those that it has. Secrets are masked, unknown values are the engine's
    mark.
    """
    return tuple(_resource(change) for change in preview.changes)


def output_changes(preview: Preview) -> tuple[OutputChange, ...]:
    """Return the outputs of the stack that change, sorted by name, secrets masked.

    The engine compares them itself, also the values of secrets.
    """
    diff: Mapping[str, Any] = {}
    for goal in preview.goals.values():
        if goal.get("type") == STACK_TYPE:
            diff = goal.get("outputDiff") or {}
    before, _ = outputs_of(preview.state)
    after = {**(diff.get("adds") or {}), **(diff.get("updates") or {})}
    names: dict[str, Literal["add", "update", "delete"]] = {
        **dict.fromkeys(diff.get("adds") or (), "add"),
        **dict.fromkeys(diff.get("updates") or (), "update"),
        **dict.fromkeys(diff.get("deletes") or (), "delete"),
    }
    return tuple(
        OutputChange(
            name=name,
            kind=kind,
            # the value may be the very one that is secret now
            before=before.get(name) if not is_secret(after.get(name)) else _mask(before.get(name)),
            after=masked(after.get(name)),
        )
        for name, kind in sorted(names.items())
    )


def operations_digest(
    operations: Sequence[PlannedOperation],
    resources: Sequence[PlannedResource],
    outputs: Sequence[OutputChange],
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
        for urn, entry in resource_plans(saved_plan).items()
    }
    return digest(
        {
            "operations": [o.model_dump(mode="json") for o in operations],
            "resources": [r.model_dump(mode="json") for r in resources],
            "outputs": [o.model_dump(mode="json") for o in outputs],
            "goals": goals,
        }
    )


def cli_version(saved_plan: bytes) -> str:
    """Return the version of the CLI that wrote the plan, without the leading v."""
    manifest = _plan(saved_plan).get("manifest") or {}
    return str(manifest.get("version", "")).removeprefix("v")


def other_outputs(saved_plan: bytes, outputs: Mapping[str, Any]) -> list[str]:
    """Name the outputs that are not what a saved plan expects, sorted.

    ``outputs`` are those that the program exported. Secrets are not compared: they are named when
    nothing else differs.
    """
    expected: Mapping[str, Any] = {}
    for entry in resource_plans(saved_plan).values():
        if (entry.get("goal") or {}).get("type") == STACK_TYPE:
            expected = entry.get("state") or {}
    names = sorted({*expected, *outputs})
    return [
        name
        for name in names
        if name not in expected or name not in outputs or not _agrees(expected[name], outputs[name])
    ] or [name for name in names if is_secret(expected[name]) or is_secret(outputs[name])]


def _agrees(planned: Any, present: Any) -> bool:
    """Tell whether a value is the planned one, as far as that was known and can be compared."""
    if is_secret(planned) or is_secret(present):
        return is_secret(planned) and is_secret(present)
    if isinstance(planned, str) and UNKNOWN in planned:
        return True
    if isinstance(planned, Mapping) and isinstance(present, Mapping):
        return planned.keys() == present.keys() and all(
            _agrees(planned[key], present[key]) for key in planned
        )
    if isinstance(planned, list) and isinstance(present, list):
        return len(planned) == len(present) and all(map(_agrees, planned, present))
    return bool(planned == present)


def is_empty(operations: Sequence[PlannedOperation], outputs: Sequence[OutputChange]) -> bool:
    """Tell whether a plan changes nothing: no resource, no option of one, no output.

    The engine's counts cannot tell: an option or an output that changes is a ``same`` in them.
    """
    return not outputs and all(o.op in _UNCHANGING and not o.options for o in operations)


def resource_plans(saved_plan: bytes) -> Mapping[str, Any]:
    """Return what a saved plan has on each resource, by URN."""
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


def _operation(preview: Preview, change: Change) -> PlannedOperation:
    states = [s for step in change.steps for s in (step.get("old"), step.get("new")) if s]
    secrets = {
        name
        for state in states
        for side in ("inputs", "outputs")
        for name in secret_names(state.get(side) or {})
    }
    diffs = _diffs(change)
    replaces = {str(key) for step in change.steps for key in step.get("keys") or ()}
    replaces.update(path for path, kind in diffs.items() if kind.endswith("-replace"))
    changes = property_changes(diffs, _places(change.old), _places(change.new))
    options: tuple[str, ...] = ()
    before = preview.living.get(str(change.old.get("urn") or change.urn))
    if change.op in _KEEPING and before is not None:
        options = changed_options(
            change.urn,
            before,
            goal=preview.goals.get(change.urn, before),
            step=change.new,
            registered=preview.registered.get(change.urn, before),
        )
        secretness = secretness_changes(before.get("inputs") or {}, change.new.get("inputs") or {})
        if secretness and change.op == "same":
            changes, options = secretness, tuple(sorted((*options, "secretness")))
    holds_data, irreversible = annotate(
        str(change.step["type"]),
        change.op,
        diffs,
        changes={c.path: (c.before, c.after) for c in changes if c.before_known},
    )
    return PlannedOperation(
        urn=change.urn,
        type=str(change.step["type"]),
        name=name_of(change.urn),
        op=change.op,
        diffs=diffs,
        changes=changes,
        options=options,
        replaces=tuple(sorted(replaces)) if change.op == "replace" else (),
        protect=any(bool(s.get("protect")) for s in states),
        secrets=tuple(sorted(secrets)),
        holds_data=holds_data,
        irreversible=irreversible,
    )


def _resource(change: Change) -> PlannedResource:
    state = change.old if change.op == "delete" else change.new or change.old
    return PlannedResource(
        urn=change.urn,
        type=str(change.step["type"]),
        name=name_of(change.urn),
        operation=change.op,
        custom=bool(state.get("custom")),
        inputs=masked(state.get("inputs") or {}),
        protect=bool(state.get("protect")),
        parent=state.get("parent") or None,
        provider=state.get("provider") or change.step.get("provider") or None,
    )


def _mask(value: Any) -> Any:
    return None if value is None else dict(SECRET_MASK)


def _old_id(step: Step) -> str:
    return str((step.get("old") or {}).get("id"))


def _places(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [state.get("inputs") or {}, state.get("outputs") or {}]


def _diffs(change: Change) -> dict[str, str]:
    """Return the paths of what changes with their kinds."""
    diffs: dict[str, str] = {}
    for step in change.steps if change.op != "same" else ():
        detailed = step.get("detailedDiff")
        if detailed:
            diffs.update({path: str(diff["diffKind"]) for path, diff in detailed.items()})
        else:
            diffs.update({str(path): "update" for path in step.get("diffs") or ()})
    return dict(sorted(diffs.items()))
