"""Tenant, contract and provisioning request.

The provisioning region of the tenant's life; onboarding, adoption and commerce are regions of
their own with their own tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A customer of the platform; the unit of isolation.

    ``facts`` are the resolver's present facts and ``decision`` its last answer, both plain JSON.
    ``editors`` are the people who changed the facts: they are excluded from deciding on its plans.
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
    saga_id: str | None = None  # the one that is open
    retention_until: datetime | None = None  # what it has is not removed before
    removed_at: datetime | None = None
    mode: str | None = None
    region: str | None = None
    facts: Json = field(default_factory=dict)
    decision: Json = field(default_factory=dict)
    editors: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def shown(self, status: TenantStatus, waiting_on: WaitingOn | None, now: datetime) -> Tenant:
        """Return the tenant with the status that ``owner_status`` computed."""
        return replace(
            self, status=status, waiting_on=waiting_on, updated_at=now, version=self.version + 1
        )

    def retained(self, until: datetime, now: datetime) -> Tenant:
        """Return the tenant with another date before which nothing of it is removed."""
        return replace(self, retention_until=until, updated_at=now, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What was signed; both its envelope and its number are unique per provider."""

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


@dataclass(frozen=True, kw_only=True)
class RefusedRequest:
    """A request of a known contract that was refused: what a later acceptance refers to."""

    id: str
    provider: str
    envelope_id: str
    body_digest: str
    code: str
    requested_by: str
    refused_at: datetime
