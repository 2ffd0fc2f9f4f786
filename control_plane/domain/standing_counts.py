"""How many tenants stand where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from control_plane.domain.tenant import TenantStatus, WaitingOn


@dataclass(frozen=True, kw_only=True)
class StandingCount:
    """The tenants of one status that wait for one party; ``since`` is when the first came there.

    ``drifted`` and ``held`` say how many of them are not as they were applied, or under a hold.
    """

    status: TenantStatus
    waiting_on: WaitingOn | None
    count: int
    drifted: int
    held: int
    since: datetime
