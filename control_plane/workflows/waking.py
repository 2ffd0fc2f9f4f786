"""Waking what waits: for room on a Hub, for an account, for the release of a hold.

A transaction that finds no room takes the same name (``serialize_on``) as one that makes room, so
that neither misses the other. For holds that is the lock of their owner.
"""

from __future__ import annotations

from typing import Final

from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import WORKER, Act
from control_plane.workflows.holding import Owner
from control_plane.workflows.moving import unblock
from control_plane.workflows.outbox import wake_held

ACCOUNT_POOL: Final = "account-pool"


def hub_room(region: str) -> str:
    """Return the name that slices and Hubs of a region take turns on."""
    return f"hub-room:{region}"


def wake_for_hub(act: Act, hub: Hub) -> int:
    """Wake the Hub's own slices, and as many others as it has room for; returns how many."""
    act.uow.serialize_on(hub_room(hub.region))
    blocked_runs, reason = act.uow.queries.blocked_runs, BlockedOn.HUB_UNAVAILABLE
    own = blocked_runs(reason, limit=None, hub_id=hub.id)
    return sum(_wake(act, run_id) for run_id in own) + wake_for_room(act, hub.region)


def wake_for_room(act: Act, region: str) -> int:
    """Wake as many slices as the ready Hubs of a region have room for; returns how many."""
    act.uow.serialize_on(hub_room(region))
    hubs = act.uow.hubs.find(region=region, status=HubStatus.READY, saga_id=None)
    taken = act.uow.queries.slices([hub.id for hub in hubs])
    room = sum(max(hub.capacity - taken[hub.id], 0) for hub in hubs)
    waiting = act.uow.queries.blocked_runs(
        BlockedOn.HUB_UNAVAILABLE, limit=room, region=region, is_placed=False
    )
    return sum(_wake(act, run_id) for run_id in waiting)


def wake_for_account(act: Act) -> int:
    """Wake runs that wait for an account, as many as find one now; returns how many."""
    act.uow.serialize_on(ACCOUNT_POOL)
    free = act.uow.accounts.find(claimed_by=None, served=None)
    places = None if any(account.shared for account in free) else len(free)
    waiting = act.uow.queries.blocked_runs(BlockedOn.NO_ACCOUNT, limit=places)
    return sum(_wake(act, run_id) for run_id in waiting)


def wake_for_release(act: Act, owner: Owner, *, is_free: bool) -> None:
    """Let runs that a hold of an owner blocked continue; the owner is locked.

    While other holds stand (not ``is_free``) they are checked again: these may allow more.
    """
    own = (
        act.uow.deployments.find(tenant_id=owner.id)
        if isinstance(owner, Tenant)
        else act.uow.deployments.find(hub_id=owner.id, kind=DeploymentKind.HUB)
    )
    waiting = act.uow.runs.find(
        deployment_id=tuple(each.id for each in own),
        status=RunStatus.BLOCKED, blocked_on=BlockedOn.HOLD,
    )  # fmt: skip
    for found in waiting:
        run = act.uow.runs.need(found.id, lock=True)
        if run.blocked_on is BlockedOn.HOLD:
            unblock(act.by(WORKER), run, action="run.unblocked" if is_free else None)
    if is_free and isinstance(owner, Tenant):
        wake_held(act, owner.id)


def _wake(act: Act, run_id: str) -> bool:
    run = act.uow.runs.get(run_id, lock=True)
    if run is None or run.status is not RunStatus.BLOCKED:
        return False
    unblock(act.by(WORKER), run, action="run.unblocked")
    return True
