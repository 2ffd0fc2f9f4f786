"""What an engine says of a stack: its plans, its resources, its locks and what was found.

The JSON of each type has the same keys as its fields; columns of runs and plans hold that form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from control_plane.domain.documents import Documented, Readers, tuple_of

Resolution = Literal["imported", "adopted", "cleared"]


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
    ``unplaced`` of ``places``. ``everywhere``: other regions were searched as well.
    """

    _readers: ClassVar[Readers] = {
        "checks": tuple_of(Check),
        "drift": tuple_of(Drift),
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
