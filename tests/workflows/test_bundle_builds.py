"""Builds that were given up, and the life of a bundle around them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import BundleInvalid
from control_plane.services import bundles
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.timers import fire_due
from tests.workflows.desk import CUSTOMERS_ACCOUNT, Desk
from tests.world import ARCHITECT, World


@pytest.fixture
def desk(world: World) -> Desk:
    desk = Desk(world)
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    return desk


def ask_for_build(desk: Desk) -> None:
    perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)


@pytest.mark.parametrize("end", ["fails", "breaks_off", "succeeds"])
def test_a_build_that_was_given_up_writes_nothing_to_the_next(desk: Desk, end: str) -> None:
    ask_for_build(desk)
    seen: list[object] = []

    def give_up() -> None:
        if seen:
            return
        desk.world.clock.advance(minutes=31)
        fire_due(desk.core)
        assert desk.bundle().status is BundleStatus.BUILD_FAILED
        ask_for_build(desk)
        seen.append(desk.bundle())
        if end == "fails":
            raise BundleInvalid("no", checks=[{"name": "format", "ok": False}])
        if end == "breaks_off":
            raise OSError("no space left")

    desk.builder.look = give_up
    try:
        PHASES["build_bundle"](desk.core, desk.bundle_id)
    except OSError:
        assert end == "breaks_off"
    assert desk.bundle() == seen[0]
    desk.world.work()
    assert desk.bundle().status is BundleStatus.BUILT


def expire(desk: Desk, life: timedelta) -> BundleStatus:
    desk.world.clock.advance(days=life.days, seconds=1)
    fire_due(desk.core)
    return desk.bundle().status


def test_a_bundle_whose_build_failed_expires(desk: Desk) -> None:
    desk.builder.fault = BundleInvalid("no")
    assert desk.build().status is BundleStatus.BUILD_FAILED
    assert expire(desk, desk.core.limits.bundle_life) is BundleStatus.EXPIRED
    desk.builder.fault = None
    desk.edit()
    assert desk.build().status is BundleStatus.BUILT  # the next version takes its place


def test_a_bundle_that_is_built_when_its_time_is_over_expires_after_its_build(desk: Desk) -> None:
    desk.world.clock.advance(days=desk.core.limits.bundle_life.days, seconds=-60)
    ask_for_build(desk)
    desk.world.clock.advance(seconds=61)
    fire_due(desk.core)
    assert desk.bundle().status is BundleStatus.BUILDING
    desk.world.work()
    assert desk.bundle().status is BundleStatus.BUILT
    assert expire(desk, timedelta(days=1)) is BundleStatus.EXPIRED


def test_a_bundle_that_is_handed_over_after_that_expires_at_its_new_end(desk: Desk) -> None:
    desk.world.clock.advance(days=desk.core.limits.bundle_life.days, seconds=-60)
    ask_for_build(desk)
    desk.world.clock.advance(seconds=61)
    fire_due(desk.core)
    desk.world.work()
    desk.hand_over()
    assert expire(desk, timedelta(days=1)) is BundleStatus.HANDED_OVER
    assert expire(desk, desk.core.limits.bundle_life) is BundleStatus.EXPIRED
