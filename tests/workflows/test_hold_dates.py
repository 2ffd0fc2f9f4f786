"""Dates after which something is deleted or expires do not pass while some holds stand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import LinkExpired
from control_plane.domain.hold import STOPS_CLOCKS, Hold, HoldKind
from control_plane.services import handovers, holds
from control_plane.services.performing import perform
from control_plane.workflows.timers import fire_due
from tests.storage import Storage
from tests.workflows.desk import Desk
from tests.world import ADMIN, OPS, World, person

LIFE = timedelta(days=7)
PASSES = sorted(set(HoldKind) - STOPS_CLOCKS)


@pytest.fixture
def world(storage: Storage) -> World:
    """A world in which the details of a run live for a week."""
    return World(storage, details_life=LIFE)


def place(world: World, tenant_id: str, kind: HoldKind) -> Hold:
    return perform(
        world.core, OPS, holds.place_on_tenant, tenant_id, kind=kind, reason="a court asked for it"
    )


def release(world: World, hold: Hold) -> None:
    perform(world.core, ADMIN, holds.release_hold, hold.id, reason="it is settled")


def let_pass(world: World, **time: float) -> None:
    """Let time pass, and do what fell due."""
    world.clock.advance(**time)
    while fire_due(world.core):
        world.work()


def lines(world: World, run_id: str) -> int:
    with world.core.uow() as uow:
        return len(uow.run_events.after(run_id, 0))


def applied(world: World) -> tuple[str, str]:
    """Return a tenant and its run, which has ended."""
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    return accepted.tenant.id, accepted.run_id or ""


@pytest.mark.parametrize("kind", sorted(STOPS_CLOCKS))
def test_the_lines_of_a_run_are_kept_until_the_last_such_hold_is_released(
    world: World, kind: HoldKind
) -> None:
    tenant_id, run_id = applied(world)
    first, second = place(world, tenant_id, kind), place(world, tenant_id, kind)
    let_pass(world, days=30)
    release(world, first)
    let_pass(world, days=30)
    assert lines(world, run_id) > 3
    release(world, second)
    let_pass(world, days=1)
    assert lines(world, run_id) == 0


@pytest.mark.parametrize("kind", PASSES)
def test_other_holds_let_dates_pass(world: World, kind: HoldKind) -> None:
    tenant_id, run_id = applied(world)
    place(world, tenant_id, kind)
    let_pass(world, days=7)
    assert lines(world, run_id) == 0


def test_the_lines_of_another_tenant_are_forgotten_in_time(world: World) -> None:
    _, run_id = applied(world)
    place(world, world.submit("B", 2).tenant.id, HoldKind.LEGAL)
    let_pass(world, days=7)
    assert lines(world, run_id) == 0


def test_the_lines_of_a_held_hub_are_kept(world: World) -> None:
    hub_id = world.ready_hub()
    (run_id,) = world.rows("run")
    hold = perform(
        world.core, OPS, holds.place_on_hub, hub_id, kind=HoldKind.LEGAL, reason="a court"
    )
    let_pass(world, days=30)
    assert lines(world, run_id) > 3
    release(world, hold)
    let_pass(world, days=1)
    assert lines(world, run_id) == 0


def test_a_bundle_does_not_expire_while_such_a_hold_stands(world: World) -> None:
    desk = Desk(world)
    desk.handed_over()
    hold = place(world, desk.tenant_id, HoldKind.LEGAL)
    let_pass(world, days=100)
    assert desk.bundle().status is BundleStatus.HANDED_OVER
    release(world, hold)
    let_pass(world, days=1)
    assert desk.bundle().status is BundleStatus.EXPIRED


@pytest.mark.parametrize("kind", HoldKind)
def test_a_link_opens_after_its_date_while_such_a_hold_stands(world: World, kind: HoldKind) -> None:
    desk = Desk(world)
    token = desk.handed_over().token
    hold = place(world, desk.tenant_id, kind)
    world.clock.advance(hours=73)

    def opens() -> bool:
        who = person("anybody")
        try:
            perform(world.core, who, handovers.download_by_link, desk.bundle_id, token, name=None)
        except LinkExpired:
            return False
        return True

    assert opens() is (kind in STOPS_CLOCKS)
    release(world, hold)
    assert opens() is False
