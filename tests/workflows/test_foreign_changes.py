"""A stack that something else than our runs changed, before it was settled."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import AlreadyDecided, RunSuperseded
from control_plane.domain.run import RunStatus
from control_plane.services import approvals, runs
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from control_plane.workflows.moving import locked_run
from tests.scripted_engine import Fault
from tests.world import OPS, World, person

OTTO = person("otto", Role.OPS_APPROVER)
STACK = "dainese.production.b"


def failed_run(world: World, fault: str) -> str:
    """Return a run that left its stack unsettled."""
    accepted = world.submit("B")
    world.work()
    if fault == "check":
        world.engine.failing_checks.add("answers_in_cloud")
    else:
        world.engine.faults.append(Fault(kind="fails"))
    world.approve(accepted.run_id)
    world.engine.failing_checks.clear()
    assert world.run(accepted.run_id).status is RunStatus.ERRORED
    return accepted.run_id or ""


def retried(world: World, run_id: str) -> tuple[Any, list[Any]]:
    """Retry a run; return the run that goes on and what was recorded."""
    known = len(world.events())
    fresh = perform(world.core, OPS, runs.retry_run, run_id)
    world.work()
    return world.run(fresh.id), world.events()[known:]


@pytest.mark.parametrize("fault", ["check", "apply"])
def test_a_change_of_an_unsettled_stack_is_recorded_and_not_taken_as_ours(
    world: World, fault: str
) -> None:
    run_id = failed_run(world, fault)
    world.engine.touch(STACK)
    foreign = world.engine.stacks[STACK].state_digest()
    run, events = retried(world, run_id)
    (found,) = [event for event in events if event.action == "stack.foreign_update"]
    assert found.data["state_digest"] == foreign
    (settled,) = [event for event in events if event.action == "stack.settled"]
    assert settled.data["ours"] is False
    assert foreign not in run.states_written
    assert run.status is RunStatus.AWAITING_APPROVAL
    world.approve(run.id, OTTO)
    assert world.run(run.id).status is RunStatus.APPLIED


def test_what_our_own_run_left_is_ours(world: World) -> None:
    run, events = retried(world, failed_run(world, "apply"))
    assert "stack.foreign_update" not in [event.action for event in events]
    (settled,) = [event for event in events if event.action == "stack.settled"]
    assert settled.data["ours"] is True
    assert "run.resumed" not in [event.action for event in events]  # nobody died
    assert run.status is RunStatus.AWAITING_APPROVAL


def test_a_change_of_a_settled_stack_is_recorded_by_the_next_plan(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    known = len(world.events())
    world.engine.touch(STACK)
    fresh = another_run(world, accepted.run_id or "")
    actions = [event.action for event in world.events()[known:]]
    assert actions.count("stack.foreign_update") == 1
    assert world.run(fresh).status is RunStatus.AWAITING_APPROVAL


def another_run(world: World, run_id: str) -> str:
    """Request a run of the same deployment, as a change does, and let it plan."""
    with world.core.act(OPS) as act:
        _, deployment = locked_run(act.uow, run_id)
        fresh = request_run(act, deployment)
        act.uow.commit()
    world.work()
    return fresh.id


def test_a_plan_that_changes_an_output_alone_is_applied(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    world.engine.extra_outputs["endpoint"] = "https://other.example"
    fresh = another_run(world, accepted.run_id or "")
    with world.core.uow() as uow:
        plan = uow.plans.get(world.run(fresh).plan_id or "")
    assert plan is not None
    assert {operation.op for operation in plan.operations} == {"same"}
    assert not plan.is_empty
    world.approve(fresh, OTTO)
    run = world.run(fresh)
    assert run.status is RunStatus.APPLIED, run.error
    outputs = world.rows("deployment")[run.deployment_id].outputs
    assert outputs["endpoint"] == "https://other.example"


def test_a_newer_plan_takes_the_place_of_one_that_waits(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    waiting = world.run(accepted.run_id)
    assert waiting.status is RunStatus.AWAITING_APPROVAL
    fresh = another_run(world, waiting.id)
    old = world.run(waiting.id)
    assert old.status is RunStatus.SUPERSEDED
    assert world.run(fresh).supersedes == waiting.id
    assert world.run(fresh).status is RunStatus.AWAITING_APPROVAL
    approval = world.rows("approval")[waiting.approval_id]
    assert str(approval.status) == "superseded"
    with pytest.raises((AlreadyDecided, RunSuperseded)):
        perform(
            world.core, OTTO, approvals.decide, approval.id, verdict="approve",
            plan_digest=approval.plan_digest, reason="late",
        )  # fmt: skip
    (left,) = [event for event in world.events() if event.action == "approval.superseded"]
    assert left.data["superseded_by"] == fresh
    world.approve(fresh, OTTO)
    assert world.run(fresh).status is RunStatus.APPLIED
