"""States of the scripted engine's stacks, and the comparison that is its preview."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Desired
from control_plane.domain.engine import (
    CloudDifference,
    LockInfo,
    Operation,
    OutputChange,
    PlannedResource,
    PropertyChange,
    Remaining,
    protected_name,
)
from control_plane.domain.errors import EngineFailed, ForeignLock
from control_plane.domain.plan import CHANGING
from control_plane.ports import Json
from control_plane.ports.engine import EngineCall, EnginePlan, EngineResult
from policies import annotate
from policies.removal import on_removal
from tests.scripted_resources import REPLACING, kept_after, made

VERSION: Final = "scripted-1"
_REPLACE: Final = "-replace"


@dataclass
class ScriptedStack:
    """One stack: its resources by URN, interrupted creates, locks, outputs, number of updates."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    locks: dict[str, LockInfo] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # in the state, and not in the cloud any more
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)  # inputs, in the cloud alone
    updates: int = 0
    remaining: dict[str, Remaining] = field(default_factory=dict)  # of what was deleted
    written_by: str | None = None  # call whose update left this state; None: no call of ours

    def deleted(self, urn: str) -> None:
        """Have a resource no more; what AWS keeps of it for a time remains."""
        kept = kept_after(self.resources.pop(urn))
        if kept is not None:
            self.remaining[urn] = kept

    @property
    def exists(self) -> bool:
        """Whether there is a state: a plan makes none."""
        return bool(self.updates or self.resources or self.pending)

    def state_digest(self) -> str:
        """Return the digest of everything but the locks."""
        return digest(
            {"resources": self.resources, "pending": self.pending, "outputs": self.outputs}
        )


def compare(stack: ScriptedStack, wanted: Sequence[Json]) -> list[Operation]:
    """Return the operations that bring a stack to the wanted resources, sorted by URN."""
    operations = [_operation(stack.resources.get(str(item["urn"])), item) for item in wanted]
    urns = {str(item["urn"]) for item in wanted}
    for urn, resource in stack.resources.items():
        if urn not in urns:
            deleted = _described(resource, "delete", ())
            says = on_removal(resource["type"], resource["inputs"])
            operations.append(replace(deleted, on_removal=says))
    return sorted(operations, key=lambda operation: operation.urn)


def plan_of(
    stack: ScriptedStack,
    call: EngineCall,
    wanted: Sequence[Json],
    outputs: Json,
    program_version: str,
) -> EnginePlan:
    """Return the preview of a call: the same spec and state give the same parts."""
    operations = compare(stack, wanted)
    inputs = {str(item["urn"]): {**item, "outputs": {}} for item in wanted}
    for urn, item in stack.resources.items():
        inputs.setdefault(urn, {**item, "outputs": {}})
    resources = tuple(described(inputs[each.urn], each.op) for each in operations)
    changed = output_changes(stack.outputs, outputs)
    documents = [item.to_document() for item in (*operations, *resources, *changed)]
    return EnginePlan(
        operations=tuple(operations),
        resources=resources,
        outputs=changed,
        parts={
            "operations": digest(documents),
            "state": stack.state_digest(),
            "program": digest(
                [call.program, *([program_version] if call.desired is Desired.PRESENT else ())]
            ),
            "versions": digest({"engine": VERSION}),
        },
    )


def differences_of(stack: ScriptedStack, plan: EnginePlan) -> tuple[CloudDifference, ...]:
    """Return what the cloud has otherwise, of what exists and a plan touches."""
    changing = [each.urn for each in plan.operations if each.op in CHANGING]
    return differences_in(stack, [urn for urn in changing if urn in stack.resources])


def differences_in(stack: ScriptedStack, urns: Sequence[str]) -> tuple[CloudDifference, ...]:
    """Return what the cloud has otherwise of these."""
    return tuple(
        difference for urn in urns for difference in _differences(stack, urn, stack.resources[urn])
    )


def _differences(stack: ScriptedStack, urn: str, item: Json) -> Iterator[CloudDifference]:
    named = {"urn": urn, "type": str(item["type"]), "name": str(item["name"])}
    if urn in stack.lost:
        yield CloudDifference(**named, kind="missing")
        return
    for path, value in sorted(stack.changed.get(urn, {}).items()):
        yield CloudDifference(
            **named, kind="changed", path=path, in_plan=item["inputs"].get(path), in_cloud=value
        )


def described(resource: Json, operation: str) -> PlannedResource:
    """Return a resource as policies read it."""
    return PlannedResource(
        urn=str(resource["urn"]),
        type=str(resource["type"]),
        name=str(resource["name"]),
        operation=operation,
        inputs=dict(resource["inputs"]),
        outputs=dict(resource.get("outputs") or {}),
        protect=bool(resource["protect"]),
    )


def carry_out(
    stack: ScriptedStack, call_id: str, operation: Operation, wanted: Mapping[str, Json]
) -> None:
    """Do one operation for a call."""
    stack.written_by = call_id
    if operation.op == "delete":
        stack.deleted(operation.urn)
    else:
        stack.resources[operation.urn] = made(wanted[operation.urn])


def refuse_unfit(stack: ScriptedStack) -> None:
    """Raise for a stack that somebody holds or that has interrupted operations."""
    for lock in stack.locks.values():
        name = f"{lock.user}@{lock.host} (pid {lock.pid})"
        raise ForeignLock(f"the stack is locked by {name}", holder=name)
    if stack.pending:
        raise EngineFailed("the state has interrupted operations", reason="pending_unresolved")


def refuse_protected(stack: ScriptedStack, plan: EnginePlan) -> None:
    """Raise for a plan that deletes or replaces what is protected."""
    taken = [each.urn for each in plan.operations if each.op in ("delete", "replace")]
    kept = [urn for urn in taken if stack.resources[urn]["protect"]]
    if kept:
        items = [stack.resources[urn] for urn in kept]
        names = sorted(protected_name(item["type"], item["name"]) for item in items)
        raise EngineFailed(
            f"the plan takes what is protected: {', '.join(names)}",
            reason="protected",
            details={"resources": kept, "names": names},
        )


def failed(
    stack: ScriptedStack, code: str, message: str, summary: Mapping[str, int]
) -> EngineResult:
    """Return the end of an apply that failed after what ``summary`` counts."""
    return EngineResult(
        outcome="failed",
        state_digest=stack.state_digest(),
        summary=summary,
        error={"code": code, "message": message, "data": {}},
        changed=bool(summary),
    )


def canceled(stack: ScriptedStack, summary: Mapping[str, int]) -> EngineResult:
    """Return the end of an apply that was canceled after what ``summary`` counts."""
    return replace(failed(stack, "canceled", "stopped as asked", summary), outcome="canceled")


def output_changes(old: Json, new: Json) -> tuple[OutputChange, ...]:
    """Return the outputs that change, sorted by name."""
    return tuple(
        OutputChange(
            name=name,
            kind="add" if name not in old else "update" if name in new else "delete",
            before=old.get(name),
            after=new.get(name),
        )
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _operation(old: Json | None, new: Json) -> Operation:
    if old is None:
        return _described(new, "create", ())
    changes = tuple(
        PropertyChange(
            path=name,
            kind=_change(old["inputs"], new["inputs"], name),
            before=old["inputs"].get(name),
            after=new["inputs"].get(name),
        )
        for name in sorted({*old["inputs"], *new["inputs"]})
        if old["inputs"].get(name) != new["inputs"].get(name)
    )
    if any(change.kind.endswith(_REPLACE) for change in changes):
        return _described(new, "replace", changes)
    described = _described(new, "update" if changes else "same", changes)
    return replace(
        described,
        options=("protect",) if old["protect"] != new["protect"] else (),
        protect=bool(old["protect"] or new["protect"]),
    )


def _change(old: Json, new: Json, name: str) -> str:
    if name not in old:
        return "add"
    kind = "update" if name in new else "delete"
    return kind + _REPLACE if name in REPLACING else kind


def _described(resource: Json, operation: str, changes: tuple[PropertyChange, ...]) -> Operation:
    kind = str(resource["type"])
    values = {change.path: (change.before, change.after) for change in changes}
    holds_data, irreversible = annotate(kind, operation, values, changes=values)
    return Operation(
        urn=str(resource["urn"]),
        type=kind,
        name=str(resource["name"]),
        op=operation,
        diffs={change.path: change.kind for change in changes},
        changes=changes,
        replaces=tuple(each.path for each in changes if each.kind.endswith(_REPLACE)),
        protect=bool(resource["protect"]),
        holds_data=holds_data,
        irreversible=irreversible,
    )
