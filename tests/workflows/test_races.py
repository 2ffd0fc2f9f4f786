"""A decision that meets something else in the same moment: one of them wins, in its own words."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    IllegalTransition,
    RunSuperseded,
)
from control_plane.domain.run import RunStatus
from control_plane.services import approvals, runs
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from control_plane.workflows.timers import fire_due
from tests.world import OPS, World, person

OTTO: Final = person("otto", Role.OPS_APPROVER)
RACES: Final = int(os.environ.get("TESTS_RACES", "20"))  # more by hand
ENDS: Final = {
    RunStatus.APPROVED, RunStatus.CANCELED, RunStatus.EXPIRED, RunStatus.SUPERSEDED,
}  # fmt: skip
Act = Callable[[], str]  # returns what came of it
Prepare = Callable[[World, Any], Act]  # reads what the act needs, so that it starts at once


def decide(world: World, run: Any) -> Act:
    """Approve, or say how that was refused."""
    approval = perform(world.core, OTTO, approvals.get_approval, run.approval_id).approval

    def act() -> str:
        try:
            perform(
                world.core, OTTO, approvals.decide, approval.id, verdict="approve",
                plan_digest=approval.plan_digest, reason="read it",
            )  # fmt: skip
        except (AlreadyDecided, ApprovalExpired, RunSuperseded) as error:
            return error.code
        return "decided"

    return act


def expire(world: World, _: Any) -> Act:
    world.clock.advance(hours=71, minutes=59, seconds=59)

    def act() -> str:
        world.clock.advance(seconds=1)
        fire_due(world.core)
        return "expired"

    return act


def cancel(world: World, run: Any) -> Act:
    def act() -> str:
        try:
            perform(world.core, OPS, runs.cancel_run, run.id)
        except IllegalTransition as error:
            return error.code
        return "canceled"

    return act


def supersede(world: World, run: Any) -> Act:
    """Request another run of the same deployment, as a change of its facts will."""
    deployment = deployment_of(world, run)

    def act() -> str:
        perform(world.core, OPS, request_run, deployment)
        return "requested"

    return act


def deployment_of(world: World, run: Any) -> Any:
    with world.core.uow() as uow:
        return uow.deployments.get(run.deployment_id)


def waiting(world: World, number: int = 1) -> Any:
    """Return a run that waits for a decision."""
    accepted = world.submit("B", number)
    world.work()
    return world.run(accepted.run_id)


def has_given_way(world: World, run: Any) -> bool:
    """Tell whether nothing was done for a run that a newer one takes the place of."""
    calls = world.engine.calls
    return (
        world.run(run.id).status is RunStatus.SUPERSEDED
        and ("apply", deployment_of(world, run).stack) not in calls
    )


@pytest.mark.parametrize("rival", [cancel, expire, supersede])
def test_a_decision_that_meets_something_else_never_deadlocks(world: World, rival: Prepare) -> None:
    """Both take the run first: one of them wins, and the other is refused in its own words."""
    outcomes: Counter[str] = Counter()
    for number in range(1, RACES + 1):
        run = waiting(world, number)
        start = threading.Barrier(2)

        def race(act: Act, start: Any = start) -> str:
            start.wait(30)
            return act()

        acts = [prepare(world, run) for prepare in (decide, rival)]
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(race, act) for act in acts]
            outcomes.update(each.result(60) for each in said)
        assert world.run(run.id).status in ENDS
        world.work()
        assert rival is not supersede or has_given_way(world, run)
    assert set(outcomes) <= {
        "decided", "already_decided", "approval_expired", "illegal_transition", "expired",
        "canceled", "run_superseded", "requested",
    }  # fmt: skip


@pytest.mark.parametrize("is_decided_first", [True, False])
def test_whichever_is_first_a_newer_run_takes_the_place(
    world: World, is_decided_first: bool
) -> None:
    run = waiting(world)
    acts = [decide(world, run), supersede(world, run)]
    said = [act() for act in (acts if is_decided_first else reversed(acts))]
    assert said == (
        ["decided", "requested"] if is_decided_first else ["requested", "already_decided"]
    )
    world.work()
    assert has_given_way(world, run)
    newest = max(world.rows("run").values(), key=lambda found: found.number)
    assert world.run(newest.id).status is RunStatus.AWAITING_APPROVAL
