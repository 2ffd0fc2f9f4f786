"""What a state says: its digest, its resources, outputs and pending operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from policies.removal import is_guarded
from stacks.contract import UNKNOWN, Pending, PlannedResource
from stacks.engine.backend import State
from stacks.engine.failures import STACK_TYPE, name_of
from stacks.engine.values import Hide, digest, hidden, is_secret, masked

PROVIDER_TYPE = "pulumi:providers:"

# What of a resource is bound by the digest: everything that steers the engine, but neither times
# nor positions in source files.
_BOUND = (
    "urn",
    "id",
    "type",
    "custom",
    "inputs",
    "outputs",
    "parent",
    "provider",
    "protect",
    "dependencies",
    "delete",
    "external",
    "taint",
    "retainOnDelete",
    "deletedWith",
    "customTimeouts",
    "additionalSecretOutputs",
    "ignoreChanges",
    "replaceOnChanges",
    "hideDiff",
    "initErrors",
    "pendingReplacement",
)


# What of a resource says that something is still to be done with it, and what.
_TO_DO = {"delete": "delete", "pendingReplacement": "create", "taint": "replace"}


def state_digest(state: State | None, hide: Hide) -> str:
    """Return the digest of a state; that of no stack equals that of an empty one.

    Secrets enter as what ``hide`` makes of their ciphertexts, times not at all.
    """
    resources = sorted(
        (_bound(r, hide) for r in _resources(state)),
        key=lambda r: (str(r.get("urn")), bool(r.get("delete")), str(r.get("id"))),
    )
    pending = sorted(
        ((str(p.get("type")), _bound(p.get("resource") or {}, hide)) for p in _pending(state)),
        key=lambda p: (str(p[1].get("urn")), p[0]),
    )
    return digest({"resources": resources, "pending_operations": pending})


def resources_of(state: State | None) -> list[PlannedResource]:
    """Return the resources of a state with secrets masked, sorted by URN."""
    found = [
        PlannedResource(
            urn=r["urn"],
            type=r["type"],
            name=name_of(r["urn"]),
            operation="delete" if r.get("delete") else "same",
            custom=bool(r.get("custom")),
            inputs=masked(r.get("inputs") or {}),
            outputs=masked(r.get("outputs") or {}),
            protect=bool(r.get("protect")),
            parent=r.get("parent") or None,
            provider=r.get("provider") or None,
        )
        for r in _resources(state)
    ]
    return sorted(found, key=lambda r: (r.urn, r.operation))


def in_cloud(state: State | None) -> list[Mapping[str, Any]]:
    """Return everything that a provider made or read, also what is still to be deleted."""
    return [
        r
        for r in _resources(state)
        if r.get("custom") and not r["type"].startswith("pulumi:") and not r.get("viewOf")
    ]


def guarded(state: State | None) -> list[str]:
    """Return the URNs of what is protected by the engine, or would be refused by the cloud."""
    return [
        r["urn"]
        for r in _resources(state)
        if r.get("protect") or is_guarded(r["type"], r.get("inputs") or {})
    ]


def unfinished(state: State | None) -> list[str]:
    """Name what the engine has still to do by a state, as the next plan would, sorted."""
    found = {
        f"{name_of(r['urn'])} ({op})"
        for r in _resources(state)
        for mark, op in _TO_DO.items()
        if r.get(mark)
    }
    return sorted(found)


def provider_of(state: State | None, reference: str) -> Mapping[str, Any] | None:
    """Return the provider that a resource names as ``URN::ID``."""
    return next((r for r in _resources(state) if f"{r['urn']}::{r.get('id')}" == reference), None)


def outputs_of(state: State | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the stack's outputs with secrets masked, and the names of the secret ones."""
    outputs = stack_outputs(state)
    return masked(outputs), tuple(sorted(k for k, v in outputs.items() if is_secret(v)))


def stack_outputs(state: State | None) -> Mapping[str, Any]:
    """Return the stack's outputs as they are stored, secrets encrypted."""
    for resource in _resources(state):
        if resource["type"] == STACK_TYPE:
            return resource.get("outputs") or {}
    return {}


def pending_of(state: State | None) -> list[Pending]:
    """Return the interrupted operations, sorted by URN."""
    found = [
        Pending(
            urn=str((p.get("resource") or {}).get("urn", "")),
            type=str((p.get("resource") or {}).get("type", "")),
            operation=str(p.get("type", "")),
        )
        for p in _pending(state)
    ]
    return sorted(found, key=lambda p: (p.urn, p.operation))


def pending_creates(state: State | None) -> list[Mapping[str, Any]]:
    """Return the resources whose creation was interrupted, as they were written."""
    return [p["resource"] for p in _pending(state) if p.get("type") == "creating"]


def ids_of(state: State | None, resource_type: str, *, urn: str | None = None) -> set[str]:
    """Return the ids of the resources of a type that the state holds, or of the one named."""
    return {
        str(r["id"])
        for r in _resources(state)
        if r["type"] == resource_type and r.get("id") and urn in (None, r["urn"])
    }


def is_unknown(value: Any) -> bool:
    """Tell whether a value, or any value within it, is not known yet."""
    if isinstance(value, Mapping):
        return any(map(is_unknown, value.values()))
    if isinstance(value, list):
        return any(map(is_unknown, value))
    return isinstance(value, str) and UNKNOWN in value


def has_provider(state: State | None) -> bool:
    """Tell whether a state holds a configured provider."""
    return any(r["type"].startswith(PROVIDER_TYPE) for r in _resources(state))


def _resources(state: State | None) -> Iterable[Mapping[str, Any]]:
    return (state or {}).get("resources") or ()


def _pending(state: State | None) -> Iterable[Mapping[str, Any]]:
    return (state or {}).get("pending_operations") or ()


def _bound(resource: Mapping[str, Any], hide: Hide) -> dict[str, Any]:
    bound = {k: hidden(resource[k], hide) for k in _BOUND if resource.get(k) not in (None, False)}
    if "dependencies" in bound:  # their order is that in which the program's tasks ran
        bound["dependencies"] = sorted(bound["dependencies"])
    return bound
