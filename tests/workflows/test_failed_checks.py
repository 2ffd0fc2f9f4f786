"""Verification is the only way to ready: a check that fails, or is not made, fails every retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import hubs, runs
from control_plane.services.performing import perform
from tests.scripted_engine import CHECKS
from tests.world import ADMIN, OPS, World, person

OTTO: Final = person("otto", Role.OPS_APPROVER)
POLICY_CHECKS: Final = {"policies_hold": "unencrypted_storage", "isolation": "isolation"}
EVERY: Final = [
    (mode, check)
    for mode in ("slice", "hub", "dedicated")
    for check in (*CHECKS, *POLICY_CHECKS)
    if check != "isolation" or mode == "slice"  # who is alone is isolated from nobody
]


def start(world: World, mode: str) -> str:
    """Request the run of a mode, do it as far as it goes, and return its id."""
    if mode == "hub":
        _, run = perform(
            world.core, ADMIN, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5
        )
        run_id = run.id
    else:
        run_id = world.submit({"slice": "A", "dedicated": "B"}[mode], 3).run_id or ""
    return approved(world, run_id)


def approved(world: World, run_id: str) -> str:
    world.work()
    if world.run(run_id).status is RunStatus.AWAITING_APPROVAL:
        world.approve(run_id, OTTO)
    return run_id


def retried(world: World, run_id: str) -> str:
    return approved(world, perform(world.core, OPS, runs.retry_run, run_id).id)


def owner(world: World, run: Any) -> Any:
    """Return the status of the tenant, or of the Hub that is no tenant's."""
    if run.tenant_id is not None:
        return world.tenant(run.tenant_id).status
    (hub,) = [hub for hub in world.rows("hub").values() if hub.cell == "c1"]
    return hub.status


def break_check(world: World, check: str) -> Callable[[], None]:
    """Let a check fail until what is returned is called."""
    if check in CHECKS:
        world.engine.failing_checks.add(check)
        return world.engine.failing_checks.clear
    world.policies.state_violations = [
        {"rule": POLICY_CHECKS[check], "address": "bucket", "enforcement": "mandatory",
         "reason": "it is open", "remedy": "close it"}
    ]  # fmt: skip
    return world.policies.state_violations.clear


def test_every_check_is_here(world: World) -> None:
    world.ready_hub()
    made = {check.name for check in world.evidence(world.run(start(world, "slice"))).checks}
    assert made == {check for _, check in EVERY}


@pytest.mark.parametrize(("mode", "check"), EVERY)
def test_a_retry_does_not_wave_a_failed_check_through(world: World, mode: str, check: str) -> None:
    if mode == "slice":
        world.ready_hub(cell="c9")
    mend = break_check(world, check)
    run_id = start(world, mode)
    looks = set()
    for _ in range(3):
        failed = world.run(run_id)
        assert failed.status is RunStatus.ERRORED, failed
        assert failed.error["data"]["checks"] == [check]
        assert owner(world, failed) in {TenantStatus.FAILED, HubStatus.FAILED}
        evidence = world.evidence(failed)  # its own, of a look of its own
        assert (evidence.run_id, evidence.ok) == (run_id, False)
        looks.add(evidence.call_id)
        run_id = retried(world, run_id)
    assert len(looks) == 3
    mend()
    healed = world.run(retried(world, run_id))
    assert healed.status is RunStatus.NO_CHANGES, healed.error
    assert world.evidence(healed).ok
    assert owner(world, healed) in {TenantStatus.READY, HubStatus.READY}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_that_the_engine_does_not_make_has_failed(world: World, check: str) -> None:
    world.engine.skipped_checks.add(check)
    run_id = start(world, "dedicated")
    for _ in range(2):
        failed = world.run(run_id)
        assert failed.status is RunStatus.ERRORED
        assert failed.error["data"]["checks"] == [check]
        assert owner(world, failed) is TenantStatus.FAILED
        run_id = retried(world, run_id)
    world.engine.skipped_checks.clear()
    assert owner(world, world.run(retried(world, run_id))) is TenantStatus.READY
