"""States of the in-memory engine's stacks, and the comparison that is its preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from control_plane.adapters.memory.resources import made
from control_plane.domain.canonical import canonical_json, digest
from control_plane.ports import EngineCall, EnginePlan, Json

VERSION: Final = "memory-1"


@dataclass
class MemoryStack:
    """One stack: its resources by URN, interrupted creates, locks, number of updates."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)  # lock id -> holder
    updates: int = 0
    written_by: str | None = None  # call whose update left this state; None: no call of ours

    def state_digest(self) -> str:
        """Return the digest of everything but the locks."""
        return digest({"resources": self.resources, "pending": self.pending})

    def history_digest(self) -> str | None:
        """Return the digest of the newest update, or None."""
        return digest([self.updates, self.state_digest()]) if self.updates else None


def compare(stack: MemoryStack, wanted: Sequence[Json]) -> list[dict[str, Any]]:
    """Return the operations that bring a stack to the wanted resources, sorted by URN."""
    operations = [_operation(stack.resources.get(str(item["urn"])), item) for item in wanted]
    urns = {str(item["urn"]) for item in wanted}
    for urn, resource in stack.resources.items():
        if urn not in urns:
            operations.append(_described(resource, "delete", {}))
    return sorted(operations, key=lambda operation: str(operation["urn"]))


def plan_of(
    stack: MemoryStack, call: EngineCall, wanted: Sequence[Json], program_version: str
) -> EnginePlan:
    """Return the preview of a call: the same spec and state give the same parts."""
    operations = compare(stack, wanted)
    by_urn = {str(operation["urn"]): str(operation["op"]) for operation in operations}
    resources = [
        described(item, by_urn[str(item["urn"])])
        for item in sorted(wanted, key=lambda item: str(item["urn"]))
    ]
    return EnginePlan(
        operations=operations,
        resources=resources,
        parts={
            "operations": digest({"operations": operations, "resources": resources}),
            "state": stack.state_digest(),
            "program": digest([call.program, program_version]),
            "versions": digest({"engine": VERSION}),
        },
        saved_plan=canonical_json(by_urn),
        stack_salt=call.stack_salt or f"v1:{digest(call.stack)[7:23]}",
        encrypted_key=call.encrypted_key,
    )


def described(resource: Json, operation: str) -> dict[str, Any]:
    """Return a resource as policies read it."""
    return {
        "urn": resource["urn"],
        "type": resource["type"],
        "name": resource["name"],
        "operation": operation,
        "custom": True,
        "inputs": dict(resource["inputs"]),
        "outputs": dict(resource.get("outputs") or {}),
        "protect": resource["protect"],
        "parent": None,
        "provider": None,
    }


def carry_out(
    stack: MemoryStack, call_id: str, operation: Json, wanted: Mapping[str, Json]
) -> None:
    """Do one operation for a call."""
    stack.written_by = call_id
    urn = str(operation["urn"])
    if operation["op"] == "delete":
        del stack.resources[urn]
    else:
        stack.resources[urn] = made(wanted[urn])


def _operation(old: Json | None, new: Json) -> dict[str, Any]:
    if old is None:
        return _described(new, "create", {})
    diffs = {
        name: _change(old["inputs"], new["inputs"], name)
        for name in sorted({*old["inputs"], *new["inputs"]})
        if old["inputs"].get(name) != new["inputs"].get(name)
    }
    return _described(new, "update" if diffs else "same", diffs)


def _change(old: Json, new: Json, name: str) -> str:
    if name not in old:
        return "add"
    return "update" if name in new else "delete"


def _described(resource: Json, operation: str, diffs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "urn": resource["urn"],
        "type": resource["type"],
        "name": resource["name"],
        "op": operation,
        "diffs": dict(diffs),
        "replaces": [],
        "protect": resource["protect"],
        "secrets": [],
    }
