"""What the policies look at and what they find, whatever tool made the plan.

Kinds and input names are Terraform's (``aws_s3_bucket``, ``kms_key_id``). A value is one of three
things: known, absent, or not known yet (``UNKNOWN``); the third is never taken for either other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final


class Unknown(Enum):
    """The type of ``UNKNOWN``."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class Operation(StrEnum):
    """What the plan does with a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    SAME = "same"
    READ = "read"  # looked up, not managed


class Stage(StrEnum):
    """What is judged: a plan, where values may be unknown, or the state after an apply."""

    PLAN = "plan"
    STATE = "state"


class Enforcement(StrEnum):
    """What a violation does."""

    ADVISORY = "advisory"  # shown to the approvers
    MANDATORY = "mandatory"  # ends the run


class Verdict(StrEnum):
    """Whether a rule is violated, or cannot be decided because a value is not known."""

    VIOLATED = "violated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A nested part of a resource's inputs; paths are dotted and relative to it."""

    values: Any
    unknown: frozenset[str]
    path: str = ""

    def value(self, path: str) -> Any:
        """Return the value at a dotted path: ``None`` when absent, ``UNKNOWN`` when not known.

        A list of one block counts as that block: Terraform writes single blocks so, Pulumi not.
        """
        found = self._find(path)
        return found if found is UNKNOWN else found.values if isinstance(found, Block) else None

    def blocks(self, path: str) -> tuple[Block, ...] | Unknown:
        """Return the repeated blocks at a path, none when absent."""
        found = self._find(path)
        if found is UNKNOWN:
            return UNKNOWN
        if not isinstance(found, Block) or found.values is None:
            return ()
        if not isinstance(found.values, list):
            return (found,)
        steps = (found.step(index) for index in range(len(found.values)))
        inner = tuple(step for step in steps if step is not None)
        return (
            UNKNOWN
            if any(step is UNKNOWN for step in inner)
            else tuple(step for step in inner if isinstance(step, Block))
        )

    def texts(self, path: str) -> tuple[tuple[str, ...], bool]:
        """Return the strings at a path, and whether the list may hold others not known yet."""
        found = self._find(path)
        if found is UNKNOWN:
            return (), True
        if not isinstance(found, Block):
            return (), False
        items = found.values if isinstance(found.values, list) else [found.values]
        inside = f"{found.path}."
        return (
            tuple(item for item in items if isinstance(item, str)),
            any(path.startswith(inside) for path in self.unknown),
        )

    def leaves(self) -> Iterator[tuple[str, str]]:
        """Yield the path and value of every known string."""
        if isinstance(self.values, str):
            yield self.path, self.values
            return
        keys: Sequence[Any] = ()
        if isinstance(self.values, Mapping):
            keys = tuple(self.values)
        elif isinstance(self.values, list):
            keys = range(len(self.values))
        for key in keys:
            inner = self.step(key)
            if isinstance(inner, Block):
                yield from inner.leaves()

    def step(self, key: str | int) -> Block | Unknown | None:
        """Return the part under one key or index, ``None`` when there is none."""
        path = f"{self.path}.{key}" if self.path else str(key)
        if path in self.unknown:
            return UNKNOWN
        inner: Any = None
        if isinstance(self.values, Mapping):
            inner = self.values.get(key)
        elif isinstance(self.values, list) and isinstance(key, int) and key < len(self.values):
            inner = self.values[key]
        return None if inner is None else Block(values=inner, unknown=self.unknown, path=path)

    def _find(self, path: str) -> Block | Unknown | None:
        found: Block | Unknown | None = self
        for part in path.split("."):
            if isinstance(found, Block) and isinstance(found.values, list):
                found = found.step(0) if len(found.values) == 1 else None
            if not isinstance(found, Block):
                return found
            found = found.step(part)
        return found


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of a plan or of a state.

    ``name`` is its logical name. ``inputs`` is plain JSON with Terraform's names; ``unknown`` has
    the dotted paths of the values that are not known. ``references`` has the addresses of the
    resources that an input comes from, by its path without list indexes, where the front end knows.
    ``tags`` are the effective ones, the provider's defaults included, None when they are not known.
    ``protected`` is None when the tool has no such notion in its plan. ``region`` is None when it
    is unknown. ``auto_named``: the tool chose a physical name. ``moved_from`` is the address that
    the state still has it under, None when that is the same.
    """

    address: str
    kind: str
    name: str = ""
    inputs: Mapping[str, Any]
    unknown: frozenset[str] = frozenset()
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    operation: Operation = Operation.CREATE
    protected: bool | None = None
    region: str | None = None
    tags: Mapping[str, str] | None = None
    auto_named: bool = False
    moved_from: str | None = None

    @property
    def body(self) -> Block:
        """The inputs as a block."""
        return Block(values=self.inputs, unknown=self.unknown)

    def value(self, path: str) -> Any:
        """Return an input: ``None`` when absent, ``UNKNOWN`` when not known."""
        return self.body.value(path)

    def origins(self, path: str) -> tuple[str, ...]:
        """Return the addresses that the value at a path comes from, none when that is unknown."""
        while path:
            if path in self.references:
                return self.references[path]
            path = path.rpartition(".")[0]
        return ()

    @property
    def is_judged(self) -> bool:
        """Tell whether it will exist and is ours: what is deleted or only read is not judged."""
        return self.operation not in (Operation.DELETE, Operation.READ)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a rule says about one resource, before its enforcement is looked up.

    ``reason`` completes a sentence that begins with the address.
    """

    address: str
    reason: str
    remedy: str
    path: str = ""
    verdict: Verdict = Verdict.VIOLATED


def violated(resource: Resource, reason: str, remedy: str, path: str = "") -> Finding:
    """Return the finding that a resource violates a rule."""
    return Finding(address=resource.address, reason=reason, remedy=remedy, path=path)


def undecided(resource: Resource, path: str, remedy: str) -> Finding:
    """Return the finding that a rule cannot be decided, since the value at a path is not known.

    The reason is one sentence for all paths, so that equal findings can be reported once.
    """
    return Finding(
        address=resource.address,
        reason="has a value that is not known yet, so the rule cannot be evaluated",
        remedy=remedy,
        path=path,
        verdict=Verdict.UNKNOWN,
    )


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A finding of a rule with its enforcement.

    ``verdict`` separates a violated rule from one that cannot be decided. Texts hold no masked
    value.
    """

    rule: str
    address: str
    path: str
    verdict: Verdict
    enforcement: Enforcement
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What the rules compare with: the parameters document and what one deployment adds.

    The deployment adds ``allowed_regions``, ``tag_values`` (tag key to the value it must have),
    ``account_id``, ``unprotected`` (names, as ``protected_name`` makes them, of what its spec takes
    out of protection) and, for a slice of a shared Hub, its short name ``slice_short``.
    ``encryption`` maps a kind to ``provider_key`` where no ``customer_key`` is wanted. Lengths of
    prefixes are in bits, retention is in days.
    """

    allowed_regions: tuple[str, ...] = ()
    tag_values: Mapping[str, str] = field(default_factory=dict)
    account_id: str = ""
    slice_short: str | None = None
    unprotected: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    forbidden_tags: tuple[str, ...] = ()
    log_retention_days_min: int = 1
    encryption: Mapping[str, str] = field(default_factory=dict)
    access_log_bucket_encryption: str = "customer_key"
    widest_ingress_prefix: Mapping[str, int] = field(default_factory=dict)
    internet_egress: str = "none"
    enforcement: Mapping[str, Enforcement] = field(default_factory=dict)
    unknown_values: Mapping[str, Enforcement] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over their JSON with sorted keys; they hold only text and integers."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule, named for the violation it finds.

    ``check`` is a pure function over all judged resources: some rules are about what is missing.
    """

    id: str
    title: str
    check: Callable[[Sequence[Resource], Parameters], Iterator[Finding]]
