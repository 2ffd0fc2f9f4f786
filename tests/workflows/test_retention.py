"""What an ended run keeps for some time only, and what a run that may go on keeps always."""

from __future__ import annotations

from datetime import timedelta

import pytest

from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from control_plane.workflows.calling import CALLS_KEPT, register_call
from control_plane.workflows.moving import locked_run
from control_plane.workflows.timers import fire_due
from tests.storage import Storage
from tests.world import OPS, World

LIFE = timedelta(days=7)


@pytest.fixture
def world(storage: Storage) -> World:
    """A world in which the details of a run live for a week."""
    return World(storage, details_life=LIFE, look_every=None)


def kept(world: World, run_id: str) -> int:
    """Return how many lines a run has."""
    with world.core.uow() as uow:
        return len(uow.run_events.after(run_id, 0))


def let_pass(world: World, **time: float) -> None:
    """Let time pass, and do what fell due."""
    world.clock.advance(**time)
    while fire_due(world.core):
        world.work()


def applied(world: World) -> str:
    run_id = world.submit("B").run_id or ""
    world.work()
    world.approve(run_id)
    assert world.run(run_id).status is RunStatus.APPLIED
    return run_id


def test_an_ended_run_loses_its_lines_after_their_life(world: World) -> None:
    run_id = applied(world)
    lines = kept(world, run_id)
    assert lines > 3
    before = world.storage.everything()
    let_pass(world, days=7, seconds=-1)
    assert kept(world, run_id) == lines
    let_pass(world, seconds=1)
    assert kept(world, run_id) == 0
    after = world.storage.everything()
    changed = {name for name in before if before[name] != after[name]}
    # the plan with its digest, decisions, evidence: all there
    assert changed == {"run_event", "timer"}
    assert world.events()  # and so is the log


def test_what_ended_otherwise_loses_them_too(world: World) -> None:
    run_id = world.submit("B").run_id or ""
    world.work()
    perform(world.core, OPS, runs.cancel_run, run_id)
    assert world.run(run_id).status is RunStatus.CANCELED
    let_pass(world, days=7)
    assert kept(world, run_id) == 0


def test_a_run_that_waits_for_a_decision_keeps_its_lines(world: World) -> None:
    run_id = world.submit("B").run_id or ""
    world.work()
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL
    lines = kept(world, run_id)
    let_pass(world, hours=71)  # as long as it may wait
    assert kept(world, run_id) == lines


def test_a_blocked_run_keeps_everything_however_long_it_waits(world: World) -> None:
    run_id = world.submit("A").run_id or ""
    world.work()
    assert world.run(run_id).blocked_on is BlockedOn.HUB_UNAVAILABLE
    lines = kept(world, run_id)
    let_pass(world, days=365)
    assert kept(world, run_id) == lines
    world.ready_hub()
    world.work()
    assert world.run(run_id).status is RunStatus.APPLIED


def test_a_newer_run_of_the_same_deployment_keeps_its_own(world: World) -> None:
    world.engine.failing_checks = {"answers_in_cloud"}
    first = world.submit("B").run_id or ""
    world.work()
    world.approve(first)
    assert world.run(first).status is RunStatus.ERRORED
    world.engine.failing_checks = set()
    let_pass(world, days=6)
    second = perform(world.core, OPS, runs.retry_run, first).id
    world.work()
    assert world.run(second).ended_at == world.clock.now()
    lines = kept(world, second)
    let_pass(world, days=1)
    assert kept(world, first) == 0
    assert kept(world, second) == lines
    assert lines > 0


def test_of_the_engine_calls_of_a_deployment_the_newest_are_kept(world: World) -> None:
    run_id = applied(world)
    with world.core.act() as act:
        run, deployment = locked_run(act.uow, run_id)
        for _ in range(CALLS_KEPT + 3):
            newest = register_call(act, run, deployment)
        act.uow.commit()
    with world.core.uow() as uow:
        calls = uow.queries.calls_of(deployment.id, limit=2 * CALLS_KEPT)
        assert len(calls) == CALLS_KEPT == uow.calls.count()
    assert calls[0].id == newest.call_id
