"""What waits for a moment, a lock or a place goes on by itself, whatever happens to others."""

from __future__ import annotations

import pytest

from control_plane.domain.errors import Conflict, Unavailable
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.services import approvals, hubs, runs
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.calling import Listener, register_call
from control_plane.workflows.core import Act
from control_plane.workflows.moving import locked_run
from control_plane.workflows.timers import fire_due
from tests.world import ADMIN, OPS, World

VIOLATION = {
    "rule": "r", "enforcement": "mandatory", "urn": "u", "type": "t", "name": "n",
    "reason": "no", "remedy": "do",
}  # fmt: skip


def deployment_of(world: World, run_id: str | None) -> object:
    return world.rows("deployment")[world.run(run_id).deployment_id]


def test_a_turn_that_falls_due_before_its_phase_has_ended_is_not_lost(world: World) -> None:
    run_id = world.submit("B").run_id or ""

    def outage(phase: str, subject: str) -> None:
        with world.core.act() as act:
            act.uow.timers.cancel(TimerKind.RUN_WATCH, run_id)
            act.uow.timers.set(TimerKind.RUN_TURN, run_id, act.now())
            act.uow.commit()
        assert fire_due(world.core) == 1
        raise Unavailable

    with pytest.raises(Unavailable):
        world.work(outage)
    world.clock.advance(seconds=11)
    assert fire_due(world.core) == 1
    world.work()
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL


def test_a_lock_that_the_engine_itself_meets_is_looked_at_again(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    stack = str(vars(deployment_of(world, accepted.run_id))["stack"])
    world.engine.hold_lock(stack)
    world.approve(accepted.run_id)
    blocked = world.run(accepted.run_id)
    assert (blocked.status, blocked.blocked_on) == (RunStatus.BLOCKED, BlockedOn.FOREIGN_LOCK)
    world.engine.stacks[stack].locks.clear()
    world.clock.advance(minutes=5)
    fire_due(world.core)
    world.work()
    assert world.run(accepted.run_id).status is RunStatus.APPLIED


def test_a_slice_that_was_refused_gives_its_place_back(world: World) -> None:
    hub_id = world.ready_hub(capacity=1)
    world.policies.violations = [VIOLATION]
    first = world.submit("A", 1).run_id
    world.work()
    assert world.run(first).status is RunStatus.POLICY_FAILED
    assert vars(deployment_of(world, first))["hub_id"] is None
    world.policies.violations = []
    second = world.submit("A", 2).run_id
    world.work()
    assert world.run(second).status is RunStatus.APPLIED
    assert vars(deployment_of(world, second))["hub_id"] == hub_id


def test_what_was_woken_and_ends_before_it_takes_its_place_wakes_the_next(world: World) -> None:
    second, third = (world.submit("A", number).run_id for number in (2, 3))
    world.work()
    assert {world.run(r).blocked_on for r in (second, third)} == {BlockedOn.HUB_UNAVAILABLE}
    _, hub_run = perform(
        world.core, ADMIN, hubs.request_hub, region="eu-west-1", cell="c1", capacity=1
    )
    world.work()
    approval = world.rows("approval")[world.run(hub_run.id).approval_id]
    perform(
        world.core, OPS, approvals.decide, approval.id,
        verdict="approve", plan_digest=approval.plan_digest, reason="read",
    )  # fmt: skip

    def hub_alone(phase: str, subject: str) -> None:
        if subject == hub_run.id:
            PHASES[phase](world.core, subject)

    world.work(hub_alone)
    assert [world.run(r).status for r in (second, third)] == ["requested", "blocked"]
    perform(world.core, OPS, runs.cancel_run, second or "")
    world.work()
    assert world.run(third).status is RunStatus.APPLIED


@pytest.mark.parametrize("constraint", ["pk_run_event", "version", "serialization"])
def test_a_use_case_that_meets_another_writer_is_done_again(world: World, constraint: str) -> None:
    tried: list[int] = []

    def use_case(act: Act) -> int:
        tried.append(len(tried))
        if len(tried) < 3:
            raise Conflict("somebody else was faster", constraint=constraint)
        return 7

    assert perform(world.core, OPS, use_case) == 7
    assert tried == [0, 1, 2]


def test_a_use_case_that_is_refused_is_not_done_again(world: World) -> None:
    tried: list[int] = []

    def use_case(act: Act) -> None:
        tried.append(1)
        raise Conflict("it already exists", constraint="uq_x")

    with pytest.raises(Conflict, match="already exists"):
        perform(world.core, OPS, use_case)
    assert tried == [1]


def test_a_run_that_has_ended_gets_no_more_lines(world: World) -> None:
    run_id = world.submit("B").run_id or ""
    world.work()
    with world.core.act() as act:
        call = register_call(act, *locked_run(act.uow, run_id))
        act.uow.commit()
    perform(world.core, OPS, runs.cancel_run, run_id)
    before = perform(world.core, OPS, runs.read_progress, run_id, 0)
    assert before[0]
    Listener(world.core, call)([("phase", {"phase": "plan"})])
    assert perform(world.core, OPS, runs.read_progress, run_id, 0) == before
