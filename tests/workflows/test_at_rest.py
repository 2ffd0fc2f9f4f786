"""Nobody looks at what merely waits: for a person, for a place, or for a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from control_plane.workflows.timers import fire_due
from tests.world import OPS, World

WATCHED: Final = timedelta(hours=12)
EVERY: Final = timedelta(seconds=30)
AT_MOST: Final = timedelta(minutes=5)  # after which the timers of what happened have gone


def in_the_queue(world: World) -> RunStatus:
    """A run that no worker has a place for."""
    return world.run(world.submit("B").run_id).status


def in_the_queue_after_a_wait(world: World) -> RunStatus:
    """A run whose lock somebody did not want to wait for any longer: its timer is still set."""
    run_id = world.submit("B").run_id
    world.work()
    deployment = world.rows("deployment")[world.run(run_id).deployment_id]
    world.engine.hold_lock(deployment.stack)
    world.approve(run_id)
    assert world.run(run_id).blocked_on is BlockedOn.FOREIGN_LOCK
    perform(world.core, OPS, runs.retry_run, run_id)
    return world.run(run_id).status


def for_a_decision(world: World) -> RunStatus:
    """A run that somebody has to approve."""
    run_id = world.submit("B").run_id
    world.work()
    return world.run(run_id).status


def for_a_hub(world: World) -> RunStatus:
    """A slice without a Hub that has room."""
    run_id = world.submit("A").run_id
    world.work()
    return world.run(run_id).status


def for_an_architect(world: World) -> None:
    """A bundle that nobody has accepted."""
    world.submit("C")


def for_nothing(world: World) -> RunStatus:
    """A run that has ended."""
    run_id = world.submit("B").run_id
    world.work()
    world.approve(run_id)
    return world.run(run_id).status


WAITS: Final[dict[Callable[[World], RunStatus | None], RunStatus | None]] = {
    in_the_queue: RunStatus.REQUESTED,
    in_the_queue_after_a_wait: RunStatus.APPROVED,
    for_a_decision: RunStatus.AWAITING_APPROVAL,
    for_a_hub: RunStatus.BLOCKED,
    for_an_architect: None,
    for_nothing: RunStatus.APPLIED,
}


@pytest.mark.parametrize("waits", WAITS, ids=lambda waits: waits.__name__)
def test_what_waits_is_not_looked_at(
    world: World, waits: Callable[[World], RunStatus | None]
) -> None:
    assert waits(world) is WAITS[waits]
    world.clock.advance(seconds=AT_MOST.total_seconds())
    fire_due(world.core)
    looks = 0
    for _ in range(WATCHED // EVERY):
        world.clock.advance(seconds=EVERY.total_seconds())
        looks += fire_due(world.core)
    assert looks == 0
