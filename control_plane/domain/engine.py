"""What an engine says of a stack: its plans, its resources, its locks and what was found.

The JSON of each type has the same keys as its fields; columns of runs and plans hold that form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from control_plane.domain.documents import Documented, Readers, tuple_of

Resolution = Literal["imported", "adopted", "completed", "cleared"]


def protected_name(resource_type: str, name: str) -> str:
    """Return how a spec names a resource whose protection it takes away: ``bucket.data``."""
    return f"{resource_type.rpartition(':')[2].lower()}.{name}"


@dataclass(frozen=True, kw_only=True)
class PropertyChange(Documented):
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
class OutputChange(Documented):
    """One output of the stack that changes: ``kind`` is ``add``, ``update`` or ``delete``."""

    name: str
    kind: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, kw_only=True)
class Operation(Documented):
    """What a plan does with one resource.

    ``diffs`` maps the paths of changing inputs to their kinds, ``changes`` has their values,
    ``options`` names the resource options that change (``protect``, ``retainOnDelete``,
    ``customTimeouts`` …), ``replaces`` the paths that force a replacement, ``secrets`` the paths
    of secret properties. ``irreversible`` is true when it destroys what cannot be made again.
    ``on_removal`` says of a deletion what becomes of what is held, and what stays behind.
    """

    _readers: ClassVar[Readers] = {
        "changes": tuple_of(PropertyChange),
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
    on_removal: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedResource(Documented):
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
class CloudDifference(Documented):
    """Something in the cloud that is not as the state has it over which a plan was made.

    ``kind`` is ``changed``, with the property and its values, or of the whole resource:
    ``missing``, ``unhealthy``. Secrets are ``{"secret": true}``; a value is None where there is
    none.
    """

    urn: str
    type: str
    name: str
    kind: str
    path: str = ""
    in_plan: Any = None
    in_cloud: Any = None


@dataclass(frozen=True, kw_only=True)
class Check(Documented):
    """A named check of what exists, with what it found."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class LockInfo(Documented):
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
class Resolved(Documented):
    """How something that an interrupted call had left was resolved, and what proves it."""

    urn: str
    type: str
    resolution: Resolution
    proof: str


@dataclass(frozen=True, kw_only=True)
class Drift(Documented):
    """One thing in which the cloud is not as it was applied.

    ``kind`` is ``changed``, ``missing``, ``foreign`` or, as we judge places, ``misplaced``.
    ``subject`` is a URN of the state; of ``foreign`` things, which are in no state, what AWS calls
    it and its id. ``path`` is that of the property of ``changed``, the region of ``misplaced``,
    otherwise empty. ``expected`` is what was applied and ``actual`` what is there, with secrets as
    ``{"secret": true}``; both are None where there is nothing.
    """

    kind: str
    subject: str
    type: str
    path: str = ""
    expected: Any = None
    actual: Any = None


@dataclass(frozen=True, kw_only=True)
class Remaining(Documented):
    """What a removal has to leave for a time: a key that waits for its deletion, a snapshot …

    ``kind`` is as in ARNs. ``until`` is ISO 8601 in UTC, None for what stays until somebody deletes
    it; ``why`` is a sentence.
    """

    kind: str
    id: str
    arn: str = ""
    until: str | None = None
    why: str


@dataclass(frozen=True, kw_only=True)
class Store(Documented):
    """What a data store holds.

    ``place`` is what AWS calls it, with the part of it that counts; ``urn`` is empty where another
    stack has the store, as a slice has a part of its Hub's. ``data_class`` is ``customer``,
    ``secret`` or ``operational``. ``items`` and ``bytes`` are None where nobody can count them;
    ``countable`` is that of ``items``, and ``detail`` says why not, or what is counted.
    """

    urn: str = ""
    type: str
    name: str
    place: str
    data_class: str = ""
    items: int | None = None
    bytes: int | None = None
    countable: bool = True
    detail: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it was counted and holds nothing."""
        return self.countable and self.items == 0


@dataclass(frozen=True, kw_only=True)
class Place(Documented):
    """Where something is: ``subject`` in ``region``, ``global`` for what is in none.

    ``what`` is ``resource``, ``replica``, ``backup`` or ``shared``, which is a store of the Hub
    that a slice keeps its data in. ``of`` is the subject that a copy is of.
    """

    subject: str
    type: str
    what: str
    region: str
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class Look(Documented):
    """What a verification found; changes nothing. Secrets are masked.

    ``unanswered`` says why ``drift`` may not be all there is; empty when it is. So does
    ``unplaced`` of ``places``. ``everywhere``: other regions were searched as well. ``remaining``
    is what a look for nothing found that has to remain.
    """

    _readers: ClassVar[Readers] = {
        "checks": tuple_of(Check),
        "drift": tuple_of(Drift),
        "remaining": tuple_of(Remaining),
        "places": tuple_of(Place),
        "resources": tuple_of(PlannedResource),
        "secret_outputs": tuple,
    }

    checks: tuple[Check, ...]
    drift: tuple[Drift, ...] = ()
    unanswered: str = ""
    places: tuple[Place, ...] = ()
    unplaced: str = ""
    everywhere: bool = False
    resources: tuple[PlannedResource, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    secret_outputs: tuple[str, ...] = ()
    state_digest: str
    remaining: tuple[Remaining, ...] = ()
