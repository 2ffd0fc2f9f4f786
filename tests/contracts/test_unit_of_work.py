"""What every unit of work does, in memory and on PostgreSQL alike."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from control_plane.domain.deployment import Account
from control_plane.domain.errors import Conflict, InvalidInput
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from tests.contracts.worlds import World, make_event, run_all, store
from tests.entities import Entities

pytestmark = pytest.mark.timeout(120)


# --- transactions ------------------------------------------------------------------------------
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
        uow.audit.record(make_event(make))
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
        uow.audit.record(make_event(make))
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


# --- rows --------------------------------------------------------------------------------------
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


# --- saving ------------------------------------------------------------------------------------
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
    together = threading.Barrier(2, timeout=60)

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

    run_all([lambda: write(1), lambda: write(2)])
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

    run_all([first, second])
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

    run_all([work] * 4)
    assert most == [1] * 20


def test_other_names_do_not_wait(world: World) -> None:
    with world.uow() as uow, world.uow() as other:
        uow.serialize_on("a")
        other.serialize_on("b")


# --- looking -----------------------------------------------------------------------------------
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
        assert uow.hubs.find(status="sideways") == []
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
