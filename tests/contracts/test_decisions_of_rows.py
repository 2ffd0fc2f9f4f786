"""Decisions, approvals and runs: what a unit of work refuses below the use cases."""

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
from control_plane.domain.run import LOOK_TRANSITIONS, RunKind, RunStatus
from tests.contracts.rows import conflict_of, refused_save, run_all, store
from tests.entities import ASKER, Entities, Waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"actor_id": ASKER}, SeparationOfDuties),
        ({"actor_id": "user:asks-2", "person": ASKER}, SeparationOfDuties),
        ({"actor_kind": "service"}, MachineMayNotDecide),
        ({"actor_kind": "system"}, MachineMayNotDecide),
        ({"plan_digest": "sha256:other"}, PlanOutOfDate),
        ({"approval_id": "apr_unknown"}, Conflict),
    ],
)
def test_a_decision_that_may_not_be_is_refused_below_the_code(
    storage: Storage,
    make: Entities,
    waiting: Waiting,
    changes: dict[str, str],
    error: type[Exception],
) -> None:
    with storage.unit_of_work() as uow, pytest.raises(error):
        uow.decisions.add(make.decision(waiting.approval, **changes))


def test_a_decision_after_the_end_of_its_time_is_refused(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    make.clock.advance(hours=72)
    with storage.unit_of_work() as uow, pytest.raises(ApprovalExpired):
        uow.decisions.add(make.decision(waiting.approval))


@pytest.mark.parametrize(
    "status", [ApprovalStatus.REJECTED, ApprovalStatus.CANCELED, ApprovalStatus.SUPERSEDED]
)
def test_a_decision_on_what_does_not_wait_is_refused(
    storage: Storage, make: Entities, waiting: Waiting, status: ApprovalStatus
) -> None:
    with storage.unit_of_work() as uow:
        uow.approvals.save(waiting.approval.moved(status, make.clock.now()))
        with pytest.raises(AlreadyDecided):
            uow.decisions.add(make.decision(waiting.approval))


def test_an_approval_is_given_by_a_decision_alone(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    approved = waiting.approval.moved(ApprovalStatus.APPROVED, make.clock.now())
    assert refused_save(storage, "approvals", approved) == "approval_needs_decision"
    with storage.unit_of_work() as uow:
        uow.decisions.add(make.decision(waiting.approval))
        uow.approvals.save(approved)
        uow.commit()


def test_a_rejecting_decision_is_the_end_of_it(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    approved = waiting.approval.moved(ApprovalStatus.APPROVED, make.clock.now())
    with storage.unit_of_work() as uow:
        no = make.decision(waiting.approval, decision="reject", actor_id="user:no", person="no")
        uow.decisions.add(no)
        uow.decisions.add(make.decision(waiting.approval))
        with pytest.raises(Conflict) as refused:
            uow.approvals.save(approved)
        assert refused.value.data["constraint"] == "approval_needs_decision"


def test_where_two_must_agree_they_are_two_people(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    plan = make.plan(waiting.run)
    asked = make.approval(plan, needed=2, rule="four-eyes")
    store(storage, "plans", plan)
    store(storage, "approvals", asked)
    approved = asked.moved(ApprovalStatus.APPROVED, make.clock.now())
    store(storage, "decisions", make.decision(asked, actor_id="user:olga", person="olga"))
    assert refused_save(storage, "approvals", approved) == "approval_needs_decision"
    again = make.decision(asked, actor_id="user:olga-2", person="olga")
    with storage.unit_of_work() as uow, pytest.raises(AlreadyDecided):
        uow.decisions.add(again)
    assert refused_save(storage, "approvals", approved) == "approval_needs_decision"
    with storage.unit_of_work() as uow:
        uow.decisions.add(make.decision(asked, actor_id="user:petra", person="petra"))
        uow.approvals.save(approved)
        uow.commit()


@pytest.mark.parametrize("changes", [{"rule": "none"}, {"needed": 2}, {"roles": ("auditor",)}])
def test_what_an_approval_asks_for_is_never_changed(
    storage: Storage, waiting: Waiting, changes: dict[str, Any]
) -> None:
    other = replace(waiting.approval, version=2, **changes)
    assert refused_save(storage, "approvals", other) == "approval_is_bound_to_its_plan"


def test_an_approval_starts_waiting_and_stays_with_its_plan(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    plan = make.plan(waiting.run)
    store(storage, "plans", plan)
    given = make.approval(plan, status=ApprovalStatus.APPROVED)
    assert conflict_of(storage, "approvals", given) == "approval_starts_waiting"
    other = replace(waiting.approval, plan_digest=plan.digest, version=2)
    assert refused_save(storage, "approvals", other) == "approval_is_bound_to_its_plan"
    taken = replace(waiting.approval, status=ApprovalStatus.CONSUMED, version=2)
    assert refused_save(storage, "approvals", taken) == "approval_needs_decision"


def test_a_run_that_asked_applies_only_with_its_approval(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    now = make.clock.now()
    run = waiting.run.moved(RunStatus.APPROVED, now)
    with storage.unit_of_work() as uow:
        uow.runs.save(run)
        uow.commit()
    applying = run.moved(RunStatus.APPLYING, now)
    assert refused_save(storage, "runs", applying) == "run_needs_approval"
    with storage.unit_of_work() as uow:
        uow.decisions.add(make.decision(waiting.approval))
        approved = waiting.approval.moved(ApprovalStatus.APPROVED, now)
        uow.approvals.save(approved)
        uow.approvals.save(approved.moved(ApprovalStatus.CONSUMED, now))
        uow.runs.save(applying)
        uow.commit()


@pytest.mark.parametrize("needed", [1, 2])
def test_a_destroy_applies_only_after_two_people_approved(
    storage: Storage, make: Entities, waiting: Waiting, needed: int
) -> None:
    now = make.clock.now()
    run = make.run(waiting.deployment, kind=RunKind.DESTROY, status=RunStatus.APPROVED)
    plan = make.plan(run)
    asked = make.approval(plan, needed=needed)
    planned = replace(run, plan_id=plan.id)
    with storage.unit_of_work() as uow:
        uow.runs.add(planned)
        uow.plans.add(plan)
        uow.commit()
    unasked = planned.moved(RunStatus.APPLYING, now)
    assert refused_save(storage, "runs", unasked) == "run_needs_approval"
    store(storage, "approvals", asked)
    with storage.unit_of_work() as uow:
        for name in ("olga", "petra")[:needed]:
            uow.decisions.add(make.decision(asked, actor_id=f"user:{name}", person=name))
        uow.approvals.save(asked.moved(ApprovalStatus.APPROVED, now))
        uow.commit()
    applying = planned.moved(RunStatus.APPLYING, now, approval_id=asked.id)
    if needed == 1:
        assert refused_save(storage, "runs", applying) == "run_needs_approval"
        return
    with storage.unit_of_work() as uow:
        uow.runs.save(applying)
        uow.commit()


@pytest.mark.parametrize(
    "status", [status for status in RunStatus if status is not RunStatus.BLOCKED]
)
def test_a_look_is_never_where_something_is_planned_or_applied(
    storage: Storage, make: Entities, waiting: Waiting, status: RunStatus
) -> None:
    look = make.run(waiting.deployment, kind=RunKind.REFRESH, status=status)
    if status in LOOK_TRANSITIONS:
        store(storage, "runs", look)
    else:
        plans = status is RunStatus.PLANNED
        refused = "ck_run_status_of_plan" if plans else "ck_run_status_of_refresh"
        assert conflict_of(storage, "runs", look) == refused


def test_a_run_keeps_its_kind_and_its_deployment(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    other = make.deployment(waiting.tenant, environment="staging")
    store(storage, "deployments", other)
    for change in ({"kind": RunKind.UPDATE}, {"deployment_id": other.id}):
        changed = waiting.run.changed(make.clock.now(), **change)
        assert refused_save(storage, "runs", changed) == "run_keeps_its_kind"


def test_of_two_people_who_decide_at_once_one_does(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=60)

    def decide(decision: Any) -> None:
        with storage.unit_of_work() as uow:
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


@pytest.mark.parametrize(
    "repository",
    ["contracts", "refusals", "specs", "evidence", "plans", "barred", "decisions", "receipts"],
)
def test_what_was_said_is_never_changed(
    storage: Storage, make: Entities, waiting: Waiting, repository: str
) -> None:
    bundle = make.bundle(waiting.deployment)
    contract = make.contract(waiting.tenant)
    with storage.unit_of_work() as uow:
        uow.bundles.add(bundle)
        uow.contracts.add(contract)
        uow.receipts.add(make.receipt(bundle))
        uow.refusals.add(make.refusal())
        uow.specs.add(make.spec(waiting.deployment))
        uow.evidence.add(make.evidence(waiting.run))
        uow.decisions.add(make.decision(waiting.approval))
        uow.commit()
        row = getattr(uow, repository).find()[0]
        with pytest.raises(Conflict) as refused:
            getattr(uow, repository).save(row)
    assert str(refused.value.data["constraint"]).endswith("_is_immutable")
