"""A run whose phase ended with a fault of ours is found and goes on, or is ended for somebody."""

from __future__ import annotations

import pytest

from control_plane.domain.errors import Unavailable
from control_plane.domain.run import RunStatus
from control_plane.workflows import PHASES
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import ProcessDied
from tests.world import World


@pytest.fixture
def run_id(world: World) -> str:
    """A run whose phase was interrupted by an outage."""
    accepted = world.submit("B")

    def outage(phase: str, subject: str) -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        world.work(outage)
    return accepted.run_id or ""


def test_a_run_that_fell_out_of_the_queue_goes_on(world: World, run_id: str) -> None:
    assert fire_due(world.core) == 0  # it may still be on its way
    world.clock.advance(seconds=31)
    assert fire_due(world.core) == 1
    world.work()
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL


def test_a_run_that_is_in_the_queue_is_left_alone(world: World) -> None:
    run_id = world.submit("B").run_id
    for _ in range(3):
        world.clock.advance(minutes=10)
        fire_due(world.core)
    assert world.run(run_id).turn == 1
    world.work()
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL


def test_a_run_that_kills_its_workers_is_ended(world: World, run_id: str) -> None:
    """Whoever takes it up, and however often the queue counts anew."""

    def dies(phase: str, subject: str) -> None:
        def killed(what: str, call: object) -> None:
            raise ProcessDied

        world.engine.during = killed
        PHASES[phase](world.core, subject)

    deaths = 0
    while world.run(run_id).status is not RunStatus.ERRORED:
        world.clock.advance(seconds=31)
        fire_due(world.core)
        try:
            world.work(dies)
        except ProcessDied:
            deaths += 1
        assert deaths <= world.core.limits.deaths
    assert deaths == world.core.limits.deaths
    ended = world.run(run_id)
    assert ended.error["code"] == "internal"
    PHASES["advance_run"](world.core, run_id)  # nothing is done for it any more
    assert world.run(run_id) == ended
