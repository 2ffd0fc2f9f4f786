"""The shared Hub of one region and cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.transitions import move


class HubStatus(StrEnum):
    """Where a Hub stands."""

    REQUESTED = "requested"
    PENDING = "pending"  # its plan waits for a decision
    PROVISIONING = "provisioning"
    READY = "ready"  # takes slices while it has room
    FAILED = "failed"


HUB_TRANSITIONS: Final[Mapping[HubStatus, frozenset[HubStatus]]] = {
    HubStatus.REQUESTED: frozenset({HubStatus.PENDING, HubStatus.PROVISIONING, HubStatus.FAILED}),
    HubStatus.PENDING: frozenset({HubStatus.PROVISIONING, HubStatus.FAILED, HubStatus.READY}),
    HubStatus.PROVISIONING: frozenset({HubStatus.READY, HubStatus.FAILED, HubStatus.PENDING}),
    HubStatus.READY: frozenset({HubStatus.PENDING}),
    HubStatus.FAILED: frozenset({HubStatus.PENDING, HubStatus.PROVISIONING}),
}


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A shared Hub; belongs to the platform. ``capacity`` counts slices."""

    id: str
    region: str
    cell: str
    capacity: int
    status: HubStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(self, status: HubStatus, now: datetime) -> Hub:
        """Return the Hub in ``status``; the only way that its status changes."""
        move(HUB_TRANSITIONS, self.status, status, subject=self.id)
        return replace(self, status=status, updated_at=now, version=self.version + 1)
