"""What a unit of work does."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from control_plane.adapters.db.engine import connect
from control_plane.domain.calls import CallOutcome
from control_plane.domain.deployment import Account, Desired
from control_plane.domain.engine import Operation, OutputChange, PlannedResource, PropertyChange
from control_plane.domain.errors import Conflict, InvalidInput
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.saga import SagaStatus, StepOutcome
from control_plane.domain.tenant import TenantStatus, WaitingOn
from tests.contracts.rows import make_event, run_all, store
from tests.entities import Entities, Waiting
from tests.statements import counted_statements
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


# --- transactions ------------------------------------------------------------------------------
def test_what_is_committed_is_seen_by_others(storage: Storage, make: Entities) -> None:
    tenant = make.tenant()
    with storage.unit_of_work() as uow, storage.unit_of_work() as other:
        uow.tenants.add(tenant)
        assert uow.tenants.get(tenant.id) == tenant
        assert other.tenants.get(tenant.id) is None
        uow.commit()
        assert other.tenants.get(tenant.id) == tenant


def test_leaving_without_commit_leaves_nothing(storage: Storage, make: Entities) -> None:
    with storage.unit_of_work() as uow:
        uow.tenants.add(make.tenant())
        uow.audit.record(make_event(make))
        uow.queue.enqueue("advance_run", "run_1", partition="dep_1", owner="ten_1")
    with storage.unit_of_work() as uow:
        assert uow.tenants.find() == []
    assert len(storage.events()) == 0
    assert storage.enqueued() == []


def test_an_error_in_the_block_leaves_nothing(storage: Storage, make: Entities) -> None:
    def breaks() -> None:
        with storage.unit_of_work() as uow:
            uow.tenants.add(make.tenant())
            raise RuntimeError("the process stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        breaks()
    with storage.unit_of_work() as uow:
        assert uow.tenants.count() == 0


def test_rows_audit_and_queue_are_committed_together(storage: Storage, make: Entities) -> None:
    with storage.unit_of_work() as uow:
        uow.tenants.add(make.tenant())
        uow.audit.record(make_event(make))
        uow.queue.enqueue("advance_run", "run_1", partition="dep_1", owner="ten_1", attempt=2)
        uow.commit()
    assert len(storage.events()) == 1
    assert storage.enqueued() == [("advance_run:run_1:2", "ENQUEUED")]


def test_a_next_transaction_may_follow_in_the_block(storage: Storage, make: Entities) -> None:
    first, second = make.tenant(), make.tenant()
    with storage.unit_of_work() as uow:
        uow.tenants.add(first)
        uow.commit()
        uow.tenants.add(second)
    with storage.unit_of_work() as uow:
        assert uow.tenants.find() == [first]


def test_rows_that_are_refused_together_let_the_transaction_continue(
    storage: Storage, make: Entities
) -> None:
    taken = make.tenant(slug="taken")
    store(storage, "tenants", taken)
    refused = [make.tenant(slug="free"), make.hub(), make.tenant(slug="taken")]
    with storage.unit_of_work() as uow:
        with pytest.raises(Conflict):
            uow.add(*refused)
        assert uow.tenants.get(refused[0].id) is None
        uow.add(make.tenant(slug="free"))
        uow.commit()
    with storage.unit_of_work() as uow:
        assert sorted(found.slug for found in uow.tenants.find()) == ["free", "taken"]
        assert uow.hubs.find() == []


def test_what_is_refused_at_the_beginning_is_followed_by_a_new_transaction(
    storage: Storage, make: Entities
) -> None:
    there, other = make.tenant(slug="taken"), make.tenant()
    store(storage, "tenants", there)
    with storage.unit_of_work() as uow:
        with pytest.raises(Conflict) as refused:
            uow.begin_with(other, make.tenant(slug="taken"))
        assert refused.value.data["constraint"] == "uq_tenant_slug"
        assert uow.tenants.find() == [there]
        uow.begin_with(other)
        uow.commit()
    with storage.unit_of_work() as uow:
        assert {tenant.id for tenant in uow.tenants.find()} == {there.id, other.id}


def test_nothing_is_committed_after_a_refused_row(storage: Storage, make: Entities) -> None:
    taken = make.tenant(slug="taken")
    store(storage, "tenants", taken)
    with storage.unit_of_work() as uow:
        uow.hubs.add(make.hub())
        with pytest.raises(Conflict):
            uow.tenants.add(make.tenant(slug="taken"))
        with pytest.raises(RuntimeError, match="refused"):
            uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.hubs.find() == []


def test_what_a_transaction_has_locked_or_written_it_does_not_read_again(
    storage: Storage, make: Entities
) -> None:
    hub, other = make.hub(), make.hub()
    store(storage, "hubs", hub, other)
    with storage.unit_of_work() as uow, counted_statements() as asked:
        assert uow.hubs.get(hub.id, lock=True) == hub
        moved = hub.shown(HubStatus.PENDING, make.clock.now())
        uow.hubs.save(moved)
        for lock in (False, True):
            assert uow.hubs.need(hub.id, lock=lock) == moved
        assert len(asked) == 2, asked
        for _ in range(2):
            assert uow.hubs.get(other.id) == other  # somebody else may change it meanwhile
        assert len(asked) == 4, asked
        uow.commit()
        assert uow.hubs.get(hub.id) == moved
        assert len(asked) == 5, asked
        uow.accounts.add(account := make.account())
        uow.accounts.remove(account.id)
        assert uow.accounts.get(account.id) is None


def test_a_connection_that_the_server_ended_is_replaced(storage: Storage) -> None:
    own = text("SELECT pg_backend_pid()")
    engine = connect(storage.database.app, name="tests", connections=1, overflow=0)
    try:
        with engine.connect() as connection:
            first = connection.execute(own).scalar_one()
        with engine.connect() as connection:
            assert connection.execute(own).scalar_one() == first
        with psycopg.connect(storage.database.admin, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 10000)", [first])
        with engine.connect() as connection:
            assert connection.execute(own).scalar_one() != first
    finally:
        engine.dispose()


# --- rows --------------------------------------------------------------------------------------
def test_every_kind_of_row_comes_back_as_it_was(storage: Storage, make: Entities) -> None:
    tenant = make.tenant(waiting_on=WaitingOn.OPS, mode="B", hold=True)
    saga = make.saga(
        tenant, is_undoing=True, data={"a": [1]}, waits_for="a day", due_at=make.clock.now(),
        error={"code": "on_hold"}, turn=3, status=SagaStatus.WAITING,
    )  # fmt: skip
    tenant = replace(tenant, saga_id=saga.id)
    contract = make.contract(tenant)
    hub = make.hub(outputs={"vpc": "vpc-1", "subnets": ["a", "b"], "none": None})
    hold = make.hold(tenant)
    deployment = make.deployment(
        tenant, hub_id=hub.id, spec_number=2, applied_spec=1, is_unsettled=True,
        state_digest="sha256:1", outputs={"a": [1]}, unprotected=("key.data",),
        removed_at=make.clock.now(),
    )  # fmt: skip
    run = make.run(
        deployment, status=RunStatus.BLOCKED, blocked_on=BlockedOn.NO_ACCOUNT,
        blocked_from=RunStatus.REQUESTED, requesters=("user:a", "user:b"), spec_number=2,
        error={"code": "no_account", "data": {}}, started_at=make.clock.now(),
        states_written=("sha256:1",), turn=3, deaths=2, failures=1, is_working=True,
    )  # fmt: skip
    plan = make.plan(run)
    approval = make.approval(plan, needed=2, roles=("ops_approver", "platform_admin"))
    bundle = make.bundle(deployment, checks=({"name": "fmt", "ok": False},), error=None)
    handover = make.handover(bundle)
    rows: dict[str, Any] = {
        "tenants": tenant, "contracts": contract, "requests": make.request(contract),
        "refusals": make.refusal(), "deliveries": make.delivery(body=b"\x00\xff"),
        "intake_findings": make.intake_finding(), "intake_looks": make.intake_look(),
        "assignments": make.assignment(tenant), "meetings": make.meeting(tenant),
        "hubs": hub, "holds": hold, "sagas": saga,
        "removal_decisions": make.removal_decision(saga),
        "certificates": make.certificate(saga, body={"a": [1, None]}),
        "import_reports": make.import_report(saga),
        "saga_steps": make.saga_step(
            saga, run_id=run.id, result={"a": None}, outcome=StepOutcome.FAILED,
            ended_at=make.clock.now(), error={"code": "a"}, is_undo=True,
        ),
        "deployments": deployment, "accounts": make.account(claimed_by=deployment.id),
        "specs": make.spec(deployment, 2, document={"a": {"b": [True, 1]}}, desired=Desired.ABSENT),
        "calls": make.call(run, outcome=CallOutcome.DIED, ended_at=make.clock.now()),
        "evidence": make.evidence(run, ok=False, state_digest=None),
        "findings": make.finding(run, expected=None, actual=[{"a": [1, None, False]}]),
        "runs": run, "plans": plan, "approvals": approval, "barred": make.barred(approval),
        "decisions": make.decision(approval), "bundles": bundle, "handovers": handover,
        "links": make.link(handover), "receipts": make.receipt(bundle),
        "idempotency": make.idempotency(response_body={"a": [1]}, response_status=202),
    }  # fmt: skip
    with storage.unit_of_work() as uow:
        for repository, row in rows.items():
            getattr(uow, repository).add(row)
        uow.commit()
    with storage.unit_of_work() as uow:
        for repository, row in rows.items():
            assert getattr(uow, repository).get(row.id) == row


def test_values_inside_a_plan_come_back_as_they_were(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    operation = Operation(
        urn="urn:a", type="aws:rds/instance:Instance", name="a", op="replace",
        diffs={"ports[0]": "update"},
        changes=(
            PropertyChange(path="ports", kind="update", before=[1], after={"a": [None, 1.5, "ü"]}),
            PropertyChange(path="password", kind="add-replace", before_known=False),
        ),
        options=("protect",), replaces=("engine",), protect=True, secrets=("password",),
        holds_data=True, irreversible=True,
    )  # fmt: skip
    resource = PlannedResource(
        urn="urn:a", type="aws:rds/instance:Instance", name="a", operation="replace",
        custom=False, inputs={"a": {"b": [1, None]}}, outputs={"c": True}, protect=True,
        parent="urn:p", provider="urn:q",
    )  # fmt: skip
    plan = make.plan(
        waiting.run, operations=(operation,), resources=(resource,),
        outputs=(OutputChange(name="url", kind="update", before=["a"], after=None),),
    )  # fmt: skip
    empty = make.plan(waiting.run, operations=(), resources=(), outputs=())
    store(storage, "plans", plan, empty)
    with storage.unit_of_work() as uow:
        assert uow.plans.get(plan.id) == plan
        assert uow.plans.get(empty.id) == empty
        assert uow.plans.find(run_id=waiting.run.id) == [waiting.plan, plan, empty]


def test_a_call_is_changed_until_it_is_over(
    storage: Storage, make: Entities, waiting: Waiting
) -> None:
    call = make.call(waiting.run)
    store(storage, "calls", call)
    later = call.until(make.clock.advance(hours=2))
    over = replace(later, version=2).ended(CallOutcome.ENDED, make.clock.now())
    with storage.unit_of_work() as uow:
        uow.calls.save(replace(later, version=2))
        uow.calls.save(over)
        uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.calls.get(call.id) == over


def test_rows_may_be_written_in_any_order(storage: Storage, make: Entities) -> None:
    tenant = make.tenant()
    contract = make.contract(tenant)
    with storage.unit_of_work() as uow:
        uow.requests.add(make.request(contract))
        uow.contracts.add(contract)
        uow.tenants.add(tenant)
        uow.commit()


def test_times_are_kept_in_utc_and_naive_ones_refused(storage: Storage, make: Entities) -> None:
    rome = timezone(timedelta(hours=1))
    local = datetime(2026, 11, 20, 15, 3, 0, 123456, tzinfo=rome)
    tenant = make.tenant(created_at=local)
    store(storage, "tenants", tenant)
    with storage.unit_of_work() as uow:
        found = uow.tenants.get(tenant.id)
        assert found is not None
        assert found.created_at == local
        assert found.created_at.tzinfo is UTC
        with pytest.raises(ValueError, match="without a zone"):
            uow.tenants.add(make.tenant(created_at=datetime(2026, 11, 20)))  # noqa: DTZ001 - the point of the test


def test_text_that_cannot_be_stored_is_invalid_input(storage: Storage, make: Entities) -> None:
    for changes in (
        {"legal_name": "Acme\0Srl"},
        {"legal_name": "Acme \ud800"},
        {"facts": {"name": "Acme\0Srl"}},
    ):
        with storage.unit_of_work() as uow, pytest.raises(InvalidInput):
            uow.tenants.add(make.tenant(**changes))


def test_what_is_no_json_is_a_programming_error(storage: Storage, make: Entities) -> None:
    with storage.unit_of_work() as uow, pytest.raises(TypeError):
        uow.tenants.add(make.tenant(facts={"when": make.clock.now()}))
    with storage.unit_of_work() as uow, pytest.raises(ValueError, match="JSON"):
        uow.tenants.add(make.tenant(facts={"share": float("nan")}))


def test_nothing_is_found_under_an_unknown_id(storage: Storage) -> None:
    with storage.unit_of_work() as uow:
        assert uow.tenants.get("ten_unknown") is None
        assert uow.tenants.get("ten_unknown", lock=True) is None


# --- saving ------------------------------------------------------------------------------------
def test_saving_takes_exactly_the_next_version(storage: Storage, make: Entities) -> None:
    hub = make.hub()
    store(storage, "hubs", hub)
    moved = hub.shown(HubStatus.PENDING, make.clock.now())
    with storage.unit_of_work() as uow:
        uow.hubs.save(moved)
        uow.commit()
    for stale in (moved, hub, replace(moved, version=4)):
        with storage.unit_of_work() as uow:
            with pytest.raises(Conflict) as refused:
                uow.hubs.save(stale)
            assert refused.value.data["constraint"] == "version"
    with storage.unit_of_work() as uow:
        assert uow.hubs.get(hub.id) == moved


def test_saving_what_is_not_there_is_a_conflict(storage: Storage, make: Entities) -> None:
    with storage.unit_of_work() as uow:
        for repository, entity in (("hubs", make.hub(version=2)), ("accounts", make.account())):
            with pytest.raises(Conflict):
                getattr(uow, repository).save(entity)


def test_a_row_without_version_is_replaced(storage: Storage, make: Entities) -> None:
    record = make.idempotency()
    store(storage, "idempotency", record)
    answered = replace(record, response_status=202, response_body={"id": "req_1"})
    with storage.unit_of_work() as uow:
        uow.idempotency.save(answered)
        uow.commit()
    with storage.unit_of_work() as uow:
        assert uow.idempotency.get(record.id) == answered


def test_of_two_writers_of_one_version_one_wins(storage: Storage, make: Entities) -> None:
    hub = make.hub()
    store(storage, "hubs", hub)
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=60)

    def write(capacity: int) -> None:
        with storage.unit_of_work() as uow:
            read = uow.hubs.get(hub.id)
            assert read is not None
            together.wait()
            try:
                uow.hubs.save(replace(read, capacity=capacity, version=read.version + 1))
                uow.commit()
                outcomes.append("saved")
            except Conflict:
                outcomes.append("conflict")

    run_all([lambda: write(1), lambda: write(2)])
    assert sorted(outcomes) == ["conflict", "saved"]


def test_a_locked_row_waits_for_the_other_transaction(storage: Storage, make: Entities) -> None:
    account = make.account()
    store(storage, "accounts", account)
    locked = threading.Event()
    seen: list[Account | None] = []

    def first() -> None:
        with storage.unit_of_work() as uow:
            found = uow.accounts.get(account.id, lock=True)
            assert found is not None
            locked.set()
            uow.accounts.save(replace(found, external_id="first"))
            uow.commit()

    def second() -> None:
        assert locked.wait(20)
        with storage.unit_of_work() as uow:
            seen.append(uow.accounts.get(account.id, lock=True))

    run_all([first, second])
    assert [found.external_id for found in seen if found] == ["first"]


def test_a_name_is_held_by_one_transaction_at_a_time(storage: Storage) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with storage.unit_of_work() as uow:
                uow.serialize_on("account-pool")
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                uow.commit()

    run_all([work] * 4)
    assert most == [1] * 20


def test_other_names_do_not_wait(storage: Storage) -> None:
    with storage.unit_of_work() as uow, storage.unit_of_work() as other:
        uow.serialize_on("a")
        other.serialize_on("b")


# --- looking -----------------------------------------------------------------------------------
def test_finding_counting_and_paging(storage: Storage, make: Entities) -> None:
    hubs = [
        make.hub(region="eu-west-1"),
        make.hub(region="eu-central-1"),
        make.hub(region="eu-west-1", status=HubStatus.READY),
    ]
    store(storage, "hubs", *reversed(hubs))
    with storage.unit_of_work() as uow:
        assert uow.hubs.find() == hubs  # oldest id first, whatever the order of writing
        assert uow.hubs.find(region="eu-west-1") == [hubs[0], hubs[2]]
        assert uow.hubs.find(region="eu-west-1", status=HubStatus.READY) == [hubs[2]]
        assert uow.hubs.find(status="ready") == [hubs[2]]
        assert uow.hubs.find(status={HubStatus.READY, HubStatus.FAILED}) == [hubs[2]]
        assert uow.hubs.find(status="sideways") == []
        assert uow.hubs.find(region=()) == []
        assert uow.hubs.count(region=("eu-west-1", "eu-central-1")) == 3
        assert uow.hubs.counts("region") == {"eu-west-1": 2, "eu-central-1": 1}
        assert uow.hubs.counts("status")["ready"] == 1
        assert uow.runs.counts("status") == {}
        assert uow.hubs.page(limit=2) == [hubs[2], hubs[1]]
        assert uow.hubs.page(limit=2, before=hubs[1].id) == [hubs[0]]
        assert uow.hubs.page(limit=5, region="eu-west-1") == [hubs[2], hubs[0]]


def test_none_means_is_null_alone_and_among_others(storage: Storage, make: Entities) -> None:
    tenants = [make.tenant(mode=mode) for mode in (None, "A", "B")]
    store(storage, "tenants", *tenants)
    with storage.unit_of_work() as uow:
        assert uow.tenants.find(mode=None) == [tenants[0]]
        assert uow.tenants.find(mode=(None, "B")) == [tenants[0], tenants[2]]
        assert uow.tenants.count(waiting_on=None) == 3


def test_own_writes_are_found(storage: Storage, make: Entities) -> None:
    tenant = make.tenant(slug="mine")
    store(storage, "tenants", tenant)
    with storage.unit_of_work() as uow:
        uow.tenants.save(tenant.shown(TenantStatus.PENDING, WaitingOn.OPS, make.clock.now()))
        assert uow.tenants.count(status=TenantStatus.PENDING) == 1
        assert uow.tenants.find(status=TenantStatus.REQUESTED) == []


def test_a_field_that_is_not_there_is_a_programming_error(storage: Storage, make: Entities) -> None:
    store(storage, "hubs", make.hub())
    with storage.unit_of_work() as uow, pytest.raises((KeyError, AttributeError)):
        uow.hubs.find(colour="blue")
