"""Tenant, contract and provisioning request.

The provisioning region of the tenant's life; onboarding, adoption and commerce are regions of
their own with their own tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.transitions import move

Json = Mapping[str, Any]


class TenantStatus(StrEnum):
    """Where the tenant's infrastructure stands."""

    REQUESTED = "requested"  # accepted, mode not yet resolved
    MODE_CONFLICT = "mode_conflict"  # contract and facts disagree, or need a review
    PENDING = "pending"  # waits for the party named in waiting_on
    PROVISIONING = "provisioning"  # a run applies, or the customer does
    READY = "ready"  # every check passed
    FAILED = "failed"  # the last run errored; retry is possible
    DEPROVISIONING = "deprovisioning"
    DEPROVISIONED = "deprovisioned"  # terminal; the slug stays taken


class WaitingOn(StrEnum):
    """Whose turn it is."""

    OPS = "ops"
    ARCHITECT = "architect"
    CUSTOMER = "customer"
    PLATFORM = "platform"


TENANT_TRANSITIONS: Final[Mapping[TenantStatus, frozenset[TenantStatus]]] = {
    TenantStatus.REQUESTED: frozenset(
        {TenantStatus.MODE_CONFLICT, TenantStatus.PENDING, TenantStatus.PROVISIONING}
    ),
    TenantStatus.MODE_CONFLICT: frozenset({TenantStatus.REQUESTED}),
    TenantStatus.PENDING: frozenset(
        {TenantStatus.PROVISIONING, TenantStatus.FAILED, TenantStatus.READY}
    ),
    TenantStatus.PROVISIONING: frozenset(
        {TenantStatus.READY, TenantStatus.FAILED, TenantStatus.PENDING}
    ),
    TenantStatus.READY: frozenset({TenantStatus.PENDING, TenantStatus.DEPROVISIONING}),
    TenantStatus.FAILED: frozenset(
        {TenantStatus.PENDING, TenantStatus.PROVISIONING, TenantStatus.DEPROVISIONING}
    ),
    TenantStatus.DEPROVISIONING: frozenset({TenantStatus.DEPROVISIONED, TenantStatus.FAILED}),
    TenantStatus.DEPROVISIONED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A customer of the platform; the unit of isolation.

    ``facts`` are the resolver's present facts and ``decision`` its last answer, both plain JSON.
    ``editors`` are the people who changed the facts: they are barred from deciding on its plans.
    """

    id: str
    slug: str
    legal_name: str
    domain: str
    country: str
    time_zone: str
    status: TenantStatus
    waiting_on: WaitingOn | None = None
    hold: bool = False
    drifted: bool = False
    mode: str | None = None
    region: str | None = None
    facts: Json = field(default_factory=dict)
    decision: Json = field(default_factory=dict)
    editors: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(
        self, status: TenantStatus, now: datetime, waiting_on: WaitingOn | None = None
    ) -> Tenant:
        """Return the tenant in ``status``; the only way that its status changes."""
        move(TENANT_TRANSITIONS, self.status, status, subject=self.id)
        return replace(
            self, status=status, waiting_on=waiting_on, updated_at=now, version=self.version + 1
        )


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What was signed; unique by provider and envelope whatever the idempotency key."""

    id: str
    provider: str
    envelope_id: str
    contract_id: str
    digest: str
    signed_at: datetime
    subscription: str
    mode: str | None
    seats: int | None
    tenant_id: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ProvisioningRequest:
    """The accepted request as it came in; ``body`` is its canonical JSON object."""

    id: str
    tenant_id: str
    contract_ref: str
    body: Json
    body_digest: str
    requested_by: str
    on_behalf_of: str | None
    created_at: datetime
