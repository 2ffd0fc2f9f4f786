"""What every unit of work does, in memory and on PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, text

from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.memory import MemoryStore, MemoryUnitOfWork
from control_plane.domain.actor import system
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.deployment import PLATFORM, Account
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    AuditUnavailable,
    Conflict,
    InvalidInput,
    MachineMayNotDecide,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.ports import RunQueue, UnitOfWork
from tests.databases import Database
from tests.entities import ASKER, Entities, Waiting, store_waiting

pytestmark = pytest.mark.timeout(120)

QUEUE = "CREATE TABLE IF NOT EXISTS contract_queue (phase text, subject text, attempt int)"


@dataclass
class World:
    """An implementation, and what it made durable beside rows."""

    uow: Callable[[], UnitOfWork]
    recorded: Callable[[], int]
    enqueued: Callable[[], list[tuple[str, str, int]]]


class TableQueue:
    """A durable queue in a table of its own, on the connection of the unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enqueue(self, phase: str, subject_id: str, *, partition: str, attempt: int = 1) -> None:
        assert partition
        self._connection.execute(
            text("INSERT INTO contract_queue VALUES (:phase, :subject, :attempt)"),
            {"phase": phase, "subject": subject_id, "attempt": attempt},
        )


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        store = MemoryStore(lock_seconds=5.0)
        yield World(
            uow=lambda: MemoryUnitOfWork(store),
            recorded=lambda: len(store.audit),
            enqueued=lambda: [(e.phase, e.subject_id, e.attempt) for e in store.queue.entries],
        )
        return
    database: Database = request.getfixturevalue("database")
    yield from _on_postgres(database)


def _on_postgres(database: Database) -> Iterator[World]:
    admin = connect(database.admin, name="tests")
    with admin.begin() as connection:
        connection.execute(text(QUEUE))
        connection.execute(text("GRANT ALL ON contract_queue TO tenantplane_app"))
    engine = connect(database.app, name="tests")

    def rows(query: str) -> list[Any]:
        with admin.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def queue(connection: Connection) -> RunQueue:
        return TableQueue(connection)

    yield World(
        uow=lambda: SqlUnitOfWork(engine, queue=queue, audit=SqlAuditLog),
        recorded=lambda: rows("SELECT count(*) FROM audit_pending")[0][0],
        enqueued=lambda: rows("SELECT * FROM contract_queue"),
    )
    engine.dispose()
    admin.dispose()


@pytest.fixture
def make() -> Entities:
    return Entities()


@pytest.fixture
def waiting(world: World, make: Entities) -> Waiting:
    with world.uow() as uow:
        found = store_waiting(uow, make)
        uow.commit()
    return found


def store(world: World, repository: str, *entities: Any) -> None:
    with world.uow() as uow:
        for entity in entities:
            getattr(uow, repository).add(entity)
        uow.commit()


# --- transactions ----------------------------------------------------------------------------
def test_what_is_committed_is_seen_by_others(world: World, make: Entities) -> None:
    tenant = make.tenant()
    with world.uow() as uow, world.uow() as other:
        uow.tenants.add(tenant)
        assert uow.tenants.get(tenant.id) == tenant
        assert other.tenants.get(tenant.id) is None
        uow.commit()
        assert other.tenants.get(tenant.id) == tenant


def test_leaving_without_commit_leaves_nothing(world: World, make: Entities) -> None:
    with world.uow() as uow:
        uow.tenants.add(make.tenant())
        uow.audit.record(_event(make))
        uow.queue.enqueue("plan_run", "run_1", partition="dep_1")
    with world.uow() as uow:
        assert uow.tenants.find() == []
    assert world.recorded() == 0
    assert world.enqueued() == []


def test_an_error_in_the_block_leaves_nothing(world: World, make: Entities) -> None:
    def breaks() -> None:
        with world.uow() as uow:
            uow.tenants.add(make.tenant())
            raise RuntimeError("the process stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        breaks()
    with world.uow() as uow:
        assert uow.tenants.count() == 0


def test_rows_audit_and_queue_are_committed_together(world: World, make: Entities) -> None:
    with world.uow() as uow:
        uow.tenants.add(make.tenant())
        uow.audit.record(_event(make))
        uow.queue.enqueue("plan_run", "run_1", partition="dep_1", attempt=2)
        uow.commit()
    assert world.recorded() == 1
    assert world.enqueued() == [("plan_run", "run_1", 2)]


def test_a_next_transaction_may_follow_in_the_block(world: World, make: Entities) -> None:
    first, second = make.tenant(), make.tenant()
    with world.uow() as uow:
        uow.tenants.add(first)
        uow.commit()
        uow.tenants.add(second)
    with world.uow() as uow:
        assert uow.tenants.find() == [first]


def test_a_refused_row_lets_the_transaction_go_on(world: World, make: Entities) -> None:
    taken = make.tenant(slug="taken")
    store(world, "tenants", taken)
    with world.uow() as uow:
        with pytest.raises(Conflict):
            uow.tenants.add(make.tenant(slug="taken"))
        uow.tenants.add(make.tenant(slug="free"))
        uow.commit()
    with world.uow() as uow:
        assert sorted(found.slug for found in uow.tenants.find()) == ["free", "taken"]


# --- rows ------------------------------------------------------------------------------------
def test_every_kind_of_row_comes_back_as_it_was(world: World, make: Entities) -> None:
    tenant = make.tenant(waiting_on=WaitingOn.OPS, mode="B", hold=True)
    contract = make.contract(tenant)
    hub = make.hub(outputs={"vpc": "vpc-1", "subnets": ["a", "b"], "none": None})
    deployment = make.deployment(tenant, hub_id=hub.id, spec={"a": {"b": [True, 1]}})
    run = make.run(
        deployment, status=RunStatus.BLOCKED, blocked_on=BlockedOn.NO_ACCOUNT,
        blocked_from=RunStatus.REQUESTED, call_ids=("c.1",), checks=({"name": "x", "ok": True},),
        error={"code": "no_account", "data": {}}, started_at=make.clock.now(),
    )  # fmt: skip
    plan = make.plan(run)
    approval = make.approval(plan)
    bundle = make.bundle(deployment, checks=({"name": "fmt", "ok": False},), error=None)
    handover = make.handover(bundle)
    rows: dict[str, Any] = {
        "tenants": tenant, "contracts": contract, "requests": make.request(contract), "hubs": hub,
        "deployments": deployment, "accounts": make.account(claimed_by=deployment.id),
        "runs": run, "plans": plan, "approvals": approval, "barred": make.barred(approval),
        "decisions": make.decision(approval), "bundles": bundle, "handovers": handover,
        "links": make.link(handover), "receipts": make.receipt(bundle),
        "idempotency": make.idempotency(response_body={"a": [1]}, response_status=202),
    }  # fmt: skip
    with world.uow() as uow:
        for repository, row in rows.items():
            getattr(uow, repository).add(row)
        uow.commit()
    with world.uow() as uow:
        for repository, row in rows.items():
            assert getattr(uow, repository).get(row.id) == row


def test_rows_may_be_written_in_any_order(world: World, make: Entities) -> None:
    tenant = make.tenant()
    contract = make.contract(tenant)
    with world.uow() as uow:
        uow.requests.add(make.request(contract))
        uow.contracts.add(contract)
        uow.tenants.add(tenant)
        uow.commit()


def test_times_are_kept_in_utc_and_naive_ones_refused(world: World, make: Entities) -> None:
    rome = timezone(timedelta(hours=1))
    local = datetime(2026, 11, 20, 15, 3, 0, 123456, tzinfo=rome)
    tenant = make.tenant(created_at=local)
    store(world, "tenants", tenant)
    with world.uow() as uow:
        found = uow.tenants.get(tenant.id)
        assert found is not None
        assert found.created_at == local
        assert found.created_at.tzinfo is UTC
        with pytest.raises(ValueError, match="without a zone"):
            uow.tenants.add(make.tenant(created_at=datetime(2026, 11, 20)))  # noqa: DTZ001 - the point of the test


def test_text_that_cannot_be_stored_is_invalid_input(world: World, make: Entities) -> None:
    for changes in (
        {"legal_name": "Acme\0Srl"},
        {"legal_name": "Acme \ud800"},
        {"facts": {"name": "Acme\0Srl"}},
    ):
        with world.uow() as uow, pytest.raises(InvalidInput):
            uow.tenants.add(make.tenant(**changes))


def test_what_is_no_json_is_a_programming_error(world: World, make: Entities) -> None:
    with world.uow() as uow, pytest.raises(TypeError):
        uow.tenants.add(make.tenant(facts={"when": make.clock.now()}))
    with world.uow() as uow, pytest.raises(ValueError, match="JSON"):
        uow.tenants.add(make.tenant(facts={"share": float("nan")}))


def test_nothing_is_found_under_an_unknown_id(world: World) -> None:
    with world.uow() as uow:
        assert uow.tenants.get("ten_unknown") is None
        assert uow.tenants.get("ten_unknown", lock=True) is None


# --- saving ----------------------------------------------------------------------------------
def test_saving_takes_exactly_the_next_version(world: World, make: Entities) -> None:
    hub = make.hub()
    store(world, "hubs", hub)
    moved = hub.moved(HubStatus.PENDING, make.clock.now())
    with world.uow() as uow:
        uow.hubs.save(moved)
        uow.commit()
    for stale in (moved, hub, replace(moved, version=4)):
        with world.uow() as uow:
            with pytest.raises(Conflict) as refused:
                uow.hubs.save(stale)
            assert refused.value.data["constraint"] == "version"
    with world.uow() as uow:
        assert uow.hubs.get(hub.id) == moved


def test_saving_what_is_not_there_is_a_conflict(world: World, make: Entities) -> None:
    with world.uow() as uow:
        for repository, entity in (("hubs", make.hub(version=2)), ("accounts", make.account())):
            with pytest.raises(Conflict):
                getattr(uow, repository).save(entity)


def test_a_row_without_version_is_replaced(world: World, make: Entities) -> None:
    record = make.idempotency()
    store(world, "idempotency", record)
    answered = replace(record, response_status=202, response_body={"id": "req_1"})
    with world.uow() as uow:
        uow.idempotency.save(answered)
        uow.commit()
    with world.uow() as uow:
        assert uow.idempotency.get(record.id) == answered


def test_of_two_writers_of_one_version_one_wins(world: World, make: Entities) -> None:
    hub = make.hub()
    store(world, "hubs", hub)
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=20)

    def write(capacity: int) -> None:
        with world.uow() as uow:
            read = uow.hubs.get(hub.id)
            assert read is not None
            together.wait()
            try:
                uow.hubs.save(replace(read, capacity=capacity, version=read.version + 1))
                uow.commit()
                outcomes.append("saved")
            except Conflict:
                outcomes.append("conflict")

    _run_all([lambda: write(1), lambda: write(2)])
    assert sorted(outcomes) == ["conflict", "saved"]


def test_a_locked_row_waits_for_the_other_transaction(world: World, make: Entities) -> None:
    account = make.account()
    store(world, "accounts", account)
    locked = threading.Event()
    seen: list[Account | None] = []

    def first() -> None:
        with world.uow() as uow:
            found = uow.accounts.get(account.id, lock=True)
            assert found is not None
            locked.set()
            uow.accounts.save(replace(found, external_id="first"))
            uow.commit()

    def second() -> None:
        assert locked.wait(20)
        with world.uow() as uow:
            seen.append(uow.accounts.get(account.id, lock=True))

    _run_all([first, second])
    assert [found.external_id for found in seen if found] == ["first"]


def test_a_name_is_held_by_one_transaction_at_a_time(world: World) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with world.uow() as uow:
                uow.serialize_on("account-pool")
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                uow.commit()

    _run_all([work] * 4)
    assert most == [1] * 20


def test_other_names_do_not_wait(world: World) -> None:
    with world.uow() as uow, world.uow() as other:
        uow.serialize_on("a")
        other.serialize_on("b")


# --- looking ---------------------------------------------------------------------------------
def test_finding_counting_and_paging(world: World, make: Entities) -> None:
    hubs = [
        make.hub(region="eu-west-1"),
        make.hub(region="eu-central-1"),
        make.hub(region="eu-west-1", status=HubStatus.READY),
    ]
    store(world, "hubs", *reversed(hubs))
    with world.uow() as uow:
        assert uow.hubs.find() == hubs  # oldest id first, whatever the order of writing
        assert uow.hubs.find(region="eu-west-1") == [hubs[0], hubs[2]]
        assert uow.hubs.find(region="eu-west-1", status=HubStatus.READY) == [hubs[2]]
        assert uow.hubs.find(status="ready") == [hubs[2]]
        assert uow.hubs.find(status={HubStatus.READY, HubStatus.FAILED}) == [hubs[2]]
        assert uow.hubs.find(region=()) == []
        assert uow.hubs.count(region=("eu-west-1", "eu-central-1")) == 3
        assert uow.hubs.page(limit=2) == [hubs[2], hubs[1]]
        assert uow.hubs.page(limit=2, before=hubs[1].id) == [hubs[0]]
        assert uow.hubs.page(limit=5, region="eu-west-1") == [hubs[2], hubs[0]]


def test_none_means_is_null_alone_and_among_others(world: World, make: Entities) -> None:
    tenants = [make.tenant(mode=mode) for mode in (None, "A", "B")]
    store(world, "tenants", *tenants)
    with world.uow() as uow:
        assert uow.tenants.find(mode=None) == [tenants[0]]
        assert uow.tenants.find(mode=(None, "B")) == [tenants[0], tenants[2]]
        assert uow.tenants.count(waiting_on=None) == 3


def test_own_writes_are_found(world: World, make: Entities) -> None:
    tenant = make.tenant(slug="mine")
    store(world, "tenants", tenant)
    with world.uow() as uow:
        uow.tenants.save(tenant.moved(TenantStatus.PENDING, make.clock.now(), WaitingOn.OPS))
        assert uow.tenants.count(status=TenantStatus.PENDING) == 1
        assert uow.tenants.find(status=TenantStatus.REQUESTED) == []


def test_a_field_that_is_not_there_is_a_programming_error(world: World, make: Entities) -> None:
    store(world, "hubs", make.hub())
    with world.uow() as uow, pytest.raises((KeyError, AttributeError)):
        uow.hubs.find(colour="blue")


# --- progress lines --------------------------------------------------------------------------
def test_progress_lines_are_numbered_without_gaps(
    world: World, make: Entities, waiting: Waiting
) -> None:
    run = waiting.run
    with world.uow() as uow:
        assert uow.run_events.last_seq(run.id) == 0
        lines = [make.event(run, number) for number in (1, 2, 3)]
        for line in lines:
            uow.run_events.append(line)
        for number in (3, 5):
            with pytest.raises(Conflict) as refused:
                uow.run_events.append(make.event(run, number))
            assert refused.value.data["constraint"] == "pk_run_event"
        uow.commit()
    with world.uow() as uow:
        assert uow.run_events.last_seq(run.id) == 3
        assert uow.run_events.after(run.id, 0) == lines
        assert uow.run_events.after(run.id, 1, limit=1) == lines[1:2]
        assert uow.run_events.after("run_other", 0) == []


def test_two_writers_of_one_progress_line_are_told(
    world: World, make: Entities, waiting: Waiting
) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=20)

    def write(line: Any) -> None:
        with world.uow() as uow:
            together.wait()
            try:
                uow.run_events.append(line)
                uow.commit()
                outcomes.append("written")
            except Conflict:
                outcomes.append("conflict")

    lines = [make.event(waiting.run, 1, kind=kind) for kind in ("a", "b")]
    _run_all([lambda: write(lines[0]), lambda: write(lines[1])])
    assert sorted(outcomes) == ["conflict", "written"]


# --- unique facts ----------------------------------------------------------------------------
def _conflict_of(world: World, repository: str, *entities: Any) -> str:
    """Add entities in one transaction and return the constraint that refused the last."""
    *fine, refused = entities
    with world.uow() as uow:
        for entity in fine:
            getattr(uow, repository).add(entity)
        with pytest.raises(Conflict) as error:
            getattr(uow, repository).add(refused)
    return str(error.value.data["constraint"])


def test_unique_facts_are_refused_by_name(world: World, make: Entities, waiting: Waiting) -> None:
    tenant, deployment = waiting.tenant, waiting.deployment
    contracts = [make.contract(tenant, envelope_id="e", seats=n) for n in (1, 2)]
    assert _conflict_of(world, "contracts", *contracts) == "uq_contract_provider_envelope_id"
    slugs = [make.tenant(slug="one", status=TenantStatus.DEPROVISIONED), make.tenant(slug="one")]
    assert _conflict_of(world, "tenants", *slugs) == "uq_tenant_slug"
    assert _conflict_of(world, "tenants", tenant) == "pk_tenant"
    hubs = [make.hub(cell="c"), make.hub(cell="c")]
    assert _conflict_of(world, "hubs", *hubs) == "uq_hub_region_cell"
    stacks = [make.deployment(tenant, stack="s") for _ in range(2)]
    assert _conflict_of(world, "deployments", *stacks) == "uq_deployment_stack"
    accounts = [make.account(account_id="1" * 12) for _ in range(2)]
    assert _conflict_of(world, "accounts", *accounts) == "uq_account_account_id"
    claims = [make.account(claimed_by=deployment.id) for _ in range(2)]
    assert _conflict_of(world, "accounts", *claims) == "uq_account_claimed_by"
    assert _conflict_of(world, "approvals", make.approval(waiting.plan)) == "uq_approval_plan_id"
    again = replace(make.barred(waiting.approval), id="another")
    assert _conflict_of(world, "barred", again) == "uq_barred_approval_id_subject"
    twice = [make.decision(waiting.approval) for _ in range(2)]
    assert _conflict_of(world, "decisions", *twice) == "uq_decision_approval_id_actor_id"


def test_one_run_per_deployment_applies(world: World, make: Entities, waiting: Waiting) -> None:
    deployment = waiting.deployment
    applying = make.run(deployment, status=RunStatus.APPLYING)
    verifying = make.run(deployment, status=RunStatus.VERIFYING)
    constraint = _conflict_of(world, "runs", applying, verifying)
    assert constraint == "uq_run_one_applies_per_deployment"
    other = make.deployment(waiting.tenant)
    store(world, "deployments", other)
    store(world, "runs", applying, make.run(other, status=RunStatus.APPLYING))
    waits = make.run(deployment, status=RunStatus.APPROVED)
    store(world, "runs", waits)
    with world.uow() as uow:
        with pytest.raises(Conflict):
            uow.runs.save(waits.moved(RunStatus.APPLYING, make.clock.now()))
        done = applying.moved(RunStatus.VERIFYING, make.clock.now())
        uow.runs.save(done)
        uow.runs.save(done.moved(RunStatus.APPLIED, make.clock.now()))
        uow.runs.save(waits.moved(RunStatus.APPLYING, make.clock.now()))
        uow.commit()


def test_one_version_of_a_bundle_is_live(world: World, make: Entities, waiting: Waiting) -> None:
    first = make.bundle(waiting.deployment)
    store(world, "bundles", first)
    second = make.bundle(waiting.deployment, number=2)
    assert _conflict_of(world, "bundles", second) == "uq_bundle_one_is_live_per_deployment"
    with world.uow() as uow:
        uow.bundles.save(first.moved(BundleStatus.SUPERSEDED, make.clock.now()))
        assert uow.bundles.count(deployment_id=waiting.deployment.id) == 1
        uow.bundles.add(second)
        uow.commit()
    same = make.bundle(waiting.deployment, number=1, status=BundleStatus.EXPIRED)
    assert _conflict_of(world, "bundles", same) == "uq_bundle_deployment_id_number"


def test_one_receipt_per_bundle_and_one_link_per_token(
    world: World, make: Entities, waiting: Waiting
) -> None:
    bundle = make.bundle(waiting.deployment)
    handover = make.handover(bundle)
    store(world, "bundles", bundle)
    store(world, "handovers", handover)
    receipts = [make.receipt(bundle), make.receipt(bundle)]
    assert _conflict_of(world, "receipts", *receipts) == "uq_receipt_bundle_id"
    links = [make.link(handover, token_hash="h") for _ in range(2)]
    assert _conflict_of(world, "links", *links) == "uq_download_link_token_hash"


def test_of_two_tenants_that_take_one_slug_at_once_one_wins(world: World, make: Entities) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2, timeout=20)

    def take(tenant: Any) -> None:
        with world.uow() as uow:
            together.wait()
            try:
                uow.tenants.add(tenant)
                uow.commit()
                outcomes.append("taken")
            except Conflict as error:
                outcomes.append(str(error.data["constraint"]))

    tenants = [make.tenant(slug="wanted") for _ in range(2)]
    _run_all([lambda: take(tenants[0]), lambda: take(tenants[1])])
    assert sorted(outcomes) == ["taken", "uq_tenant_slug"]


def test_facts_that_do_not_go_together_are_refused(
    world: World, make: Entities, waiting: Waiting
) -> None:
    run = make.run(waiting.deployment, status=RunStatus.BLOCKED)
    assert _conflict_of(world, "runs", run) == "ck_run_blocked_names_what"
    run = make.run(waiting.deployment, blocked_on=BlockedOn.NO_ACCOUNT)
    assert _conflict_of(world, "runs", run) == "ck_run_blocked_names_what"
    account = make.account(shared=True, claimed_by=waiting.deployment.id)
    assert _conflict_of(world, "accounts", account) == "ck_account_shared_is_never_claimed"
    assert _conflict_of(world, "hubs", make.hub(capacity=-1)) == "ck_hub_capacity"
    assert _conflict_of(world, "tenants", make.tenant(mode="D")) == "ck_tenant_mode"


def test_a_reference_to_nothing_is_refused_at_commit(world: World, make: Entities) -> None:
    deployment = make.deployment(make.tenant())
    with world.uow() as uow:
        uow.deployments.add(deployment)
        with pytest.raises(Conflict) as refused:
            uow.commit()
    assert refused.value.data["constraint"] == "fk_deployment_tenant_id_tenant"
    with world.uow() as uow:
        assert uow.deployments.count() == 0


# --- decisions -------------------------------------------------------------------------------
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
    assert _conflict_of(world, "approvals", given) == "approval_starts_waiting"
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
    together = threading.Barrier(2, timeout=20)

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
    _run_all([lambda: decide(decisions[0]), lambda: decide(decisions[1])])
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


# --- the audit log ---------------------------------------------------------------------------
def test_one_event_is_recorded_once(world: World, make: Entities) -> None:
    event = _event(make)
    with world.uow() as uow:
        uow.audit.record(event)
        uow.commit()
    assert world.recorded() == 1


def test_what_cannot_be_recorded_is_not_done(make: Entities, database: Database) -> None:
    """Fail closed: the right to write is taken away, and the row of the same transaction goes."""
    admin = connect(database.admin, name="tests")
    engine = connect(database.app, name="tests")
    with admin.begin() as connection:
        connection.execute(text("REVOKE INSERT ON audit_pending FROM tenantplane_app"))
    try:
        with SqlUnitOfWork(engine, queue=TableQueue) as uow:
            uow.tenants.add(make.tenant())
            with pytest.raises(AuditUnavailable):
                uow.audit.record(_event(make))
        with SqlUnitOfWork(engine, queue=TableQueue) as uow:
            assert uow.tenants.count() == 0
    finally:
        with admin.begin() as connection:
            connection.execute(
                text("GRANT INSERT (event_id, tenant_id, body) ON audit_pending TO tenantplane_app")
            )
        engine.dispose()
        admin.dispose()


def test_the_audit_log_in_memory_can_fail_too(make: Entities) -> None:
    memory = MemoryStore()
    memory.audit_unavailable = True
    with MemoryUnitOfWork(memory) as uow, pytest.raises(AuditUnavailable):
        uow.audit.record(_event(make))


def _event(make: Entities) -> AuditEvent:
    return AuditEvent(
        id=make.ids.new("event"),
        tree=PLATFORM,
        action="request.refused",
        stage=Stage.DENIED,
        time=make.clock.now(),
        actor=system("tests"),
        data={"code": "invalid_input"},
    )


def _run_all(work: list[Callable[[], None]]) -> None:
    """Run functions in threads and raise the first error of any."""
    errors: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
