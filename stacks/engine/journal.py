"""The engine's journal: what an update has done so far, from which the state is made.

The engine says of each step that it begins and how it ended, and relies on the one that keeps the
journal to make the state from that. Entries name resources by place: those of the state before the
update by their index in it, those that the update wrote by the operation that wrote them.
Semantics: pulumi 3.259.0, ``pkg/backend/journal.go`` and ``sdk/go/common/apitype/journal.go``.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from stacks.engine.failures import STACK_TYPE

State = Mapping[str, Any]
Entry = Mapping[str, Any]

VERSION = 1  # of the journal, which the engine is offered

_CREATING = "creating"


class Kind(IntEnum):
    """What an entry says."""

    BEGIN = 0
    SUCCESS = 1
    FAILURE = 2
    REFRESHED = 3
    OUTPUTS = 4
    STATE = 5  # the state before the update is another one
    SECRETS = 6
    REBUILT = 7  # what was written so far is the state before what follows
    EXTENSION = 8
    SNIPPETS = 9


_KINDS = frozenset(Kind)
_OBJECTS = ("state", "operation", "secretsProvider", "newSnapshot")

# What says of a resource what was done with it.
_OF_STEPS = frozenset({Kind.BEGIN, Kind.SUCCESS, Kind.FAILURE, Kind.REFRESHED, Kind.OUTPUTS})


def replay(base: State | None, entries: Iterable[Entry], *, engine: str) -> dict[str, Any]:
    """Return the state that an update by this version of the engine has left on ``base``.

    Raises ``ValueError`` for entries that do not fit together.
    """
    journal = _Journal(base)
    try:
        for entry in sorted(entries, key=lambda e: int(e["sequenceID"])):
            journal.add(entry)
        state = journal.state()
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the journal does not fit the state: {error!r}") from error
    # the engine refuses a state whose magic is another one
    state["manifest"] = {
        "time": datetime.now(UTC).isoformat(),
        "magic": hashlib.sha256(engine.encode()).hexdigest(),
        "version": engine,
    }
    return state


def is_entry(value: Any) -> bool:
    """Tell whether a value has the form of an entry, whatever it says."""
    return (
        isinstance(value, dict)
        and all(type(value.get(key)) is int for key in ("kind", "sequenceID", "operationID"))
        and value["kind"] in _KINDS
        and all(isinstance(value.get(key), dict | None) for key in _OBJECTS)
    )


def begins_in_the_cloud(entry: Entry) -> bool:
    """Tell whether an entry begins a step that may change something outside of the state."""
    return entry.get("kind") == Kind.BEGIN and entry.get("operation") is not None


class _Journal:
    """What entries have said so far."""

    def __init__(self, base: State | None) -> None:
        self._began: dict[int, Entry] = {}
        self._was_refreshed = False
        self._start_at(dict(base or {}))

    def _start_at(self, base: dict[str, Any]) -> None:
        self._base = base
        self._old: list[dict[str, Any] | None] = [
            dict(r) for r in base.get("resources") or ()
        ]  # None: it is gone
        self._new: dict[int, dict[str, Any] | None] = {}  # by operation, in the order of writing
        self._pending = [
            p for p in base.get("pending_operations") or () if p.get("type") == _CREATING
        ]
        self._extensions: dict[str, Any] = {}

    def add(self, entry: Entry) -> None:
        """Take one entry."""
        kind = Kind(entry["kind"])
        if kind in _OF_STEPS:
            self._of_step(kind, entry)
        else:
            self._of_whole(kind, entry)

    def _of_step(self, kind: Kind, entry: Entry) -> None:
        operation = int(entry["operationID"])
        if kind is Kind.BEGIN:
            self._began[operation] = entry
        elif kind is not Kind.OUTPUTS:
            self._began.pop(operation, None)
        if kind is Kind.SUCCESS:
            self._succeeded(operation, entry)
        elif kind is Kind.REFRESHED:
            self._was_refreshed = True
            self._replace(entry, entry.get("state"))
        elif kind is Kind.OUTPUTS and entry.get("state") is not None:
            self._replace(entry, entry["state"])

    def _of_whole(self, kind: Kind, entry: Entry) -> None:
        match kind:
            case Kind.STATE:
                self._start_at(dict(entry["newSnapshot"]))
            case Kind.SECRETS:
                self._base["secrets_providers"] = entry["secretsProvider"]
            case Kind.REBUILT:
                state = self.state()
                self._began = {}
                self._start_at(state)
            case Kind.EXTENSION:
                self._extensions[entry["extensionRef"]] = entry["extension"]
            case Kind.SNIPPETS:
                self._base["snippets"] = entry.get("snippets")

    def _succeeded(self, operation: int, entry: Entry) -> None:
        if entry.get("state") is not None:
            self._new[operation] = dict(entry["state"])
        if (old := entry.get("removeOld")) is not None:
            self._old[old] = None
        if (new := entry.get("removeNew")) is not None:
            self._new[new] = None
        for mark, key in (("delete", "delete"), ("pendingReplacement", "pendingReplacement")):
            _mark(self._old, entry.get(f"{mark}Old"), key)
            _mark(self._new, entry.get(f"{mark}New"), key)
        self._was_refreshed |= bool(entry.get("isRefresh"))

    def _replace(self, entry: Entry, state: Mapping[str, Any] | None) -> None:
        """Write a resource in the place of another; None deletes that."""
        if (old := entry.get("removeOld")) is not None and self._old[old] is not None:
            self._old[old] = None if state is None else dict(state)
        if (new := entry.get("removeNew")) is not None and self._new[new] is not None:
            self._new[new] = None if state is None else dict(state)

    def state(self) -> dict[str, Any]:
        """Return the state so far: what was written comes before what was left alone."""
        resources = [copy.copy(r) for r in (*self._new.values(), *self._old) if r is not None]
        if self._was_refreshed:
            _leave_out_the_dead(resources)
        _use_present_names(resources)
        pending = [e["operation"] for e in self._began.values() if e.get("operation")]
        state = {
            **{k: v for k, v in self._base.items() if k not in ("pending_operations", "resources")},
            "resources": resources,
        }
        if pending or self._pending:
            state["pending_operations"] = [*pending, *self._pending]
        if self._extensions or state.get("extensions"):
            state["extensions"] = {**self._extensions, **(state.get("extensions") or {})}
        return state


def _mark(resources: Any, place: int | None, key: str) -> None:
    if place is not None and resources[place] is not None:
        resources[place][key] = True


def _leave_out_the_dead(resources: list[dict[str, Any]]) -> None:
    """Take out references to what no longer exists, which a refresh leaves behind."""
    alive: set[str] = set()
    for resource in resources:
        for key in ("dependencies", "replaceWith"):
            _set(resource, key, [urn for urn in resource.get(key) or () if urn in alive])
        by_property = resource.get("propertyDependencies") or {}
        kept = {k: [urn for urn in v or () if urn in alive] for k, v in by_property.items()}
        _set(resource, "propertyDependencies", {k: v for k, v in kept.items() if v})
        for key in ("deletedWith", "parent"):
            _set(resource, key, resource.get(key) if resource.get(key) in alive else None)
        alive.add(resource["urn"])


def _use_present_names(resources: list[dict[str, Any]]) -> None:
    """Have everything refer to resources by the names that they have now, and drop former ones."""
    now: dict[str, str] = {}
    for resource in resources:
        now |= dict.fromkeys(resource.pop("aliases", None) or (), resource["urn"])
        parent = now.get(resource.get("parent") or "")
        if parent is not None and _types_of(parent) != STACK_TYPE:
            # a name tells the types of its parents, so that of a child may change with theirs
            now[resource["urn"]] = _below(parent, resource["urn"])
    if not now:
        return
    for resource in resources:
        for key in ("urn", "parent", "deletedWith"):
            if resource.get(key) in now:
                resource[key] = now[resource[key]]
        urn, separator, identity = str(resource.get("provider") or "").rpartition("::")
        if urn in now:
            resource["provider"] = f"{now[urn]}{separator}{identity}"
        for key in ("dependencies", "replaceWith"):
            _set(resource, key, [now.get(urn, urn) for urn in resource.get(key) or ()])
        by_property = resource.get("propertyDependencies") or {}
        renamed = {k: [now.get(urn, urn) for urn in v or ()] for k, v in by_property.items()}
        _set(resource, "propertyDependencies", renamed)


def _below(parent: str, urn: str) -> str:
    """Return the name of a resource below this parent."""
    stack, project, types, name = urn.split("::", 3)
    own = types.rsplit("$", 1)[-1]
    return f"{stack}::{project}::{_types_of(parent)}${own}::{name}"


def _types_of(urn: str) -> str:
    return urn.split("::", 3)[2]


def _set(resource: dict[str, Any], key: str, value: Any) -> None:
    """Set a property, or take it out if it is empty, as the engine writes it."""
    if value:
        resource[key] = value
    else:
        resource.pop(key, None)
