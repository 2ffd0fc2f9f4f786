"""A deployment: long-lived infrastructure of one owner in one mode and environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.adoption import Adopted
from control_plane.domain.canonical import digest


class DeploymentKind(StrEnum):
    """What is built; each kind has one program and one spec schema."""

    HUB = "hub"  # the shared Hub of a region and cell
    SLICE = "slice"  # Mode A: one tenant's part of a shared Hub
    DEDICATED = "dedicated"  # Mode B
    CUSTOMER_RUN = "customer_run"  # Mode C: a bundle, no stack of ours


class Position(StrEnum):
    """Which of its tenant's deployments it is, one after the other, in one environment."""

    CURRENT = "current"  # decides about the tenant; there is one
    NEXT = "next"  # built beside the current one, which it may take the place of
    FORMER = "former"  # was current, or was never to be; it is on its way out


PLATFORM: Final = "platform"  # owner of what belongs to no tenant, and name of its audit tree
ROOT: Final = "root"  # the audit tree of the heads of all others; nobody owns anything in it
_STACK_PART: Final = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


def stack_name(*parts: str) -> str:
    """Join the parts of a stack name: ``hub.<region>.<cell>`` or ``<slug>.<environment>.<mode>``.

    Raises ``ValueError`` for a part that could be read as an option or a path.
    """
    for part in parts:
        if not _STACK_PART.match(part):
            raise ValueError(f"not a part of a stack name: {part!r}")
    return ".".join(parts)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What one owner has, in one environment.

    ``tenant_id`` is None for the platform's own. ``chosen`` is what was chosen for it beside the
    facts of its owner (``domain/environment.py``). ``state_digest`` is that of the last state that
    a run of ours wrote or settled. ``is_unsettled``: an engine call that may change the stack is
    under way or ended badly, or the last verification failed, so that the stack is inspected before
    it is used. ``unprotected`` names what its specs take protection away from, for its removal.
    ``transfer`` says how the data is moved elsewhere, ``inherited`` of a whole Hub under which keys
    the data of a slice lies in it; both are empty otherwise, and part of the specs. ``is_read``:
    settling brought the state to what the cloud has, and no run of the whole was verified since, so
    that a look which agrees with the state does not say that the cloud is as it should be.
    """

    id: str
    tenant_id: str | None
    hub_id: str | None  # of a slice: the Hub it is part of; of a hub: itself
    kind: DeploymentKind
    environment: str
    region: str
    account_id: str
    stack: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    spec_number: int = 0  # the newest spec; 0: it has none yet
    applied_spec: int = 0  # the spec whose verification held last
    is_unsettled: bool = False
    evidence_id: str | None = None  # the newest verification
    state_digest: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    position: Position = Position.CURRENT
    transfer: Mapping[str, Any] = field(default_factory=dict)
    inherited: Mapping[str, Any] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()
    removed_at: datetime | None = None
    adopted: tuple[Adopted, ...] = ()
    is_read: bool = False
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def changed(self, now: datetime, **changes: Any) -> Deployment:
        """Return the deployment with other facts."""
        return replace(self, updated_at=now, version=self.version + 1, **changes)


class Desired(StrEnum):
    """Whether a spec wants the deployment to exist."""

    PRESENT = "present"
    ABSENT = "absent"


def spec_digest(document: Mapping[str, Any], desired: Desired) -> str:
    """Return the digest of a spec; one that wants nothing to exist never equals one that does."""
    if desired is Desired.PRESENT:
        return digest(dict(document))
    return digest({"desired": str(desired), "document": dict(document)})


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """What a deployment should be; never changed. A run goes from one spec to the next."""

    id: str  # "<deployment id>.<number>"
    deployment_id: str
    number: int
    document: Mapping[str, Any]
    digest: str
    desired: Desired
    made_by: str
    made_at: datetime

    @property
    def content_digest(self) -> str:
        """Digest of what it wants, as plans and approvals are bound to it.

        While that is present, it is the digest of the document, as earlier releases took it.
        """
        return spec_digest(self.document, self.desired)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A pre-vended AWS account. A ``shared`` one serves many deployments and is never claimed.

    ``served`` is the deployment that something was applied for in it first: it serves no other, and
    is retired when that is removed.
    """

    id: str
    account_id: str
    role_arn: str | None
    external_id: str | None
    shared: bool
    claimed_by: str | None  # deployment id
    served: str | None = None  # deployment id
    retired_at: datetime | None = None
    created_at: datetime
