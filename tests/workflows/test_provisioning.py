"""From a signed contract to a ready tenant, in each mode."""

from __future__ import annotations

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.audit import MAX_BODY_BYTES
from control_plane.domain.canonical import canonical_json
from control_plane.domain.errors import (
    ContractAlreadyUsed,
    InvalidInput,
    NotAllowed,
    UnknownRegion,
)
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import hubs, runs, tenants
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.placing import policy_scope, spec_of
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import CHECKS, Fault, ProcessDied
from tests.world import ACCOUNT, ADMIN, ARCHITECT, OPS, World, person, request_body

LONG_URN = (
    "urn:pulumi:a-rather-long-slug-of-a-tenant.production.b::tenantplane::tenantplane:components:"
    "PrivateNetwork$aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::rule-"
)


@pytest.mark.requirement("J-018", "K-053")
def test_mode_a_is_ready_without_anybody(world: World) -> None:
    world.ready_hub()
    accepted = world.submit("A")
    world.work()
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.APPLIED, run.error
    assert world.tenant(accepted.tenant.id).status is TenantStatus.READY
    assert [check.name for check in world.evidence(run).checks] == [
        *CHECKS, "policies_hold", "isolation",
    ]  # fmt: skip


def test_mode_a_tells_its_story_in_the_tenants_own_log(world: World) -> None:
    world.ready_hub()
    accepted = world.submit("A")
    world.work()
    story = [a for a in world.actions(accepted.tenant.id) if "status_changed" not in a]
    assert story == [
        "request.accepted:completed", "mode.resolved:completed", "run.requested:completed",
        "run.planned:completed", "run.policy_evaluated:completed", "run.approved:completed",
        "run.apply:attempted", "run.apply:completed", "run.verified:completed",
        "residency.recorded:completed",
    ]  # fmt: skip


@pytest.mark.requirement("J-019")
def test_mode_b_waits_for_ops_and_applies_after_a_yes(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    waiting = world.tenant(accepted.tenant.id)
    assert (waiting.status, waiting.waiting_on) == (TenantStatus.PENDING, WaitingOn.OPS)
    assert ("apply", world.run(accepted.run_id).deployment_id) not in world.engine.calls
    world.approve(accepted.run_id)
    assert world.run(accepted.run_id).status is RunStatus.APPLIED
    assert world.tenant(accepted.tenant.id).status is TenantStatus.READY


@pytest.mark.requirement("J-020")
def test_mode_c_waits_for_an_architect_and_calls_no_engine(world: World) -> None:
    accepted = world.submit("C")
    world.work()
    tenant = world.tenant(accepted.tenant.id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.PENDING, WaitingOn.ARCHITECT)
    assert accepted.bundle_id is not None
    assert world.engine.calls == []


def test_a_request_without_a_ready_hub_waits_and_goes_on_by_itself(world: World) -> None:
    accepted = world.submit("A")
    world.work()
    run = world.run(accepted.run_id)
    assert (run.status, run.blocked_on) == (RunStatus.BLOCKED, BlockedOn.HUB_UNAVAILABLE)
    assert world.tenant(accepted.tenant.id).waiting_on is WaitingOn.PLATFORM
    world.ready_hub()
    assert world.run(accepted.run_id).status is RunStatus.APPLIED


def test_as_many_waiting_requests_go_on_as_there_is_room(world: World) -> None:
    waiting = [world.submit("A", number) for number in (1, 2, 3)]
    world.work()
    world.ready_hub(capacity=1)
    statuses = [world.run(accepted.run_id).status for accepted in waiting]
    assert sorted(statuses) == [RunStatus.APPLIED, RunStatus.BLOCKED, RunStatus.BLOCKED]
    events = len(world.events())
    for _ in range(3):
        world.clock.advance(hours=1)
        fire_due(world.core)
        world.work()
    assert len(world.events()) == events  # nobody is woken in vain
    world.ready_hub(cell="c2", capacity=2)
    assert {world.run(accepted.run_id).status for accepted in waiting} == {RunStatus.APPLIED}


def test_a_slice_lives_in_the_account_of_its_hub(world: World) -> None:
    world.ready_hub()
    accepted = world.submit("A")
    world.work()
    (deployment,) = perform(world.core, OPS, tenants.deployments_of, accepted.tenant.id)
    assert deployment.account_id == ACCOUNT
    with world.core.uow() as uow:
        assert spec_of(uow, deployment).document["hub"]["data_bucket"]


def test_the_same_contract_twice_is_one_tenant(world: World) -> None:
    first, again = world.submit("B"), world.submit("B")
    assert again.tenant.id == first.tenant.id
    assert again.request.id == first.request.id
    assert len(world.rows("tenant")) == len(world.rows("provisioning_request")) == 1


def test_the_same_contract_with_other_facts_is_refused(world: World) -> None:
    world.submit("B")
    with pytest.raises(ContractAlreadyUsed) as refused:
        world.submit("B", phone_sev1=True)
    assert refused.value.data["request_id"].startswith("req_")
    assert world.actions("platform")[-1] == "request.refused:denied"


@pytest.mark.requirement("J-021")
def test_two_companies_with_one_name_get_two_slugs(world: World) -> None:
    first = world.submit("B", 1).tenant.slug
    second = world.submit("B", 6).tenant.slug
    assert (first, second) == ("dainese", "dainese-2")


def test_an_unknown_region_is_refused_and_nothing_is_stored(world: World) -> None:
    with pytest.raises(UnknownRegion):
        world.submit("A", residency={"zone": None, "regions": ["eu-west-99"], "strict": False})
    with world.core.uow() as uow:
        assert uow.tenants.find() == []
    assert world.actions("platform")[-1] == "request.refused:denied"


def test_a_conflict_provisions_nothing_until_an_architect_corrects_the_facts(world: World) -> None:
    world.ready_hub()
    accepted = world.submit("A", customer_managed_key=True)
    world.work()
    assert accepted.tenant.status is TenantStatus.MODE_CONFLICT
    assert accepted.run_id is None
    tenant, decision = perform(
        world.core, ARCHITECT, tenants.decide_mode, accepted.tenant.id,
        changed_facts={"customer_managed_key": False}, reason="agreed with the customer",
    )  # fmt: skip
    world.work()
    assert decision.mode == "A"
    assert world.tenant(tenant.id).status is TenantStatus.READY


def test_a_conflict_is_not_confirmed_away(world: World) -> None:
    accepted = world.submit("A", customer_managed_key=True)
    with pytest.raises(Exception, match="cannot be confirmed"):
        perform(
            world.core,
            ARCHITECT,
            tenants.decide_mode,
            accepted.tenant.id,
            changed_facts=None,
            reason="please",
        )
    assert world.tenant(accepted.tenant.id).status is TenantStatus.MODE_CONFLICT
    assert world.actions(accepted.tenant.id)[-1] == "mode.refused:denied"


def test_an_architect_cannot_edit_what_the_contract_says(world: World) -> None:
    accepted = world.submit("A", customer_managed_key=True)
    with pytest.raises(InvalidInput, match="part of the contract"):
        perform(
            world.core, ARCHITECT, tenants.decide_mode, accepted.tenant.id,
            changed_facts={"contract_mode": "B"}, reason="cheaper",
        )  # fmt: skip


@pytest.mark.requirement("K-035")
def test_a_mandatory_violation_ends_the_run_before_anything_is_called(world: World) -> None:
    world.ready_hub()
    world.policies.violations = [
        {"rule": "residency", "address": "bucket", "enforcement": "mandatory",
         "reason": "us-east-1 is not allowed", "remedy": "choose eu-west-1"}
    ]  # fmt: skip
    accepted = world.submit("A")
    world.work()
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.POLICY_FAILED
    assert run.error["data"]["violations"][0]["rule"] == "residency"
    assert "run.apply:attempted" not in world.actions(accepted.tenant.id)


def test_350_violations_end_the_run_and_can_all_be_read(world: World) -> None:
    """The event holds some of them and counts all; the plan holds every one."""
    world.policies.violations = [
        {"rule": ("residency", "public_exposure")[number % 2], "address": f"{LONG_URN}{number}",
         "enforcement": "mandatory" if number % 7 == 0 else "advisory",
         "reason": f"resource {number} is where it must not be", "remedy": "choose eu-west-1"}
        for number in range(350)
    ]  # fmt: skip
    accepted = world.submit("B")
    world.work()
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.POLICY_FAILED
    assert run.error["message"].startswith("50 mandatory rules are violated; first: resource 0 ")
    assert run.error["data"]["count"] == 350
    assert world.tenant(accepted.tenant.id).status is TenantStatus.FAILED
    (event,) = [e for e in world.events() if e.action == "run.policy_evaluated"]
    assert len(canonical_json(event.body, closed_keys=True)) <= MAX_BODY_BYTES
    assert (event.stage, event.data["count"]) == ("failed", 350)
    plan = perform(world.core, OPS, runs.get_plan, run.id)
    assert [v.address for v in plan.evaluation.violations] == [
        item["address"] for item in world.policies.violations
    ]
    assert event.data["digest"] == plan.evaluation.digest_of_violations
    assert "run.apply:attempted" not in world.actions(accepted.tenant.id)


@pytest.mark.requirement("J-057")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("fault", ["failing", "skipped"])
def test_a_failed_check_keeps_the_tenant_from_being_ready(
    world: World, check: str, fault: str
) -> None:
    world.ready_hub()
    faults = {"failing": world.engine.failing_checks, "skipped": world.engine.skipped_checks}
    faults[fault].add(check)
    accepted = world.submit("A")
    world.work()
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.ERRORED
    assert check in run.error["data"]["checks"]
    assert world.tenant(accepted.tenant.id).status is TenantStatus.FAILED


@pytest.mark.parametrize(
    ("rule", "check"), [("unencrypted_storage", "policies_hold"), ("isolation", "isolation")]
)
def test_a_state_that_violates_a_rule_keeps_the_tenant_from_being_ready(
    world: World, rule: str, check: str
) -> None:
    world.ready_hub()
    world.policies.state_violations = [
        {"rule": rule, "address": "bucket", "enforcement": "mandatory",
         "reason": "no key", "remedy": "set one"}
    ]  # fmt: skip
    accepted = world.submit("A")
    world.work()
    assert world.run(accepted.run_id).error["data"]["checks"] == [check]
    assert world.tenant(accepted.tenant.id).status is TenantStatus.FAILED


@pytest.mark.parametrize("mode", ["A", "B"])
def test_the_policies_are_told_whose_deployment_they_judge(world: World, mode: str) -> None:
    world.ready_hub()
    accepted = world.submit(mode)
    world.work()
    with world.core.uow() as uow:
        (deployment,) = uow.deployments.find(tenant_id=accepted.tenant.id)
        scope = policy_scope(uow, deployment)
        short = spec_of(uow, deployment).document["owner"]["short"]
    assert (scope.tenant, scope.deployment, scope.environment, scope.mode) == (
        accepted.tenant.slug, deployment.id, deployment.environment, mode,
    )  # fmt: skip
    assert scope.slice_short == (short if mode == "A" else None)


def test_a_refusal_of_the_cloud_ends_the_run_and_a_retry_makes_a_new_one(world: World) -> None:
    world.ready_hub()
    world.engine.faults.append(Fault(kind="fails"))
    accepted = world.submit("A")
    world.work()
    failed = world.run(accepted.run_id)
    assert failed.status is RunStatus.ERRORED
    assert "run.apply:failed" in world.actions(accepted.tenant.id)
    fresh = perform(world.core, OPS, runs.retry_run, failed.id)
    world.work()
    assert fresh.id != failed.id
    assert world.run(fresh.id).status is RunStatus.APPLIED
    assert world.tenant(accepted.tenant.id).status is TenantStatus.READY


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("mode", ["A", "B"])
def test_a_killed_runner_is_resumed_under_the_same_approval(
    world: World, mode: str, created: bool
) -> None:
    world.ready_hub()
    world.engine.faults.append(Fault(kind="runner_dies", created=created))
    accepted = world.submit(mode)
    world.work()
    if mode == "B":
        world.approve(accepted.run_id)
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.APPLIED, run.error
    story = world.actions(accepted.tenant.id)
    assert story.count("decision.given:completed") == (1 if mode == "B" else 0)
    for action in ("run.resumed:completed", "lock.broken:completed", "pending.resolved:completed"):
        assert action in story


def test_a_killed_worker_is_resumed_by_the_next_one(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="worker_dies"))
    with pytest.raises(ProcessDied):
        world.approve(accepted.run_id)
    assert world.run(accepted.run_id).status is RunStatus.APPLYING
    PHASES["advance_run"](world.core, accepted.run_id or "")  # what the queue does then
    run = world.run(accepted.run_id)
    assert run.status is RunStatus.APPLIED, run.error
    assert run.attempt == 2
    assert "run.resumed:completed" in world.actions(accepted.tenant.id)
    with world.core.uow() as uow:
        lines = uow.run_events.after(accepted.run_id or "", 0)
    assert [e.body for e in lines if e.kind == "resumed"] == [{"phase": "applying", "attempt": 2}]


def test_an_unresolved_create_blocks_the_run_for_an_operator(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    world.engine.faults.append(Fault(kind="runner_dies"))
    world.engine.ambiguous = True
    world.approve(accepted.run_id)
    run = world.run(accepted.run_id)
    assert (run.status, run.blocked_on) == (RunStatus.BLOCKED, BlockedOn.PENDING_UNRESOLVED)
    world.engine.ambiguous = False
    perform(world.core, OPS, runs.retry_run, run.id)
    world.work()
    assert world.run(run.id).status is RunStatus.APPLIED


def test_a_foreign_lock_blocks_and_is_never_broken(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    run = world.run(accepted.run_id)
    with world.core.uow() as uow:
        deployment = uow.deployments.get(run.deployment_id)
    assert deployment is not None
    lock = world.engine.hold_lock(deployment.stack)
    world.approve(run.id)
    blocked = world.run(run.id)
    assert (blocked.status, blocked.blocked_on) == (RunStatus.BLOCKED, BlockedOn.FOREIGN_LOCK)
    assert lock in world.engine.stacks[deployment.stack].locks
    world.engine.stacks[deployment.stack].locks.clear()
    perform(world.core, OPS, runs.retry_run, run.id)
    world.work()
    assert world.run(run.id).status is RunStatus.APPLIED


def test_a_run_is_canceled_at_once_before_it_applies(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    run = perform(world.core, OPS, runs.cancel_run, accepted.run_id or "")
    assert run.status is RunStatus.CANCELED
    world.clock.advance(hours=73)
    fire_due(world.core)
    assert world.run(run.id).status is RunStatus.CANCELED


def test_a_hub_is_refused_to_who_is_no_platform_admin(world: World) -> None:
    with pytest.raises(NotAllowed):
        perform(world.core, OPS, hubs.request_hub, region="eu-west-1", cell="c1", capacity=1)
    assert world.actions("platform")[-1] == "authz.denied:denied"


def test_a_region_without_hubs_of_the_vendor_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput):
        perform(world.core, ADMIN, hubs.request_hub, region="ap-south-2", cell="c1", capacity=1)


def test_another_tenants_run_looks_like_a_missing_one(world: World) -> None:
    accepted = world.submit("B")
    stranger = person("eve", Role.OPS_APPROVER, tenants=("ten_other",))
    answers = []
    for run_id in (accepted.run_id or "", "run_01JD3ZK4Q0V8X2M6N7P9R5T1WY"):
        with pytest.raises(Exception) as refused:
            perform(world.core, stranger, runs.get_run, run_id)
        answers.append((type(refused.value), str(refused.value)))
    assert answers[0] == answers[1]


def test_a_dry_run_stores_nothing(world: World) -> None:
    from control_plane.services.provisioning import dry_run_request
    from tests.world import AUTOMATION

    decision = perform(world.core, AUTOMATION, dry_run_request, request_body("B"))
    assert decision.mode == "B"
    assert world.rows("tenant") == {}
