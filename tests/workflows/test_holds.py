"""Holds: what they let runs do, when these continue, and who places and releases them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.deployment import Desired
from control_plane.domain.errors import (
    IllegalTransition,
)
from control_plane.domain.hold import Applying, Hold, HoldKind
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import approvals, holds, hubs, runs
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from control_plane.workflows.holding import hold_fact
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import Fault, ProcessDied
from tests.workflows.held import place, release, waiting
from tests.world import ADMIN, AUTOMATION, OPS, World, person

S: Final = RunStatus
PAUSE, SAFETY, LEGAL = HoldKind.PAUSE, HoldKind.SAFETY, HoldKind.LEGAL
PETRA: Final = person("petra", Role.OPS_APPROVER)
ALMA: Final = person("alma", Role.PLATFORM_ADMIN)


def is_held(world: World, run_id: str) -> bool:
    """Tell whether a run waits for a hold with its one next action, as those it is shown to see."""
    run = world.run(run_id)
    if run.blocked_on is not BlockedOn.HOLD:
        return False
    assert run.status is S.BLOCKED
    assert run.error["code"] == "on_hold"
    with world.core.act(OPS) as act:
        assert runs.allowed_actions(act, run)[run_id] == ["cancel"]
    assert world.tenant(run.tenant_id).waiting_on is WaitingOn.PLATFORM
    return True


def calls_of_apply(world: World) -> int:
    return sum(what == "apply" for what, _ in world.engine.calls)


# --- what runs do ----------------------------------------------------------------------------
@pytest.mark.requirement("K-062")
def test_a_held_run_plans_waits_for_decisions_and_is_not_applied(world: World) -> None:
    accepted = world.submit("B")
    hold = place(world, accepted.tenant.id)
    world.work()
    run = world.run(accepted.run_id)
    assert run.status is S.AWAITING_APPROVAL
    world.approve(run.id)
    assert is_held(world, run.id)
    assert world.run(run.id).error["data"] == {"holds": [hold.id]}
    assert calls_of_apply(world) == 0
    assert world.tenant(run.tenant_id).hold
    world.work()
    assert is_held(world, run.id)


def test_the_release_enqueues_what_waited_in_its_own_transaction(world: World) -> None:
    run = waiting(world)
    hold = place(world, run.tenant_id)
    world.approve(run.id)
    approval = world.run(run.id).approval_id
    before = len(world.storage.enqueued())
    released = release(world, hold, works=False)
    assert (released.released_by, released.release_reason) == ("olga", "it is settled")
    assert world.run(run.id).status is S.APPROVED
    assert len(world.storage.enqueued()) == before + 1
    assert not world.tenant(run.tenant_id).hold
    world.work()
    assert world.run(run.id).status is S.APPLIED
    assert world.run(run.id).approval_id == approval  # the one that was given before
    assert world.rows("approval")[approval].status is ApprovalStatus.CONSUMED
    assert world.tenant(run.tenant_id).status is TenantStatus.READY


def test_what_the_rules_let_apply_at_once_is_held_between_its_plan_and_its_apply(
    world: World,
) -> None:
    world.ready_hub()
    accepted = world.submit("A")
    hold = place(world, accepted.tenant.id)
    changed: list[str] = []
    world.engine.during = lambda what, _: changed.append(what) if what == "change" else None
    world.work()
    assert is_held(world, accepted.run_id or "")
    assert changed == []
    release(world, hold)
    assert world.run(accepted.run_id).status is S.APPLIED
    assert changed == ["change"]


def test_a_plan_with_nothing_to_apply_is_verified_while_a_hold_stands(world: World) -> None:
    run = waiting(world)
    world.approve(run.id)
    place(world, run.tenant_id, LEGAL)
    (deployment,) = world.rows("deployment").values()
    again = perform(world.core, ADMIN, request_run, deployment)
    world.work()
    assert world.run(again.id).status is S.NO_CHANGES


def test_of_two_holds_the_last_release_frees_the_run(world: World) -> None:
    run = waiting(world)
    first, second = place(world, run.tenant_id), place(world, run.tenant_id, SAFETY)
    world.approve(run.id)
    assert is_held(world, run.id)
    release(world, second)
    assert is_held(world, run.id)
    assert world.run(run.id).error["data"] == {"holds": [first.id]}
    assert world.tenant(run.tenant_id).hold
    assert "run.unblocked:completed" not in world.actions()
    release(world, first)
    assert world.run(run.id).status is S.APPLIED
    assert world.actions().count("run.unblocked:completed") == 1


@pytest.mark.parametrize("applying", Applying)
def test_an_apply_that_nothing_interrupts_comes_to_its_end(
    world: World, applying: Applying
) -> None:
    run = waiting(world)

    def meanwhile(what: str, _: object) -> None:
        if what == "change":
            place(world, run.tenant_id, applying=applying)

    world.engine.during = meanwhile
    world.approve(run.id)
    assert world.run(run.id).status is S.APPLIED


@pytest.mark.parametrize("fault", ["runner_dies", "worker_dies"])
@pytest.mark.parametrize("applying", Applying)
def test_an_interrupted_apply_is_resumed_or_not_as_the_hold_says(
    world: World, applying: Applying, fault: Any
) -> None:
    run = waiting(world)
    placed: list[Hold] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change" and not placed:
            placed.append(place(world, run.tenant_id, applying=applying))

    world.engine.during = meanwhile
    world.engine.faults.append(Fault(kind=fault))
    if fault == "worker_dies":
        with pytest.raises(ProcessDied):
            world.approve(run.id)
        world.clock.advance(seconds=31)
        fire_due(world.core)
        world.work()
    else:
        world.approve(run.id)
    if applying is Applying.FINISHES:
        assert world.run(run.id).status is S.APPLIED
        return
    assert is_held(world, run.id)
    assert world.run(run.id).blocked_from is S.APPLYING
    (deployment,) = world.rows("deployment").values()
    assert not deployment.is_unsettled  # nothing is left on the stack meanwhile
    release(world, placed[0])
    assert world.run(run.id).status is S.APPLIED


def test_with_the_release_of_what_stops_the_rest_may_let_an_apply_finish(world: World) -> None:
    run = waiting(world)
    placed: list[Hold] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change" and not placed:
            placed.extend((
                place(world, run.tenant_id),
                place(world, run.tenant_id, applying=Applying.STOPS),
            ))  # fmt: skip

    world.engine.during = meanwhile
    world.engine.faults.append(Fault(kind="runner_dies"))
    world.approve(run.id)
    assert is_held(world, run.id)
    release(world, placed[1])
    assert world.tenant(run.tenant_id).hold
    assert world.run(run.id).status is S.APPLIED


def test_a_hold_that_is_placed_while_the_engine_previews_is_heeded_at_the_gate(
    world: World,
) -> None:
    run = waiting(world)
    changed: list[str] = []

    def meanwhile(what: str, _: object) -> None:
        changed.append(what)
        if what == "apply":
            place(world, run.tenant_id)

    world.engine.during = meanwhile
    world.approve(run.id)
    assert "apply" in changed
    assert "change" not in changed
    assert is_held(world, run.id)
    assert world.run(run.id).started_at is None


def test_a_held_run_whose_approval_expires_ends_and_a_retry_makes_a_new_plan(
    world: World,
) -> None:
    run = waiting(world)
    hold = place(world, run.tenant_id)
    world.approve(run.id)
    world.clock.advance(hours=72, seconds=-1)
    fire_due(world.core)
    assert is_held(world, run.id)
    world.clock.advance(seconds=1)
    fire_due(world.core)
    assert world.run(run.id).status is S.EXPIRED
    assert world.rows("approval")[run.approval_id].status is ApprovalStatus.EXPIRED
    release(world, hold)
    assert world.run(run.id).status is S.EXPIRED
    fresh = perform(world.core, OPS, runs.retry_run, run.id)
    world.work()
    assert world.run(fresh.id).status is S.AWAITING_APPROVAL


def test_a_held_run_is_not_retried_and_may_be_canceled(world: World) -> None:
    run = waiting(world)
    place(world, run.tenant_id)
    world.approve(run.id)
    with pytest.raises(IllegalTransition):
        perform(world.core, OPS, runs.retry_run, run.id)
    assert is_held(world, run.id)
    perform(world.core, OPS, runs.cancel_run, run.id)
    assert world.run(run.id).status is S.CANCELED


def test_a_change_under_a_hold_plans_and_waits(world: World) -> None:
    run = waiting(world)
    world.approve(run.id)
    hold = place(world, run.tenant_id)
    change = perform(
        world.core, AUTOMATION, request_change, run.tenant_id,
        facts={"seats": 2000}, reason="it grows",
    )  # fmt: skip
    world.work()
    assert world.run(change.run_id).status is S.AWAITING_APPROVAL
    world.approve(change.run_id)
    assert is_held(world, change.run_id or "")
    assert world.tenant(run.tenant_id).status is TenantStatus.READY
    release(world, hold)
    assert world.run(change.run_id).status is S.APPLIED


def test_a_destroy_that_two_people_approved_is_held(world: World) -> None:
    run = waiting(world)
    world.approve(run.id)
    (deployment,) = world.rows("deployment").values()
    for item in world.engine.stacks[deployment.stack].resources.values():
        item["protect"] = False  # as an update takes it away before a removal
    place(world, run.tenant_id, LEGAL)
    asked = perform(
        world.core, ADMIN, lambda act: request_run(act, deployment, desired=Desired.ABSENT)
    )
    world.work()
    world.approve(asked.id)
    world.approve(asked.id, PETRA)
    assert world.run(asked.id).kind is RunKind.DESTROY
    assert is_held(world, asked.id)
    assert world.tenant(run.tenant_id).status is TenantStatus.READY


def test_another_tenant_is_not_held(world: World) -> None:
    held, other = waiting(world), world.submit("B", 2)
    world.work()
    place(world, held.tenant_id)
    world.approve(other.run_id)
    assert world.run(other.run_id).status is S.APPLIED


def test_a_run_that_meets_the_release_does_not_wait_for_it_forever(world: World) -> None:
    """The run has read that a hold stands when the release commits."""
    run = waiting(world)
    hold = place(world, run.tenant_id)
    approval = world.rows("approval")[run.approval_id]
    perform(
        world.core, OPS, approvals.decide, approval.id,
        verdict="approve", plan_digest=approval.plan_digest, reason="read it",
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool, world.core.act(OPS) as act:
        holds.release_hold(act, hold.id, reason="it is settled")
        working = pool.submit(world.work)
        world.storage.wait_for_a_lock()
        act.uow.commit()
        working.result(60)
    assert world.run(run.id).status is S.APPLIED


def test_of_two_releases_at_once_the_second_frees_the_run(world: World) -> None:
    run = waiting(world)
    placed = [place(world, run.tenant_id), place(world, run.tenant_id)]
    world.approve(run.id)
    together = threading.Barrier(2)

    def free(hold: Hold) -> None:
        together.wait(30)
        release(world, hold, works=False)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(free, hold) for hold in placed]:
            each.result(60)
    assert not world.tenant(run.tenant_id).hold
    world.work()
    assert world.run(run.id).status is S.APPLIED


def test_a_run_of_what_is_not_held_reads_no_hold(world: World) -> None:
    run = waiting(world)
    with world.core.uow() as uow:
        deployment = uow.deployments.need(run.deployment_id)
        assert str(hold_fact(uow, run, deployment)) == "none"


# --- Hubs ------------------------------------------------------------------------------------
def test_a_held_hub_is_not_applied_and_says_so(world: World) -> None:
    hub, run = perform(
        world.core, ADMIN, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5
    )
    world.work()
    hold = perform(world.core, OPS, holds.place_on_hub, hub.id, kind=SAFETY, reason="not now")
    assert perform(world.core, OPS, hubs.get_hub, hub.id).hub.hold
    world.approve(run.id)
    assert world.run(run.id).blocked_on is BlockedOn.HOLD
    release(world, hold)
    assert world.run(run.id).status is S.APPLIED
    assert [each.id for each in perform(world.core, OPS, holds.holds_on_hub, hub.id)] == [hold.id]


def test_a_hold_on_a_hub_is_not_one_on_its_slices(world: World) -> None:
    hub_id = world.ready_hub()
    perform(world.core, OPS, holds.place_on_hub, hub_id, kind=SAFETY, reason="not now")
    accepted = world.submit("A")
    world.work()
    assert world.run(accepted.run_id).status is S.APPLIED
