"""The shared Hub of one region and cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

MOST_SLICES: Final = 900  # on one Hub: each has a role, and an account has a thousand of them


class HubStatus(StrEnum):
    """Where a Hub stands."""

    REQUESTED = "requested"
    PENDING = "pending"  # its plan waits for a decision
    PROVISIONING = "provisioning"
    READY = "ready"  # takes slices while it has room
    FAILED = "failed"
    DEPROVISIONING = "deprovisioning"
    DEPROVISIONED = "deprovisioned"


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A shared Hub; belongs to the platform. ``capacity`` counts slices.

    ``requesters`` are those who asked for it: none of them decides on its plans.
    """

    id: str
    region: str
    cell: str
    capacity: int
    status: HubStatus
    hold: bool = False
    saga_id: str | None = None  # the one that is open
    removed_at: datetime | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    requesters: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def shown(self, status: HubStatus, now: datetime) -> Hub:
        """Return the Hub with the status that ``owner_status`` computed."""
        return replace(self, status=status, updated_at=now, version=self.version + 1)


@dataclass(frozen=True, kw_only=True)
class HubWish:
    """What somebody asks to be changed of a Hub; only what changes is in it."""

    capacity: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"capacity": self.capacity, "environment": dict(self.environment)}

    @property
    def names(self) -> tuple[str, ...]:
        """What it names, sorted."""
        sized = ("capacity",) if self.capacity is not None else ()
        return tuple(sorted((*sized, *(f"environment.{name}" for name in self.environment))))
