"""A run whose phase ended with a fault of ours is found and goes on, or is ended for somebody."""

from __future__ import annotations

import pytest

from control_plane.domain.errors import Unavailable
from control_plane.domain.run import RunStatus
from control_plane.services.sweeps import revive_stalled
from control_plane.workflows import PHASES
from tests.world import World


def stalled() -> tuple[World, str]:
    """Return a world with a run whose phase was interrupted by an outage."""
    world = World()
    accepted = world.submit("B")

    def outage(phase: str, subject: str) -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        world.queue.drain(outage)
    return world, accepted.run_id or ""


def test_a_run_that_fell_out_of_the_queue_goes_on() -> None:
    world, run_id = stalled()
    assert revive_stalled(world.core, set) == 0  # it may still be on its way
    world.clock.advance(seconds=31)
    assert revive_stalled(world.core, set) == 1
    world.work()
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL


def test_a_run_that_is_in_the_queue_is_left_alone() -> None:
    world, run_id = stalled()
    world.clock.advance(minutes=10)
    assert revive_stalled(world.core, lambda: {run_id}) == 0
    assert world.run(run_id).attempt == 1


def test_a_run_that_falls_out_again_and_again_is_ended() -> None:
    world, run_id = stalled()
    for _ in range(world.core.limits.engine_attempts):
        world.clock.advance(seconds=31)
        revive_stalled(world.core, set)
    ended = world.run(run_id)
    assert ended.status is RunStatus.ERRORED
    assert ended.error["code"] == "internal"
    assert PHASES["plan_run"](world.core, run_id) is None  # nothing is done for it any more
