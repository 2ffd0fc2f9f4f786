"""Where all tenants of a caller stand, counted."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.domain.standing_counts import StandingCount
from control_plane.services.permission import READ_TENANTS, require_role
from control_plane.workflows.core import Act


def count_tenants(act: Act) -> Sequence[StandingCount]:
    """Return how many of the caller's tenants have each status, and for whom they wait.

    Those that wait come first, the longest before the others.
    """
    require_role(act, *READ_TENANTS, wanted="tenants.read")
    seen = act.caller.actor.tenants
    found = act.uow.queries.count_tenants(None if "*" in seen else tuple(seen))
    return sorted(found, key=lambda each: (each.waiting_on is None, each.since, each.status))
