"""From what the engine says in a preview to what is shown, judged and approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from policies import annotate
from policies.removal import on_removal
from stacks.contract import UNKNOWN, OutputChange, PlannedOperation, PlannedResource
from stacks.engine.backend import State
from stacks.engine.changes import property_changes, secretness_changes
from stacks.engine.failures import name_of
from stacks.engine.options import changed_options
from stacks.engine.sdk import ProgramRun
from stacks.engine.state import stack_outputs
from stacks.engine.values import (
    SECRET_MASK,
    Decrypt,
    Hide,
    digest,
    hidden,
    is_secret,
    masked,
    opened,
    secret_names,
)

_REPLACEMENT = frozenset(
    {"replace", "create-replacement", "delete-replaced", "import-replacement", "read-replacement"}
)
# steps that change nothing in the cloud
_LOOKING = frozenset({"refresh", "discard", "discard-replaced", "remove-pending-replace"})
# steps of a resource that stays as it is
UNCHANGING = frozenset({"same", "read"})
# how the SDK speaks to the engine
_OF_THE_SDK = frozenset(
    {
        *("acceptSecrets", "acceptResources", "acceptsByteString", "supportsPartialValues"),
        *("supportsResultReporting", "parentStackTraceHandle", "packageRef"),
    }
)
_KEEPING = frozenset({"same", "update", "replace"})  # of something that exists already

Step = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What was said in one preview.

    ``steps`` is the metadata of the events that the engine sent before each step, ``run`` what the
    program registered, ``state`` what was there before.
    """

    steps: Sequence[Step]
    run: ProgramRun
    state: State | None

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


def operations_of(preview: Preview) -> tuple[PlannedOperation, ...]:
    """Return one operation per resource, sorted by URN."""
    return tuple(_operation(preview, change) for change in preview.changes)


def resources_of(preview: Preview) -> tuple[PlannedResource, ...]:
    """Return what policies judge: the inputs of every resource as it would be, sorted by URN.

    For a deletion they are those that it has. Secrets are masked, unknown values are the engine's
    mark.
    """
    return tuple(_resource(change) for change in preview.changes)


def output_changes(preview: Preview, decrypt: Decrypt) -> tuple[OutputChange, ...]:
    """Return the outputs of the stack that change, sorted by name, secrets masked.

    ``decrypt`` opens the secrets of the state: their values are compared too.
    """
    before = {k: opened(v, decrypt) for k, v in stack_outputs(preview.state).items()}
    after = {k: v for k, v in preview.run.outputs.items() if v is not None}
    return tuple(
        OutputChange(
            name=name,
            kind="update" if name in before and name in after
            else "add" if name in after else "delete",
            # the value may be the very one that is secret now
            before=_mask(before.get(name)) if is_secret(after.get(name))
            else masked(before.get(name)),
            after=masked(after.get(name)),
        )
        for name in different_outputs(before, after)
    )  # fmt: skip


def different_outputs(some: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Name the outputs that are not equal, sorted; secrets are in the open on both sides."""
    names = sorted({*some, *others})
    return [n for n in names if n not in some or n not in others or some[n] != others[n]]


def operations_digest(
    operations: Sequence[PlannedOperation],
    resources: Sequence[PlannedResource],
    outputs: Sequence[OutputChange],
    run: ProgramRun,
    hide: Hide,
) -> str:
    """Return the digest of everything that the plan would do.

    Beside what is shown it binds all that the program registered and exported, with secrets as
    ``hide`` makes them: two plans that differ only in the value of a secret differ. Dependencies
    are sorted.
    """
    return digest(
        {
            "operations": [o.model_dump(mode="json") for o in operations],
            "resources": [r.model_dump(mode="json") for r in resources],
            "outputs": [o.model_dump(mode="json") for o in outputs],
            "registered": {urn: _bound(hidden(told, hide)) for urn, told in run.registered.items()},
            "exported": hidden(run.outputs, hide),
        }
    )


def unplanned_outputs(planned: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    """Name the outputs that are not what the preview said, as far as it knew, sorted."""
    names = sorted({*planned, *outputs})
    return [
        name
        for name in names
        if name not in planned or name not in outputs or not _agrees(planned[name], outputs[name])
    ]


def _agrees(planned: Any, present: Any) -> bool:
    """Tell whether a value is the planned one, as far as that was known."""
    if is_secret(planned) and is_secret(present):
        return _agrees(planned.get("value"), present.get("value"))
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
    return not outputs and all(o.op in UNCHANGING and not o.options for o in operations)


def _bound(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a registration without what only says how the SDK speaks, and without chance.

    Dependencies come in the order in which the program's tasks happened to run.
    """
    by_property = told.get("propertyDependencies") or {}
    return {
        **{name: value for name, value in told.items() if name not in _OF_THE_SDK},
        "dependencies": sorted(told.get("dependencies") or ()),
        "propertyDependencies": {k: sorted(v.get("urns") or ()) for k, v in by_property.items()},
    }


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
            step=change.new,
            registered=preview.run.registered.get(change.urn),
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
        on_removal=on_removal(str(change.step["type"]), masked(change.old.get("inputs") or {}))
        if change.op == "delete"
        else "",
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
