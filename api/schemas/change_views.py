"""Changes of tenants and Hubs as the API answers them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Self

from api.schemas.views import DependentView, DifferenceView, View
from control_plane.domain.amendment import Amendment
from control_plane.domain.hub import HubStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services.changes import Change
from control_plane.services.hub_changes import HubChange, SliceUpdates


class ChangeView(View):
    """What a change of a tenant comes to; ``plan_run_id`` is the run that only plans it."""

    tenant_id: str
    mode: str | None
    status: TenantStatus
    waiting_on: WaitingOn | None
    changed: list[str]
    spec: list[DifferenceView]
    needs_run: bool
    run_id: str | None
    supersedes: str | None
    plan_run_id: str | None
    summary: str
    notes: list[str]

    @classmethod
    def of(cls, change: Change) -> Self:
        """Return the view of a change, made or not."""
        tenant = change.tenant
        return cls.like(
            change,
            tenant_id=tenant.id,
            mode=tenant.mode,
            status=tenant.status,
            waiting_on=tenant.waiting_on,
            changed=list(change.changed),
            spec=[DifferenceView.like(each) for each in change.spec],
            notes=list(change.notes),
        )


class HubChangeView(View):
    """What a change of a Hub comes to; ``affected`` are the tenants that have a slice on it."""

    hub_id: str
    status: HubStatus
    capacity: int
    changed: list[str]
    spec: list[DifferenceView]
    affected: list[DependentView]
    needs_run: bool
    run_id: str | None
    supersedes: str | None
    plan_run_id: str | None
    summary: str

    @classmethod
    def of(cls, change: HubChange) -> Self:
        """Return the view of a change, made or not."""
        return cls.like(
            change,
            hub_id=change.hub.id,
            status=change.hub.status,
            capacity=change.hub.capacity,
            changed=list(change.changed),
            spec=[DifferenceView.like(each) for each in change.spec],
            affected=[DependentView.like(each) for each in change.affected],
        )


class SliceUpdatesView(View):
    """Runs that bring slices to what their Hub is now; ``left`` counts those for the next call."""

    run_ids: list[str]
    skipped: list[dict[str, str]]
    left: int

    @classmethod
    def of(cls, found: SliceUpdates) -> Self:
        """Return the view of what was requested."""
        skipped = [{"deployment_id": each, "reason": why} for each, why in found.skipped]
        return cls(run_ids=list(found.run_ids), skipped=skipped, left=found.left)


class AmendmentView(View):
    """An amendment of a tenant's contract."""

    id: str
    number: str
    signed_at: datetime
    effective_on: date | None
    ends_on: date | None
    retention_until: date | None
    subscription: str | None
    seats: int | None
    sla_uptime_min: str | None
    amended_by: str
    amended_at: datetime

    @classmethod
    def of(cls, amendment: Amendment) -> Self:
        """Return the view of an amendment."""
        return cls.like(amendment)
