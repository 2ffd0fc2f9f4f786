"""What an engine says of a stack: its plans, its resources, its locks and what was found.

The JSON of each type has the same keys as its fields; columns of runs and plans hold that form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

Resolution = Literal["imported", "adopted", "cleared"]

_Readers = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True, kw_only=True)
class _Fact:
    """A value that is kept as a JSON object; ``_readers`` read what JSON writes differently."""

    _readers: ClassVar[_Readers] = {}

    def to_document(self) -> dict[str, Any]:
        """Return the value as a JSON object."""
        return dict(_plain(asdict(self)))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the value from its JSON object; keys that it does not have are ignored.

        Raises ``TypeError`` when a field without a default is missing.
        """
        known = {f.name for f in fields(cls)}
        return cls(
            **{
                key: cls._readers[key](value) if key in cls._readers else value
                for key, value in document.items()
                if key in known
            }
        )


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _each(kind: type[_Fact]) -> Callable[[Any], Any]:
    return lambda documents: tuple(map(kind.from_document, documents))


@dataclass(frozen=True, kw_only=True)
class PropertyChange(_Fact):
    """One input of a resource that changes.

    ``kind`` is ``add``, ``update``, ``delete``, or one of these with ``-replace`` where the change
    forces a replacement. Secrets are ``{"secret": true}``, values that are not known yet the
    engine's mark. ``before_known`` is false where there was a value that the engine does not
    report.
    """

    path: str
    kind: str
    before: Any = None
    after: Any = None
    before_known: bool = True


@dataclass(frozen=True, kw_only=True)
class OutputChange(_Fact):
    """One output of the stack that changes: ``kind`` is ``add``, ``update`` or ``delete``."""

    name: str
    kind: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, kw_only=True)
class Operation(_Fact):
    """What a plan does with one resource.

    ``diffs`` maps the paths of changing inputs to their kinds, ``changes`` has their values,
    ``options`` names the resource options that change (``protect``, ``retainOnDelete``,
    ``customTimeouts`` …), ``replaces`` the paths that force a replacement, ``secrets`` the paths
    of secret properties. ``irreversible`` is true when it destroys what cannot be made again.
    """

    _readers: ClassVar[_Readers] = {
        "changes": _each(PropertyChange),
        "options": tuple,
        "replaces": tuple,
        "secrets": tuple,
    }

    urn: str
    type: str
    name: str
    op: str
    diffs: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[PropertyChange, ...] = ()
    options: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    protect: bool = False
    secrets: tuple[str, ...] = ()
    holds_data: bool = False
    irreversible: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedResource(_Fact):
    """A resource as it would be, or as it is: ``operation`` is what a plan does with it."""

    urn: str
    type: str
    name: str
    operation: str
    custom: bool = True
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False
    parent: str | None = None
    provider: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check(_Fact):
    """A named check of what exists, with what it found."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class LockInfo(_Fact):
    """A lock of a stack.

    ``call_id`` is the call of ours that made it, None for somebody else's. ``alive`` says whether
    the process that holds it exists, None when that is unknown, as on another host.
    """

    id: str
    call_id: str | None = None
    host: str | None = None
    pid: int | None = None
    user: str | None = None
    time: str | None = None
    alive: bool | None = None


@dataclass(frozen=True, kw_only=True)
class PendingOperation(_Fact):
    """An operation that was started and whose end is unknown."""

    urn: str
    type: str
    operation: str  # creating, updating, deleting, reading, importing


@dataclass(frozen=True, kw_only=True)
class Resolved(_Fact):
    """How something that an interrupted call had left was resolved, and what proves it."""

    urn: str
    type: str
    resolution: Resolution
    proof: str


@dataclass(frozen=True, kw_only=True)
class Look(_Fact):
    """What a verification found; changes nothing. Secrets are masked in ``outputs``."""

    _readers: ClassVar[_Readers] = {
        "checks": _each(Check),
        "resources": _each(PlannedResource),
        "secret_outputs": tuple,
    }

    checks: tuple[Check, ...]
    resources: tuple[PlannedResource, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    secret_outputs: tuple[str, ...] = ()
    state_digest: str


@dataclass(frozen=True, kw_only=True)
class CallMark(_Fact):
    """What is known of an earlier call: its host and the processes that may hold its lock."""

    _readers: ClassVar[_Readers] = {"pids": tuple}

    call_id: str
    host: str
    pids: tuple[int, ...] = ()
