"""Ticks, withdrawals and windows of approvals: what the database refuses by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from control_plane.domain.approval import Approval, ApprovalStatus, Decision, Withdrawal
from control_plane.domain.change_window import Opening
from control_plane.domain.engine import Operation
from control_plane.domain.errors import (
    AlreadyDecided,
    Conflict,
    DomainError,
    NotAcknowledged,
    SeparationOfDuties,
)
from control_plane.domain.run import Run, RunStatus
from tests.contracts.rows import conflict_of, refused_save, run_all, store
from tests.entities import Entities, Waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)
BUCKET = "urn:pulumi:s::p::aws:s3/bucket:Bucket::data"
TABLE = "urn:pulumi:s::p::aws:dynamodb/table:Table::hub"


def asked(storage: Storage, make: Entities, waiting: Waiting, **changes: Any) -> Approval:
    """Store another approval of the run, of a plan that deletes a bucket and a table."""
    operations = tuple(
        Operation(urn=urn, type="t", name="n", op="delete", irreversible=irreversible)
        for urn, irreversible in ((BUCKET, True), (TABLE, True), ("urn:other", False))
    )
    plan = make.plan(waiting.run, operations=operations)
    approval = make.approval(plan, **changes)
    store(storage, "plans", plan)
    store(storage, "approvals", approval)
    return approval


def yes(make: Entities, approval: Approval, name: str, **changes: Any) -> Decision:
    facts = {"actor_id": f"user:{name}", "person": name, **changes}
    return make.decision(approval, **facts)


def withdrawal(make: Entities, decision: Decision, **changes: Any) -> Withdrawal:
    facts = {
        "id": make.ids.new("withdrawal"), "approval_id": decision.approval_id,
        "decision_id": decision.id, "actor_id": decision.actor_id, "person": decision.person,
        "reason": "not sure any more", "withdrawn_at": make.clock.now(), **changes,
    }  # fmt: skip
    return Withdrawal(**facts)


def refused(storage: Storage, kind: type[DomainError], decision: Decision) -> None:
    with storage.unit_of_work() as uow, pytest.raises(kind):
        uow.decisions.add(decision)


# --- ticks --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "ticks", [(), (BUCKET,), (BUCKET, TABLE, "urn:other"), (BUCKET, "urn:nothing"), ("n", "n")]
)
def test_an_approval_ticks_exactly_what_cannot_be_undone(
    storage: Storage, make: Entities, waiting: Waiting, ticks: tuple[str, ...]
) -> None:
    approval = asked(storage, make, waiting)
    refused(storage, NotAcknowledged, yes(make, approval, "olga", acknowledged=ticks))
    store(storage, "decisions", yes(make, approval, "olga", acknowledged=(TABLE, BUCKET)))


def test_a_rejection_ticks_nothing(storage: Storage, make: Entities, waiting: Waiting) -> None:
    store(
        storage,
        "decisions",
        yes(make, asked(storage, make, waiting), "olga", decision="reject"),
    )


# --- withdrawals --------------------------------------------------------------------------------
def approved(
    storage: Storage, make: Entities, approval: Approval, names: Iterable[str], **opening: Any
) -> tuple[Approval, list[Decision]]:
    """Store decisions and the approval that they give."""
    given = [yes(make, approval, name) for name in names]
    moved = approval.moved(ApprovalStatus.APPROVED, make.clock.now(), **opening)
    with storage.unit_of_work() as uow:
        for each in given:
            uow.decisions.add(each)
        uow.approvals.save(moved)
        uow.commit()
    return moved, given


def test_what_was_withdrawn_counts_no_more(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    present, (decision,) = approved(storage, make, waiting.approval, ["olga"])
    now = make.clock.now()
    with storage.unit_of_work() as uow:  # the approval would stay approved
        uow.withdrawals.add(withdrawal(make, decision))
        with pytest.raises(Conflict) as error:
            uow.commit()
    assert error.value.data["constraint"] == "approval_needs_decision"
    back = present.moved(ApprovalStatus.WAITING, now)
    assert refused_save(storage, "approvals", back) == "approval_needs_decision"
    with storage.unit_of_work() as uow:
        uow.withdrawals.add(withdrawal(make, decision))
        uow.approvals.save(back)
        uow.commit()
    again = back.moved(ApprovalStatus.APPROVED, now)
    assert refused_save(storage, "approvals", again) == "approval_needs_decision"
    refused(storage, AlreadyDecided, yes(make, back, "olga"))  # it would be the second
    second = yes(make, back, "olga", number=2)
    with storage.unit_of_work() as uow:
        uow.decisions.add(second)
        uow.approvals.save(again)
        uow.commit()


@pytest.mark.parametrize(
    "changes",
    [
        {"actor_id": "user:petra", "person": "petra"},
        {"decision_id": "dec_unknown"},
        {"approval_id": "apr_unknown"},
    ],
)
def test_somebody_withdraws_what_they_gave(
    storage: Storage, make: Entities, waiting: Waiting, changes: dict[str, str]
) -> None:
    plan = make.plan(waiting.run)
    approval = make.approval(plan, needed=2)
    store(storage, "plans", plan)
    store(storage, "approvals", approval)
    decision = yes(make, approval, "olga")
    store(storage, "decisions", decision)
    bad = withdrawal(make, decision, **changes)
    assert conflict_of(storage, "withdrawals", bad).startswith("withdrawal_")
    store(storage, "withdrawals", withdrawal(make, decision, actor_id="user:olga-2"))
    again = withdrawal(make, decision)
    assert conflict_of(storage, "withdrawals", again) == "uq_withdrawal_decision_id"


@pytest.mark.parametrize("number", [1, 3])
def test_a_person_decides_once_at_a_time(
    storage: Storage, make: Entities, waiting: Waiting, number: int
) -> None:
    plan = make.plan(waiting.run)
    approval = make.approval(plan, needed=3)
    store(storage, "plans", plan)
    store(storage, "approvals", approval)
    decision = yes(make, approval, "olga")
    store(storage, "decisions", decision)
    refused(storage, AlreadyDecided, yes(make, approval, "olga", number=number))
    refused(storage, AlreadyDecided, yes(make, approval, "x", actor_id="user:olga", number=2))
    store(storage, "withdrawals", withdrawal(make, decision))
    refused(storage, AlreadyDecided, yes(make, approval, "olga", number=number))
    store(storage, "decisions", yes(make, approval, "olga", actor_id="user:o-2", number=2))


def test_who_is_excluded_later_does_not_decide_again(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    present, (decision,) = approved(storage, make, waiting.approval, ["olga"])
    with storage.unit_of_work() as uow:
        uow.withdrawals.add(withdrawal(make, decision))
        uow.approvals.save(present.moved(ApprovalStatus.WAITING, make.clock.now()))
        uow.barred.add(make.barred(waiting.approval, "olga"))
        uow.commit()
    refused(storage, SeparationOfDuties, yes(make, waiting.approval, "olga", number=2))


# --- the beginning of the apply -----------------------------------------------------------------
def ready(storage: Storage, make: Entities, waiting: Waiting) -> Run:
    """Store the run as approved."""
    run = waiting.run.moved(RunStatus.APPROVED, make.clock.now())
    with storage.unit_of_work() as uow:
        uow.runs.save(run)
        uow.commit()
    return run


def begun(run: Run, at: datetime) -> Run:
    return run.moved(RunStatus.APPLYING, at, started_at=at)


def test_a_run_begins_only_while_enough_people_approve(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    """Also when the approval says that it is approved: the decisions are counted."""
    present, (decision,) = approved(storage, make, waiting.approval, ["olga"])
    run = ready(storage, make, waiting)
    with storage.unit_of_work() as uow:
        uow.withdrawals.add(withdrawal(make, decision))
        with pytest.raises(Conflict) as error:
            uow.runs.save(begun(run, make.clock.now()))
        assert error.value.data["constraint"] == "run_needs_approval"
    consumed = present.moved(ApprovalStatus.CONSUMED, make.clock.now())
    with storage.unit_of_work() as uow:
        uow.withdrawals.add(withdrawal(make, decision))
        with pytest.raises(Conflict) as error:
            uow.approvals.save(consumed)
        assert error.value.data["constraint"] == "approval_needs_decision"
    with storage.unit_of_work() as uow:
        uow.approvals.save(consumed)
        uow.runs.save(begun(run, make.clock.now()))
        uow.commit()
    late = withdrawal(make, decision)
    assert conflict_of(storage, "withdrawals", late) == "withdrawal_comes_before_the_apply"


def test_a_run_does_not_begin_after_its_approval_expired(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    approved(storage, make, waiting.approval, ["olga"])
    run = ready(storage, make, waiting)
    end = waiting.approval.expires_at
    assert refused_save(storage, "runs", begun(run, end)) == "run_begins_before_it_expires"
    with storage.unit_of_work() as uow:
        uow.runs.save(begun(run, end - timedelta(seconds=1)))
        uow.commit()


@pytest.fixture
def windowed(storage: Storage, make: Entities, waiting: Waiting) -> tuple[Run, Approval, Opening]:
    """An approved run whose approval has a change window, tomorrow for an hour."""
    start = make.clock.now() + timedelta(days=1)
    opening = Opening(start=start, end=start + timedelta(hours=1))
    plan = make.plan(waiting.run)
    approval = make.approval(plan, windows=("office",), rules=("dedicated",))
    run = waiting.run.changed(make.clock.now(), plan_id=plan.id, approval_id=approval.id)
    with storage.unit_of_work() as uow:
        uow.plans.add(plan)
        uow.approvals.add(approval)
        uow.runs.save(run)
        uow.commit()
    present, _ = approved(storage, make, approval, ["olga"], opening=opening)
    return ready(storage, make, replace(waiting, run=run)), present, opening


def test_a_run_begins_inside_its_window(
    storage: Storage, make: Entities, windowed: tuple[Run, Approval, Opening]
) -> None:
    run, _, opening = windowed
    for at in (make.clock.now(), opening.start - timedelta(seconds=1), opening.end):
        assert refused_save(storage, "runs", begun(run, at)) == "run_begins_in_its_window"
    undated = run.moved(RunStatus.APPLYING, make.clock.now())
    assert refused_save(storage, "runs", undated) == "run_begins_in_its_window"
    with storage.unit_of_work() as uow:
        uow.runs.save(begun(run, opening.start))
        uow.commit()


def test_an_approval_keeps_its_windows_and_says_when_they_open(
    storage: Storage, make: Entities, windowed: tuple[Run, Approval, Opening]
) -> None:
    _, present, _ = windowed
    for change in ({"windows": ()}, {"windows": ("night",)}, {"rules": ()}):
        other = replace(present, version=present.version + 1, **change)
        assert refused_save(storage, "approvals", other) == "approval_is_bound_to_its_plan"
    for times in ({"opens_at": None}, {"opens_at": None, "closes_at": None}):
        other = replace(present, version=present.version + 1, **times)
        assert refused_save(storage, "approvals", other).startswith("ck_approval_opens")


def test_of_a_withdrawal_and_the_beginning_of_the_apply_one_comes_first(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    """Both lock the run's row; whoever comes second sees what the first did."""
    present, (decision,) = approved(storage, make, waiting.approval, ["olga"])
    run = ready(storage, make, waiting)
    now, outcomes = make.clock.now(), []
    together = threading.Barrier(2, timeout=60)

    def withdraw() -> None:
        with storage.unit_of_work() as uow:
            together.wait()
            uow.runs.need(run.id, lock=True)
            try:
                uow.withdrawals.add(withdrawal(make, decision))
                uow.approvals.save(present.moved(ApprovalStatus.WAITING, now))
                uow.commit()
                outcomes.append("withdrawn")
            except Conflict:
                outcomes.append("too late to withdraw")

    def apply() -> None:
        with storage.unit_of_work() as uow:
            together.wait()
            uow.runs.need(run.id, lock=True)
            try:
                uow.approvals.save(present.moved(ApprovalStatus.CONSUMED, now))
                uow.runs.save(begun(run, now))
                uow.commit()
                outcomes.append("applies")
            except Conflict:
                outcomes.append("too late to apply")

    run_all([withdraw, apply])
    assert sorted(outcomes) in (
        ["applies", "too late to withdraw"], ["too late to apply", "withdrawn"],
    )  # fmt: skip
