"""Decisions, approvals and runs: what every unit of work refuses below the use cases."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    Conflict,
    MachineMayNotDecide,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.run import RunStatus
from tests.contracts.worlds import World, conflict_of, run_all, store
from tests.entities import ASKER, Entities, Waiting

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"actor_id": ASKER}, SeparationOfDuties),
        ({"actor_kind": "service"}, MachineMayNotDecide),
        ({"actor_kind": "system"}, MachineMayNotDecide),
        ({"plan_digest": "sha256:other"}, PlanOutOfDate),
        ({"approval_id": "apr_unknown"}, Conflict),
    ],
)
def test_a_decision_that_may_not_be_is_refused_below_the_code(
    world: World, make: Entities, waiting: Waiting, changes: dict[str, str], error: type[Exception]
) -> None:
    with world.uow() as uow, pytest.raises(error):
        uow.decisions.add(make.decision(waiting.approval, **changes))


def test_a_decision_after_the_end_of_its_time_is_refused(
    world: World, make: Entities, waiting: Waiting
) -> None:
    make.clock.advance(hours=72)
    with world.uow() as uow, pytest.raises(ApprovalExpired):
        uow.decisions.add(make.decision(waiting.approval))


@pytest.mark.parametrize(
    "status", [ApprovalStatus.REJECTED, ApprovalStatus.CANCELED, ApprovalStatus.SUPERSEDED]
)
def test_a_decision_on_what_does_not_wait_is_refused(
    world: World, make: Entities, waiting: Waiting, status: ApprovalStatus
) -> None:
    with world.uow() as uow:
        uow.approvals.save(waiting.approval.moved(status, make.clock.now()))
        with pytest.raises(AlreadyDecided):
            uow.decisions.add(make.decision(waiting.approval))


def test_an_approval_is_given_by_a_decision_alone(
    world: World, make: Entities, waiting: Waiting
) -> None:
    approved = waiting.approval.moved(ApprovalStatus.APPROVED, make.clock.now())
    with world.uow() as uow:
        with pytest.raises(Conflict) as refused:
            uow.approvals.save(approved)
        assert refused.value.data["constraint"] == "approval_needs_decision"
        uow.decisions.add(make.decision(waiting.approval, decision="reject", actor_id="user:no"))
        with pytest.raises(Conflict):
            uow.approvals.save(approved)
        uow.decisions.add(make.decision(waiting.approval))
        uow.approvals.save(approved)
        uow.commit()


def test_an_approval_starts_waiting_and_stays_with_its_plan(
    world: World, make: Entities, waiting: Waiting
) -> None:
    plan = make.plan(waiting.run)
    store(world, "plans", plan)
    given = make.approval(plan, status=ApprovalStatus.APPROVED)
    assert conflict_of(world, "approvals", given) == "approval_starts_waiting"
    other = replace(waiting.approval, plan_digest=plan.digest, version=2)
    with world.uow() as uow:
        with pytest.raises(Conflict) as refused:
            uow.approvals.save(other)
        assert refused.value.data["constraint"] == "approval_is_bound_to_its_plan"
        taken = replace(waiting.approval, status=ApprovalStatus.CONSUMED, version=2)
        with pytest.raises(Conflict):
            uow.approvals.save(taken)


def test_a_run_that_asked_applies_only_with_its_approval(
    world: World, make: Entities, waiting: Waiting
) -> None:
    now = make.clock.now()
    run = waiting.run.moved(RunStatus.APPROVED, now)
    with world.uow() as uow:
        uow.runs.save(run)
        with pytest.raises(Conflict) as refused:
            uow.runs.save(run.moved(RunStatus.APPLYING, now))
        assert refused.value.data["constraint"] == "run_needs_approval"
        uow.decisions.add(make.decision(waiting.approval))
        approved = waiting.approval.moved(ApprovalStatus.APPROVED, now)
        uow.approvals.save(approved)
        uow.approvals.save(approved.moved(ApprovalStatus.CONSUMED, now))
        uow.runs.save(run.moved(RunStatus.APPLYING, now))
        uow.commit()


def test_of_two_people_who_decide_at_once_one_does(
    world: World, make: Entities, waiting: Waiting
) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=60)

    def decide(decision: Any) -> None:
        with world.uow() as uow:
            together.wait()
            approval = uow.approvals.get(waiting.approval.id, lock=True)
            assert approval is not None
            try:
                uow.decisions.add(decision)
                uow.approvals.save(approval.moved(ApprovalStatus.APPROVED, make.clock.now()))
                uow.commit()
                outcomes.append("approved")
            except AlreadyDecided:
                outcomes.append("already decided")

    decisions = [make.decision(waiting.approval, actor_id=f"user:{n}") for n in range(2)]
    run_all([lambda: decide(decisions[0]), lambda: decide(decisions[1])])
    assert sorted(outcomes) == ["already decided", "approved"]


@pytest.mark.parametrize("repository", ["contracts", "plans", "barred", "decisions", "receipts"])
def test_what_was_said_is_never_changed(
    world: World, make: Entities, waiting: Waiting, repository: str
) -> None:
    bundle = make.bundle(waiting.deployment)
    contract = make.contract(waiting.tenant)
    with world.uow() as uow:
        uow.bundles.add(bundle)
        uow.contracts.add(contract)
        uow.receipts.add(make.receipt(bundle))
        uow.decisions.add(make.decision(waiting.approval))
        uow.commit()
        row = getattr(uow, repository).find()[0]
        with pytest.raises(Conflict) as refused:
            getattr(uow, repository).save(row)
    assert str(refused.value.data["constraint"]).endswith("_is_immutable")
