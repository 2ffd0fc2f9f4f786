"""Every way a decision is refused: its own code, an event, and nothing called."""

from __future__ import annotations

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    DomainError,
    InvalidInput,
    MachineMayNotDecide,
    NotAllowed,
    NotFound,
    PlanMoved,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import approvals, runs, tenants
from control_plane.services.approvals import ApprovalDetails as Details
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.timers import fire_due
from tests.world import ARCHITECT, AUDITOR, OPS, World, machine, person

OTHER = "sha256:" + "0" * 64


class Waiting:
    """A Mode B run that waits for a decision."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted = world.submit("B")
        world.work()
        self.run_id = self.accepted.run_id or ""
        self.view = perform(
            world.core, OPS, approvals.get_approval, world.run(self.run_id).approval_id
        )
        self.calls = list(world.engine.calls)

    def decide(self, who: Caller = OPS, verdict: str = "approve", **changes: str) -> Details:
        """Decide as somebody."""
        given = {"plan_digest": self.view.approval.plan_digest, "reason": "read it", **changes}
        return perform(
            self.world.core, who, approvals.decide, self.view.approval.id, verdict=verdict, **given
        )

    def refused(self, who: Caller, kind: type[DomainError], **changes: str) -> DomainError:
        """Decide, expect the refusal, and that it left an event and called nothing."""
        before = len(self.world.events())
        with pytest.raises(kind) as caught:
            self.decide(who, **changes)
        self.world.work()
        stages = [str(event.stage) for event in self.world.events()[before:]]
        assert "denied" in stages
        assert self.world.engine.calls == self.calls
        assert self.world.run(self.run_id).status is not RunStatus.APPLYING
        return caught.value


@pytest.fixture
def waiting(world: World) -> Waiting:
    return Waiting(world)


@pytest.mark.requirement("J-019")
def test_the_requester_may_not_decide(waiting: Waiting) -> None:
    requester = person("crm", Role.OPS_APPROVER)
    assert waiting.refused(requester, SeparationOfDuties).data["barred_as"] == "requester"


def test_for_whom_a_machine_asked_may_not_decide(world: World) -> None:
    body_owner = machine("crm", Role.AUTOMATION, on_behalf_of="olga")
    from control_plane.services.provisioning import submit_request
    from tests.world import request_body

    accepted = perform(world.core, body_owner, submit_request, request_body("B"))
    world.work()
    approval = world.run(accepted.run_id).approval_id
    view = perform(world.core, OPS, approvals.get_approval, approval)
    with pytest.raises(SeparationOfDuties, match="You requested this change"):
        perform(
            world.core, OPS, approvals.decide, approval, verdict="approve",
            plan_digest=view.approval.plan_digest, reason="mine",
        )  # fmt: skip


def test_a_machine_may_not_decide(waiting: Waiting) -> None:
    waiting.refused(machine("robot", Role.OPS_APPROVER), MachineMayNotDecide)
    waiting.refused(machine("crm", Role.AUTOMATION), NotAllowed)


def test_an_auditor_may_not_decide(waiting: Waiting) -> None:
    waiting.refused(AUDITOR, NotAllowed)


def test_who_edited_the_facts_may_not_decide(world: World) -> None:
    accepted = world.submit("B", data_must_stay_in_customer_cloud=True)
    both = person("sam", Role.SOLUTIONS_ARCHITECT, Role.OPS_APPROVER)
    perform(
        world.core, both, tenants.decide_mode, accepted.tenant.id,
        changed_facts={"data_must_stay_in_customer_cloud": False}, reason="agreed",
    )  # fmt: skip
    world.work()
    (run,) = perform(
        world.core,
        OPS,
        runs.list_runs,
        limit=5,
        before=None,
        tenant_id=accepted.tenant.id,
        status=None,
    )
    view = perform(world.core, OPS, approvals.get_approval, run.approval_id or "")
    with pytest.raises(SeparationOfDuties, match="You edited the facts"):
        perform(
            world.core, both, approvals.decide, view.approval.id, verdict="approve",
            plan_digest=view.approval.plan_digest, reason="mine",
        )  # fmt: skip


@pytest.mark.requirement("J-019")
def test_another_digest_is_refused(waiting: Waiting) -> None:
    waiting.refused(OPS, PlanOutOfDate, plan_digest=OTHER)


def test_an_approval_of_another_tenant_looks_missing(waiting: Waiting) -> None:
    stranger = person("eve", Role.OPS_APPROVER, tenants=("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",))
    waiting.refused(stranger, NotFound)


def test_a_decision_needs_a_reason_and_a_known_word(waiting: Waiting) -> None:
    waiting.refused(OPS, InvalidInput, reason="  ")
    with pytest.raises(InvalidInput):
        waiting.decide(verdict="maybe")


def test_a_second_decision_is_refused(waiting: Waiting) -> None:
    waiting.decide()
    before = len(waiting.world.events())
    with pytest.raises(AlreadyDecided):
        waiting.decide(person("otto", Role.OPS_APPROVER), verdict="reject")
    assert str(waiting.world.events()[-1].stage) == "denied"
    assert len(waiting.world.events()) == before + 1
    waiting.world.work()
    assert waiting.world.run(waiting.run_id).status is RunStatus.APPLIED


def test_the_end_of_an_approvals_life_is_exclusive(waiting: Waiting) -> None:
    waiting.world.clock.advance(hours=72)
    waiting.refused(OPS, ApprovalExpired)
    fire_due(waiting.world.core)
    assert waiting.world.run(waiting.run_id).status is RunStatus.EXPIRED
    waiting.refused(OPS, ApprovalExpired)


def test_a_late_decision_on_a_used_approval_says_that_it_is_used(waiting: Waiting) -> None:
    waiting.decide()
    waiting.world.work()
    waiting.world.clock.advance(hours=100)
    with pytest.raises(AlreadyDecided, match="is already consumed"):
        waiting.decide(person("otto", Role.OPS_APPROVER))


def left_of_approval(waiting: Waiting) -> list[str]:
    """Return the actions recorded of the approval itself."""
    return [
        event.action
        for event in waiting.world.events()
        if event.action.startswith("approval.")
        and ("approval", waiting.view.approval.id) in event.targets
    ]


def test_an_approval_that_is_used_leaves_an_event(waiting: Waiting) -> None:
    waiting.decide()
    assert left_of_approval(waiting) == []
    waiting.world.work()
    assert left_of_approval(waiting) == ["approval.consumed"]


@pytest.mark.parametrize("is_given", [False, True])
def test_an_approval_of_a_canceled_run_leaves_an_event(waiting: Waiting, is_given: bool) -> None:
    if is_given:
        waiting.decide()
    perform(waiting.world.core, OPS, runs.cancel_run, waiting.run_id)
    assert left_of_approval(waiting) == ["approval.canceled"]


def test_a_timer_expires_what_nobody_decided(waiting: Waiting) -> None:
    waiting.world.clock.advance(hours=71)
    fire_due(waiting.world.core)
    assert waiting.world.run(waiting.run_id).status is RunStatus.AWAITING_APPROVAL
    waiting.world.clock.advance(hours=2)
    fire_due(waiting.world.core)
    assert waiting.world.run(waiting.run_id).status is RunStatus.EXPIRED


def test_an_apply_that_starts_too_late_calls_nothing(waiting: Waiting) -> None:
    waiting.decide()
    waiting.world.clock.advance(hours=80)
    waiting.world.work()
    assert waiting.world.run(waiting.run_id).status is RunStatus.EXPIRED
    assert waiting.world.engine.calls == waiting.calls


def test_a_rejection_ends_the_run(waiting: Waiting) -> None:
    waiting.decide(verdict="reject")
    waiting.world.work()
    assert waiting.world.run(waiting.run_id).status is RunStatus.REJECTED
    assert waiting.world.engine.calls == waiting.calls


def test_changed_policy_parameters_are_named_at_the_decision(waiting: Waiting) -> None:
    waiting.world.policies.version = 2
    moved = waiting.refused(OPS, PlanMoved)
    assert moved.data["parts"] == ["policies"]


def moved_after_the_decision(waiting: Waiting, part: str) -> None:
    waiting.world.work()
    run = waiting.world.run(waiting.run_id)
    assert (run.status, run.blocked_on) == (RunStatus.BLOCKED, BlockedOn.STATE_MOVED)
    assert part in run.error["data"]["parts"]
    assert "run.apply:attempted" not in waiting.world.actions(waiting.accepted.tenant.id)
    fresh = perform(waiting.world.core, OPS, runs.retry_run, run.id)
    waiting.world.work()
    assert waiting.world.run(run.id).status is RunStatus.SUPERSEDED
    assert waiting.world.run(fresh.id).status is RunStatus.AWAITING_APPROVAL


@pytest.mark.requirement("J-023")
def test_a_moved_program_blocks_the_apply_and_is_named(waiting: Waiting) -> None:
    waiting.decide()
    waiting.world.engine.program_version = "2"
    moved_after_the_decision(waiting, "program")


def test_a_moved_state_blocks_the_apply_and_is_named(waiting: Waiting) -> None:
    waiting.decide()
    with waiting.world.core.uow() as uow:
        deployment = uow.deployments.get(waiting.world.run(waiting.run_id).deployment_id)
    assert deployment is not None
    waiting.world.engine.touch(deployment.stack)
    moved_after_the_decision(waiting, "state")


def test_policy_parameters_that_move_after_the_decision_block_the_apply(waiting: Waiting) -> None:
    waiting.decide()
    waiting.world.policies.version = 2
    moved_after_the_decision(waiting, "policies")


def test_an_architect_may_look_but_not_decide(waiting: Waiting) -> None:
    waiting.refused(ARCHITECT, NotAllowed)
