"""Waking what waits: slices for a Hub with room, deployments for an account.

A transaction that finds no room takes the same name (``serialize_on``) as one that makes room, so
that neither misses the other.
"""

from __future__ import annotations

from typing import Final

from control_plane.domain.hub import Hub
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.workflows.core import WORKER, Act
from control_plane.workflows.moving import unblock

ACCOUNT_POOL: Final = "account-pool"
_AT_ONCE: Final = 200  # runs that one event wakes


def hub_room(region: str) -> str:
    """Return the name that slices and Hubs of a region take turns on."""
    return f"hub-room:{region}"


def wake_for_hub(act: Act, hub: Hub) -> int:
    """Wake the Hub's own slices, and as many others as it has room for; returns how many."""
    act.uow.serialize_on(hub_room(hub.region))
    blocked_runs, reason = act.uow.queries.blocked_runs, BlockedOn.HUB_UNAVAILABLE
    own = blocked_runs(reason, limit=_AT_ONCE, hub_id=hub.id)
    woken = sum(_wake(act, run_id) for run_id in own)
    room = hub.capacity - act.uow.queries.slices([hub.id])[hub.id]
    others = blocked_runs(reason, limit=max(room, 0), region=hub.region)
    return woken + sum(_wake(act, run_id) for run_id in others)


def wake_for_account(act: Act) -> int:
    """Wake runs that wait for an account, as many as find one now; returns how many."""
    act.uow.serialize_on(ACCOUNT_POOL)
    free = act.uow.accounts.find(claimed_by=None)
    places = _AT_ONCE if any(account.shared for account in free) else len(free)
    waiting = act.uow.queries.blocked_runs(BlockedOn.NO_ACCOUNT, limit=places)
    return sum(_wake(act, run_id) for run_id in waiting)


def _wake(act: Act, run_id: str) -> bool:
    run = act.uow.runs.get(run_id, lock=True)
    if run is None or run.status is not RunStatus.BLOCKED:
        return False
    unblock(act.by(WORKER), run, action="run.unblocked")
    return True
