"""What a journey follows says for which of its steps it was made, and journeys begin in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from control_plane.domain.cause import Cause
from control_plane.domain.playbook import Playbook
from control_plane.domain.run import RunStatus
from control_plane.services import receipts, runs, tenants
from control_plane.services.performing import perform
from tests.entities import Entities
from tests.journeys import go_on, journey_of, sample, statuses, with_playbooks
from tests.scripted_faults import Fault
from tests.storage import Storage
from tests.workflows.desk import Desk
from tests.world import ARCHITECT, OPS, World

FOLLOWS = (
    "- {key: tenant, kind: action, title: The tenant, owner: automation,"
    " action: tenant.provision}\n"
)
BY_MODE = "- {key: talk, kind: task, title: Talk, owner: ops, when: {mode: [A, B]}}\n"


def for_modes(*modes: str) -> Playbook:
    return replace(sample(FOLLOWS), applies_to={"mode": modes})


def unsettled(world: World) -> str:
    """Let a contract for Mode A be signed by who wants a key that only Mode B has."""
    return world.submit("A", customer_managed_key=True).tenant.id


def said(world: World, action: str) -> list[Any]:
    return [each.data for each in world.events() if each.action == action]


@pytest.mark.requirement("J-002", "W-008")
def test_a_run_has_the_step_that_follows_it_as_its_cause(world: World) -> None:
    with_playbooks(world, sample(FOLLOWS))
    world.ready_hub()
    run = world.run(world.submit("A").run_id or "")
    journey = journey_of(world)
    assert run.cause == Cause(
        playbook="sample/1", digest=journey.playbook_digest, journey_id=journey.id, step="tenant"
    )
    assert said(world, "run.requested")[-1] == {
        "kind": "provision", "spec_version": 0, "cause": run.cause.key, "playbook": "sample/1",
    }  # fmt: skip


def test_a_retry_has_the_cause_of_the_run_before(world: World) -> None:
    with_playbooks(world, sample(FOLLOWS))
    world.ready_hub()
    world.engine.faults.append(Fault(kind="fails", after=1))
    failed = world.run(world.submit("A").run_id or "")
    go_on(world)
    assert world.run(failed.id).status is RunStatus.ERRORED
    again = perform(world.core, OPS, runs.retry_run, failed.id)
    assert (again.retry_of, again.cause) == (failed.id, failed.cause)


def test_without_a_playbook_or_a_step_that_follows_there_is_no_cause(world: World) -> None:
    world.ready_hub()
    first = world.submit("A", 1)
    assert world.run(first.run_id or "").cause is None
    with_playbooks(world, sample("- {key: talk, kind: task, title: Talk, owner: ops}\n"))
    second = world.submit("A", 2)
    assert world.run(second.run_id or "").cause is None
    assert "cause" not in said(world, "run.requested")[-1]


@pytest.mark.requirement("J-002")
def test_a_bundle_and_its_next_version_have_the_cause_until_it_is_applied(world: World) -> None:
    with_playbooks(world, sample(FOLLOWS))
    desk = Desk(world)
    bundle = desk.bundle()
    assert bundle.cause is not None
    assert bundle.cause.step == "tenant"
    assert said(world, "bundle.queued")[-1]["cause"] == bundle.cause.key
    desk.handed_over()
    assert said(world, "bundle.built")[-1]["playbook"] == "sample/1"
    assert desk.edit(uninstall=True).cause == bundle.cause
    desk.build()
    desk.hand_over()
    perform(desk.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, desk.receipt())
    assert desk.edit(uninstall=False).cause is None


# --- the mode is settled later -----------------------------------------------------------------
def settle(world: World, tenant_id: str) -> None:
    perform(
        world.core, ARCHITECT, tenants.decide_mode, tenant_id,
        changed_facts={"customer_managed_key": None}, reason="they need none",
    )  # fmt: skip


@pytest.mark.requirement("P-002")
def test_a_journey_that_asks_for_a_mode_begins_when_the_mode_is_settled(world: World) -> None:
    with_playbooks(world, for_modes("A"))
    world.ready_hub()
    tenant_id = unsettled(world)
    assert world.rows("journey") == {}
    settle(world, tenant_id)
    journey = journey_of(world)
    assert (journey.tenant_id, str(journey.status)) == (tenant_id, "open")
    assert cause_of_run(world, tenant_id).journey_id == journey.id
    go_on(world)
    assert statuses(world) == {"tenant": "done"}


def test_one_that_asks_for_another_mode_does_not_begin(world: World) -> None:
    with_playbooks(world, for_modes("B"))
    settle(world, unsettled(world))
    assert world.rows("journey") == {}


def test_one_that_asks_for_no_mode_began_before_and_begins_once(world: World) -> None:
    with_playbooks(world, sample(FOLLOWS))
    tenant_id = unsettled(world)
    began = journey_of(world)
    settle(world, tenant_id)
    assert journey_of(world).id == began.id
    assert cause_of_run(world, tenant_id).journey_id == began.id


def test_one_that_came_into_force_after_the_signature_does_not_begin(world: World) -> None:
    tenant_id = unsettled(world)
    with_playbooks(world, sample(FOLLOWS))
    settle(world, tenant_id)
    assert world.rows("journey") == {}


def test_a_step_that_asks_for_the_mode_waits_until_it_is_settled(world: World) -> None:
    with_playbooks(world, sample(FOLLOWS + BY_MODE))
    tenant_id = unsettled(world)
    go_on(world)
    assert statuses(world)["talk"] == "waiting"
    settle(world, tenant_id)
    go_on(world)
    assert statuses(world)["talk"] == "asked"


def cause_of_run(world: World, tenant_id: str) -> Cause:
    (run,) = (each for each in world.rows("run").values() if each.tenant_id == tenant_id)
    assert run.cause is not None
    return run.cause  # type: ignore[no-any-return]


# --- the database ------------------------------------------------------------------------------
CAUSE = {
    "playbook": "sample/1",
    "digest": "sha256:0",
    "journey": "jny_1",
    "step": "talk",
    "round": 1,
}


@pytest.fixture
def sql(storage: Storage) -> Iterator[psycopg.Connection[Any]]:
    """Two tenants with a run and a bundle each, one with a journey, and a connection."""
    make = Entities()
    with storage.unit_of_work() as uow:
        contract = make.contract(tenant := make.tenant(id="ten_1"))
        uow.add(tenant, contract, make.kept_playbook())
        uow.add(make.journey(tenant, id="jny_1", contract_ref=contract.id), make.step(tenant))
        for each in (tenant, make.tenant(id="ten_2")):
            deployment = make.deployment(each)
            uow.add(*([] if each is tenant else [each]), deployment)
            uow.add(make.run(deployment), make.bundle(deployment))
        uow.commit()
    with psycopg.connect(storage.database.app, autocommit=True) as connection:
        yield connection


def again(sql: psycopg.Connection[Any], table: str, tenant: str, cause: dict[str, Any]) -> None:
    """Insert a tenant's row again, as another of its kind that was made for a cause."""
    sql.execute(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object("  # noqa: S608 - our own words
        "'id', t.id || '2', 'number', t.number + 1, 'cause', %s::jsonb, 'status', %s::text))).* "
        f"FROM {table} t WHERE tenant_id = %s",
        (json.dumps(cause), "requested" if table == "run" else "superseded", tenant),
    )


@pytest.mark.parametrize("table", ["run", "bundle"])
@pytest.mark.parametrize(
    ("tenant", "changes"),
    [
        ("ten_2", {}),
        ("ten_1", {"journey": "jny_2"}),
        ("ten_1", {"step": "walk"}),
        ("ten_1", {"digest": "sha256:1"}),
        ("ten_1", {"playbook": "sample/2"}),
        ("ten_1", {"round": 2}),
    ],
)
def test_a_cause_is_a_step_of_a_journey_of_the_same_tenant(
    sql: psycopg.Connection[Any], table: str, tenant: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(psycopg.Error, match="a cause is a step"):
        again(sql, table, tenant, {**CAUSE, **changes})


@pytest.mark.parametrize("table", ["run", "bundle"])
def test_a_cause_does_not_change(sql: psycopg.Connection[Any], table: str) -> None:
    again(sql, table, "ten_1", CAUSE)
    sql.execute(f"UPDATE {table} SET version = version + 1")  # noqa: S608 - our own words
    for value in ("NULL", "cause || '{\"round\": 2}'"):
        with pytest.raises(psycopg.Error, match="does not change"):
            sql.execute(f"UPDATE {table} SET cause = {value}")  # noqa: S608 - our own words
