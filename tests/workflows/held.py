"""Placing and releasing holds: what the tests of holds share."""

from __future__ import annotations

from typing import Any

from control_plane.domain.hold import Applying, Hold, HoldKind
from control_plane.services import holds
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.world import OPS, World


def place(
    world: World,
    tenant_id: str | None,
    kind: HoldKind = HoldKind.PAUSE,
    who: Caller = OPS,
    applying: Applying = Applying.FINISHES,
) -> Hold:
    """Place a hold on a tenant."""
    return perform(
        world.core, who, holds.place_on_tenant, tenant_id or "",
        kind=kind, applying=applying, reason="somebody asked for it",
    )  # fmt: skip


def release(world: World, hold: Hold, who: Caller = OPS, *, works: bool = True) -> Hold:
    """Release a hold, and do what follows."""
    found = perform(world.core, who, holds.release_hold, hold.id, reason="it is settled")
    if works:
        world.work()
    return found


def waiting(world: World) -> Any:
    """Return a Mode B run that waits for its decision."""
    run_id = world.submit("B").run_id
    world.work()
    return world.run(run_id)
