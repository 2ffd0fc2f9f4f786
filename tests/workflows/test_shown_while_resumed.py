"""A tenant is not shown as ready while an apply that was interrupted is resumed."""

from __future__ import annotations

from typing import Any

from control_plane.domain.hold import Applying
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from tests.scripted_engine import Fault
from tests.workflows.held import place, release
from tests.world import ADMIN, World

LARGER = {"seats": 2000, "ip_allow_list": ["203.0.113.0/24"]}


def test_an_update_that_resumes_after_a_hold_takes_ready_away(world: World) -> None:
    """Found by the model: the run stayed in its status, so that nothing moved its tenant."""
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    change = perform(
        world.core, ADMIN, request_change, accepted.tenant.id, facts=LARGER, reason="it grows"
    )
    world.work()
    holds: list[Any] = []
    shown: list[tuple[TenantStatus, WaitingOn | None]] = []

    def look(what: str, _: Any) -> None:
        if what != "change":
            return
        tenant = world.tenant(accepted.tenant.id)
        shown.append((tenant.status, tenant.waiting_on))
        if not holds:
            holds.append(place(world, tenant.id, applying=Applying.STOPS))

    world.engine.during = look
    world.engine.faults.append(Fault(kind="runner_dies", after=0, created=False))
    world.approve(change.run_id)
    assert world.run(change.run_id).status is RunStatus.BLOCKED
    assert world.tenant(accepted.tenant.id).status is TenantStatus.READY  # nothing was changed
    release(world, holds[0])
    assert world.run(change.run_id).status is RunStatus.APPLIED
    assert shown == [(TenantStatus.PROVISIONING, WaitingOn.PLATFORM)] * 2
    assert world.tenant(accepted.tenant.id).status is TenantStatus.READY
