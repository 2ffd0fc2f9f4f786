"""Runs after something went wrong: retried, canceled, interrupted, taken over, resumed too late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.calls import CallOutcome
from control_plane.domain.errors import (
    DomainError,
    EngineFailed,
    EngineUnavailable,
    IllegalTransition,
    RunSuperseded,
    SeparationOfDuties,
)
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import approvals, hubs, runs
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.releasing import calls_to_stop, release_runs
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import Fault, ProcessDied
from tests.world import ADMIN, OPS, World, person

OTTO = person("otto", Role.OPS_APPROVER)


def started(world: World, mode: str) -> str:
    """Return a run of a tenant that is done as far as it goes, approved if it needs it."""
    if mode == "A":
        world.ready_hub()
    accepted = world.submit(mode)
    world.work()
    if mode == "B":
        world.approve(accepted.run_id)
    return accepted.run_id or ""


def retried(world: World, run_id: str, who: Any = OPS) -> Any:
    """Retry a run, approve what waits for it as somebody else, and return the run that went on."""
    fresh = perform(world.core, who, runs.retry_run, run_id)
    world.work()
    if world.run(fresh.id).status is RunStatus.AWAITING_APPROVAL:
        world.approve(fresh.id, OTTO)
    return world.run(fresh.id)


def tenant_of(world: World, run: Any) -> Any:
    return world.tenant(run.tenant_id)


# --- verification ----------------------------------------------------------------------------
def test_a_hub_that_failed_its_checks_takes_no_slices(world: World) -> None:
    world.engine.failing_checks.add("answers_in_cloud")
    hub, run = perform(
        world.core, ADMIN, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5
    )
    world.work()
    world.approve(run.id)
    accepted = world.submit("A")
    world.work()
    assert world.run(accepted.run_id).blocked_on is BlockedOn.HUB_UNAVAILABLE
    assert retried(world, run.id).status is RunStatus.ERRORED
    assert world.run(accepted.run_id).blocked_on is BlockedOn.HUB_UNAVAILABLE
    world.engine.failing_checks.clear()
    newest = perform(
        world.core, ADMIN, runs.list_runs, limit=1, before=None, tenant_id=None, status=None
    )
    assert retried(world, newest[0].id, ADMIN).status is RunStatus.NO_CHANGES
    assert world.run(accepted.run_id).status is RunStatus.APPLIED
    assert perform(world.core, ADMIN, hubs.get_hub, hub.id).slices == 1


def test_what_vanished_from_the_cloud_is_made_again_by_a_retry(world: World) -> None:
    world.ready_hub()
    lost: list[str] = []

    def lose(what: str, call: Any) -> None:
        if what == "verify" and call.program == "mode_a.slice" and not lost:
            lost.append(call.stack)
            world.engine.lose(call.stack, "app")

    world.engine.during = lose
    accepted = world.submit("A")
    world.work()
    failed = world.run(accepted.run_id)
    assert failed.status is RunStatus.ERRORED
    assert "not in the cloud: app" in failed.error["message"]
    healed = retried(world, failed.id)
    assert healed.status is RunStatus.APPLIED  # it was planned again, not found to be the same
    assert tenant_of(world, healed).status is TenantStatus.READY


# --- retries ---------------------------------------------------------------------------------
def test_only_the_newest_run_is_retried(world: World) -> None:
    run_id = started(world, "B")
    world.engine.faults.append(Fault(kind="fails"))
    second = world.submit("B", 2)
    world.work()
    world.approve(second.run_id)
    failed = world.run(second.run_id)
    assert failed.status is RunStatus.ERRORED
    fresh = perform(world.core, OPS, runs.retry_run, failed.id)
    with pytest.raises(RunSuperseded) as refused:
        perform(world.core, OPS, runs.retry_run, failed.id)
    assert refused.value.data["newest"] == fresh.id
    world.work()
    world.approve(fresh.id, OTTO)
    assert world.run(fresh.id).status is RunStatus.APPLIED
    with pytest.raises(RunSuperseded):  # an old failed run after a newer one applied
        perform(world.core, OPS, runs.retry_run, failed.id)
    assert tenant_of(world, failed).status is TenantStatus.READY
    assert world.run(run_id).status is RunStatus.APPLIED


def test_who_asked_is_followed_along_retries(world: World) -> None:
    """A requester cannot get an own Hub approved by letting somebody else retry it."""
    ada = person("ada", Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
    _, run = perform(world.core, ada, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5)
    world.work()
    perform(world.core, ada, runs.cancel_run, run.id)
    fresh = perform(world.core, OPS, runs.retry_run, run.id)
    world.work()
    for who in (ada, OPS):
        view = perform(world.core, OTTO, approvals.get_approval, world.run(fresh.id).approval_id)
        with pytest.raises(SeparationOfDuties):
            perform(
                world.core, who, approvals.decide, view.approval.id, verdict="approve",
                plan_digest=view.approval.plan_digest, reason="mine",
            )  # fmt: skip
    world.approve(fresh.id, OTTO)
    assert world.run(fresh.id).status is RunStatus.APPLIED


# --- what earlier calls left -----------------------------------------------------------------
@pytest.mark.parametrize("kind", ["runner_dies", "engine_dies", "provider_dies"])
@pytest.mark.parametrize("mode", ["A", "B"])
def test_whichever_process_dies_the_same_run_goes_on(world: World, mode: str, kind: Any) -> None:
    world.ready_hub(cell="c9")
    world.engine.faults.append(Fault(kind=kind))
    accepted = world.submit(mode, 7)
    world.work()
    if mode == "B":
        world.approve(accepted.run_id)
    run = world.run(accepted.run_id)
    assert (run.status, run.deaths) == (RunStatus.APPLIED, 1), run.error
    assert tenant_of(world, run).status is TenantStatus.READY


def test_a_run_whose_engine_keeps_dying_ends(world: World) -> None:
    world.engine.faults.extend(Fault(kind="engine_dies") for _ in range(20))
    run = world.run(started(world, "B"))
    assert run.status is RunStatus.ERRORED
    assert run.deaths == world.core.limits.deaths
    world.engine.faults.clear()
    assert retried(world, run.id).status is RunStatus.APPLIED


def test_what_a_canceled_run_left_is_settled_by_the_next(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="worker_dies"))
    with pytest.raises(ProcessDied):
        world.approve(accepted.run_id)
    left = world.engine.stacks["dainese.production.b"]
    assert left.locks
    assert left.pending
    with world.core.uow() as uow:  # its worker is gone, and somebody cancels the run
        run = uow.runs.get(accepted.run_id or "", lock=True)
        assert run is not None
    perform(world.core, OPS, runs.cancel_run, run.id)
    PHASES["advance_run"](world.core, run.id)
    assert world.run(run.id).status is RunStatus.CANCELED
    healed = retried(world, run.id)
    assert healed.status is RunStatus.APPLIED, healed.error
    assert not left.locks
    assert not left.pending


def test_a_lock_of_ours_whose_process_lives_is_not_broken(world: World) -> None:
    world.engine.faults.append(Fault(kind="runner_dies"))
    world.engine.alive = True
    run = world.run(started(world, "B"))
    assert (run.status, run.blocked_on) == (RunStatus.BLOCKED, BlockedOn.FOREIGN_LOCK)
    assert f"pid {run.error['data']['pid']}" in run.error["message"]
    assert world.engine.stacks["dainese.production.b"].locks
    events = len(world.events())
    for _ in range(3):  # a timer looks again, and says nothing new
        world.clock.advance(seconds=31)
        fire_due(world.core)
        world.work()
    assert len(world.events()) == events
    world.engine.alive = False
    world.clock.advance(seconds=31)
    fire_due(world.core)
    world.work()
    assert world.run(run.id).status is RunStatus.APPLIED


def test_a_lock_of_ours_on_another_host_is_broken_after_its_deadline_alone(world: World) -> None:
    world.engine.faults.append(Fault(kind="runner_dies"))
    world.engine.alive = None
    run = world.run(started(world, "B"))
    assert run.blocked_on is BlockedOn.FOREIGN_LOCK
    world.clock.advance(minutes=80)
    fire_due(world.core)
    world.work()
    assert world.run(run.id).blocked_on is BlockedOn.FOREIGN_LOCK
    world.clock.advance(minutes=11)
    fire_due(world.core)
    world.work()
    assert world.run(run.id).status is RunStatus.APPLIED


# --- cancel ----------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["A", "B"])
@pytest.mark.parametrize("moment", ["plan", "apply"])
def test_a_cancel_while_the_engine_works_ends_the_run(world: World, mode: str, moment: str) -> None:
    world.ready_hub(cell="c9")

    def stop(what: str, call: Any) -> None:
        if what == ("apply" if mode == "A" else moment) and world.run(call.run_id).is_working:
            world.engine.during = lambda *_: None
            perform(world.core, OPS, runs.cancel_run, call.run_id)
            for call_id in calls_to_stop(world.core):
                world.engine.cancel(call_id)

    if mode == "B" and moment == "plan":
        world.engine.during = stop
    accepted = world.submit(mode, 3)
    if mode == "A":
        if moment == "apply":
            world.engine.faults.append(Fault(kind="canceled"))
        else:
            world.engine.during = stop
    world.work()
    if mode == "B" and moment == "apply":
        world.engine.during = stop
        world.approve(accepted.run_id)
    run = world.run(accepted.run_id)
    if mode == "A" and moment == "apply":  # the engine was stopped, and nobody had asked for it
        assert run.status is RunStatus.ERRORED
    else:
        assert run.status is RunStatus.CANCELED, run.error
    assert tenant_of(world, run).status is TenantStatus.FAILED
    assert retried(world, run.id).status is RunStatus.APPLIED


def test_a_cancel_during_the_verification_comes_too_late(world: World) -> None:
    world.engine.faults.append(Fault(kind="canceled_in_look"))
    run_id = started(world, "B")
    assert world.run(run_id).status is RunStatus.VERIFYING  # it is looked at again
    world.clock.advance(seconds=6)
    fire_due(world.core)
    world.work()
    run = world.run(run_id)
    assert run.status is RunStatus.APPLIED, run.error
    assert tenant_of(world, run).status is TenantStatus.READY
    with pytest.raises(IllegalTransition, match="cannot be canceled: it is applied"):
        perform(world.core, OPS, runs.cancel_run, run_id)


def test_what_changed_before_the_verification_is_planned_again(world: World) -> None:
    world.engine.faults.append(Fault(kind="canceled_in_look"))
    run_id = started(world, "B")
    stack = "dainese.production.b"
    world.engine.hold_lock(stack)
    world.clock.advance(seconds=6)
    fire_due(world.core)
    world.work()
    assert world.run(run_id).blocked_on is BlockedOn.FOREIGN_LOCK
    world.engine.lose(stack, "network")
    world.engine.stacks[stack].locks.clear()
    world.clock.advance(minutes=6)
    fire_due(world.core)
    world.work()
    run = world.run(run_id)
    assert run.blocked_on is BlockedOn.STATE_MOVED
    healed = retried(world, run_id)
    assert healed.status is RunStatus.APPLIED
    assert "network" in {r["name"] for r in world.engine.stacks[stack].resources.values()}


def test_a_run_that_is_verified_cannot_be_canceled(world: World) -> None:
    refused: list[DomainError] = []

    def stop(what: str, call: Any) -> None:
        if what == "verify":
            with pytest.raises(IllegalTransition) as error:
                perform(world.core, OPS, runs.cancel_run, call.run_id)
            refused.append(error.value)

    world.engine.during = stop
    run = world.run(started(world, "B"))
    assert str(refused[0]) == "the run cannot be canceled: it is verifying"
    assert run.status is RunStatus.APPLIED


# --- time ------------------------------------------------------------------------------------
def test_a_run_is_not_resumed_after_200_days(world: World) -> None:
    world.engine.faults.append(Fault(kind="runner_dies"))
    world.engine.ambiguous = True
    run = world.run(started(world, "B"))
    assert run.blocked_on is BlockedOn.PENDING_UNRESOLVED
    world.engine.ambiguous = False
    world.clock.advance(days=200)
    perform(world.core, ADMIN, runs.retry_run, run.id)
    world.work()
    assert world.run(run.id).status is RunStatus.EXPIRED
    healed = retried(world, run.id)
    assert healed.status is RunStatus.APPLIED
    assert world.actions(run.tenant_id).count("decision.given:completed") == 2


def test_an_outage_of_the_engine_keeps_the_approval(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.outages.extend([EngineUnavailable("not now"), EngineUnavailable("not now")])
    world.approve(accepted.run_id)
    waits = world.run(accepted.run_id)
    assert (waits.status, waits.failures) == (RunStatus.APPROVED, 1)
    for _ in range(2):
        world.clock.advance(minutes=1)
        fire_due(world.core)
        world.work()
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.APPLIED, run.error
    assert world.actions(run.tenant_id).count("decision.given:completed") == 1


def applied_after_a_minute(world: World, run_id: str | None) -> Any:
    world.clock.advance(minutes=1)
    fire_due(world.core)
    world.work()
    run = world.run(run_id)
    assert run.status is RunStatus.APPLIED, run.error
    return run


def test_an_outage_of_the_state_during_an_apply_is_settled_and_keeps_the_approval(
    world: World,
) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="backend_gone"))
    world.approve(accepted.run_id)
    waits = world.run(accepted.run_id)
    assert (waits.status, waits.failures, waits.deaths) == (RunStatus.APPLYING, 1, 0)
    run = applied_after_a_minute(world, accepted.run_id)
    actions = world.actions(run.tenant_id)
    assert actions.count("decision.given:completed") == 1
    assert actions.index("pending.resolved:completed") < actions.index("run.apply:completed")


def test_an_outage_that_does_not_end_ends_the_run(world: World) -> None:
    accepted = world.submit("B")
    world.engine.outages.extend(EngineUnavailable("no pulumi") for _ in range(50))
    for _ in range(30):
        world.work()
        world.clock.advance(minutes=15)
        fire_due(world.core)
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.ERRORED
    assert run.error["message"] == "no pulumi"


def test_a_failure_that_is_final_ends_the_run_at_once(world: World) -> None:
    accepted = world.submit("B")
    world.engine.outages.append(EngineFailed("the program is wrong", reason="program"))
    world.work()
    assert world.run(accepted.run_id).status is RunStatus.ERRORED


def test_an_orderly_end_of_a_worker_is_no_death(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="worker_dies"))
    with pytest.raises(ProcessDied):
        world.approve(accepted.run_id)
    assert release_runs(world.core) == 1
    PHASES["advance_run"](world.core, accepted.run_id or "")
    run = world.run(accepted.run_id)
    assert (run.status, run.deaths) == (RunStatus.APPLIED, 0)
    with world.core.uow() as uow:
        ends = {call.outcome for call in uow.calls.find(run_id=run.id)}
    assert ends == {CallOutcome.ENDED, CallOutcome.DIED}


def test_a_process_that_ends_leaves_the_calls_of_another_one_of_its_name(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="worker_dies"))
    with pytest.raises(ProcessDied):
        world.approve(accepted.run_id)
    assert release_runs(replace(world.core, calls=set())) == 0
    with world.core.uow() as uow:
        (left,) = uow.calls.find(run_id=accepted.run_id, ended_at=None)
    assert {left.id} == world.core.calls
