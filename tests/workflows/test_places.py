"""Which Hub a slice is on, and what lets it go on when it waits for one."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import hubs, runs
from control_plane.services.performing import perform
from control_plane.workflows.waking import wake_for_hub
from tests.scripted_engine import Fault
from tests.world import ADMIN, OPS, World


def hub_of(world: World, run_id: str | None) -> str | None:
    deployment = world.rows("deployment")[world.run(run_id).deployment_id]
    found: str | None = deployment.hub_id
    return found


def test_a_half_made_slice_stays_on_its_hub(world: World) -> None:
    first, waits = perform(
        world.core, ADMIN, hubs.request_hub, region="eu-west-1", cell="c1", capacity=10
    )
    world.work()
    own = world.ready_hub(cell="c2")
    world.engine.faults.append(Fault(kind="fails", after=1))
    accepted = world.submit("A")
    world.work()
    assert world.run(accepted.run_id).status is RunStatus.ERRORED
    world.approve(waits.id)  # the older Hub is ready now, and comes first by its id
    fresh = perform(world.core, OPS, runs.retry_run, accepted.run_id or "")
    world.work()
    assert world.run(fresh.id).status is RunStatus.APPLIED
    assert hub_of(world, fresh.id) == own != first.id


def set_status(world: World, hub_id: str, status: HubStatus) -> None:
    """Give a Hub a status, as its own runs do."""
    with world.core.uow() as uow:
        hub = uow.hubs.get(hub_id, lock=True)
        assert hub is not None
        uow.hubs.save(replace(hub, status=status, version=hub.version + 1))
        uow.commit()


def test_the_slices_of_a_full_hub_go_on_when_it_is_ready_again(world: World) -> None:
    hub_id = world.ready_hub(capacity=1)
    world.engine.faults.append(Fault(kind="fails", after=1))
    accepted = world.submit("A")
    world.work()
    set_status(world, hub_id, HubStatus.FAILED)
    fresh = perform(world.core, OPS, runs.retry_run, accepted.run_id or "")
    world.work()
    assert world.run(fresh.id).blocked_on is BlockedOn.HUB_UNAVAILABLE
    set_status(world, hub_id, HubStatus.READY)
    with world.core.act() as act:
        hub = act.uow.hubs.get(hub_id)
        assert hub is not None
        assert wake_for_hub(act, hub) == 1
        act.uow.commit()
    world.work()
    assert world.run(fresh.id).status is RunStatus.APPLIED
