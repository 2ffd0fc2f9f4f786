"""An upgrade of a database that revision 0001 filled: nothing is lost, and what waits goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer
from psycopg import sql

from control_plane.adapters.db import migrate, roles
from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.dbos.migrate import migrate as migrate_queue
from control_plane.adapters.dbos.queue import APPLICATION, APPLICATION_VERSION, QUEUE
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.calls import CallOutcome
from control_plane.domain.deployment import Desired
from control_plane.domain.run import RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.workflows import PHASES
from control_plane.workflows.owners import is_verified
from control_plane.workflows.timers import fire_due
from tests.databases import Database, drop_database, new_database
from tests.integration.before_0002 import EXPIRES, MADE, ROWS, fill
from tests.storage import Storage
from tests.world import World

pytestmark = pytest.mark.timeout(120)


WAITS = "ENQUEUED"


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026d}"


@pytest.fixture(scope="module")
def filled(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database that was filled by 0001 and upgraded, to copy."""
    name = new_database(postgres_server)
    database = Database(server=postgres_server, name=name)
    migrate.upgrade(database.owner, "0001")
    migrate_queue(database.owner, application_role=roles.APP)
    fill(database.owner)
    queue = DBOSClient(  # as releases before decision 22 did it
        system_database_url=driver_url(database.app), application_name=APPLICATION,
        serializer=DBOSPortableJSONSerializer(),
    )  # fmt: skip
    waiting = (("plan_run", 9, 9), ("apply_run", 3, 5), ("build_bundle", 4, 4))
    for phase, number, deployment in waiting:
        queue.enqueue(
            {
                "workflow_name": phase, "queue_name": QUEUE, "app_version": APPLICATION_VERSION,
                "workflow_id": f"{phase}:{number}:1",
                "queue_partition_key": _id("dep", deployment),
            },
            _id("run", number),
        )  # fmt: skip
    queue.destroy()
    migrate.upgrade(database.owner)
    yield name
    drop_database(postgres_server, name)


@pytest.fixture
def upgraded(postgres_server: EmbeddedPostgres, filled: str, tmp_path: Path) -> Iterator[Storage]:
    """A copy of that database."""
    database = Database(server=postgres_server, name=new_database(postgres_server, template=filled))
    storage = Storage(database, tmp_path)
    yield storage
    storage.close()
    drop_database(postgres_server, database.name)


def test_every_row_is_there_and_is_read(upgraded: Storage) -> None:
    for table, rows in ROWS.items():
        assert len(upgraded.rows(table)) == len(rows), table


@pytest.mark.parametrize("table", list(ROWS))
def test_every_column_that_is_left_holds_what_it_held(upgraded: Storage, table: str) -> None:
    """Read as the database writes it, so that no code of ours stands between."""
    moved = {"approval": {"status"}, "plan": {"operations"}}.get(table, set())
    with psycopg.connect(upgraded.database.admin) as admin:
        admin.execute("SET TIME ZONE 'UTC'")
        for row in ROWS[table]:
            condition = "run_id = %(run_id)s AND seq = %(seq)s" if "seq" in row else "id = %(id)s"
            query = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE ").format(sql.Identifier(table))
            ((found,),) = admin.execute(query + sql.SQL(condition), row).fetchall()
            for name in (row.keys() & found.keys()) - moved:
                value = row[name]
                if value in (MADE, EXPIRES):
                    value = str(value).replace("Z", "+00:00")
                assert found[name] == value, (row, name)


def test_specs_become_rows(upgraded: Storage) -> None:
    with upgraded.unit_of_work() as uow:
        for row in ROWS["deployment"]:
            found = uow.deployments.get(row["id"])
            assert found is not None
            specs = uow.specs.find(deployment_id=row["id"])
            if not row["spec"]:
                assert (found.spec_number, specs) == (0, [])
                continue
            assert found.spec_number == row["spec_version"]
            (spec,) = specs
            assert spec.id == f"{row['id']}.{row['spec_version']}"
            assert (spec.document, spec.number) == (row["spec"], row["spec_version"])
            assert spec.desired is Desired.PRESENT


def test_what_was_verified_stays_ready_unless_an_apply_came_after(upgraded: Storage) -> None:
    with upgraded.unit_of_work() as uow:
        found = {number: uow.deployments.get(_id("dep", number)) for number in range(1, 10)}
        ready = {n for n, each in found.items() if each is not None and is_verified(uow, each)}
        assert ready == {1, 8}
        applied = {n: each.applied_spec for n, each in found.items() if each and each.applied_spec}
        assert applied == {1: 1, 7: 1, 8: 1}  # of 8 the second spec waits for its decision
        unsettled = {n for n, each in found.items() if each is not None and each.is_unsettled}
        assert unsettled == {2, 5, 6, 7, 9}
        evidence = uow.evidence.get(found[1].evidence_id or "") if found[1] else None
        assert evidence is not None
        assert [(check.name, check.ok, check.detail) for check in evidence.checks] == [
            ("answers", True, "2")
        ]


def test_runs_keep_their_order_their_calls_and_who_asked(upgraded: Storage) -> None:
    with upgraded.unit_of_work() as uow:
        runs = {run.id: run for run in uow.runs.find()}
        numbers = [(run.deployment_id, run.number) for _, run in sorted(runs.items())]
        assert numbers[4:8] == [
            (_id("dep", 7), 1), (_id("dep", 7), 2), (_id("dep", 8), 1), (_id("dep", 8), 2)
        ]  # fmt: skip
        assert {run.requesters for run in runs.values()} == {("crm", "user:asks")}
        assert runs[_id("run", 1)].turn == 2
        calls = uow.queries.calls_of(_id("dep", 1), limit=9)
        assert [(call.id, call.number) for call in calls] == [
            (f"{_id('run', 1)}.2", 2), (f"{_id('run', 1)}.1", 1)
        ]  # fmt: skip
        assert {call.outcome for call in uow.calls.find()} == {CallOutcome.DIED}
        hub = uow.hubs.get(_id("hub", 1))
        assert hub is not None
        assert set(hub.requesters) == {"crm", "user:asks"}


def test_what_cannot_be_undone_is_still_said(upgraded: Storage) -> None:
    with upgraded.unit_of_work() as uow:
        for row in ROWS["plan"]:
            plan = uow.plans.get(row["id"])
            assert plan is not None
            wanted = [operation["urn"] for operation in row["irreversible"]]
            assert [operation.urn for operation in plan.irreversible] == wanted
            assert [operation.urn for operation in plan.operations] == ["urn:a", "urn:b"]
        heads = uow.queries.plan_heads([_id("pln", 2)])
        assert [each.urn for each in heads[_id("pln", 2)].irreversible] == ["urn:b"]


def test_what_waits_falls_due(upgraded: Storage) -> None:
    made, expires = (datetime.fromisoformat(time) for time in (MADE, EXPIRES))
    with upgraded.unit_of_work() as uow:
        far = datetime.now(UTC) + timedelta(days=3650)
        found = uow.timers.claim(expires - timedelta(seconds=1), until=far, limit=99)
        later = uow.timers.claim(far - timedelta(days=1), until=far, limit=99)
    assert {(timer.kind, timer.subject) for timer in found} - _RETENTION == {
        (TimerKind.RUN_WATCH, _id("run", 3)), (TimerKind.RUN_TURN, _id("run", 4)),
        (TimerKind.RUN_WATCH, _id("run", 9)), (TimerKind.BUNDLE_WATCH, _id("bnd", 4)),
    }  # fmt: skip
    assert {(timer.kind, timer.subject) for timer in later} - _RETENTION == {
        (TimerKind.APPROVAL_EXPIRY, _id("apr", 2)), (TimerKind.APPROVAL_EXPIRY, _id("apr", 8)),
        (TimerKind.BUNDLE_EXPIRY, _id("bnd", 3)),
        *((TimerKind.RUN_DETAILS, _id("run", ended)) for ended in (1, 5, 6, 7)),
        *((TimerKind.DRIFT_LOOK, _id("dep", applied)) for applied in (1, 7, 8)),
    }  # fmt: skip
    assert {(timer.kind, timer.subject) for timer in (*found, *later)} >= _RETENTION
    assert made < expires


_RETENTION = {
    *(
        (TimerKind.RETENTION, each)
        for each in (
            "idempotency",
            "queue",
            "deliveries",
            "messages",
            "events",
            "onboarding",
            "personal",
        )
    ),
    (TimerKind.INTAKE_LOOK, "sources"),
}


def test_no_phase_waits_that_nobody_does(upgraded: Storage) -> None:
    """It would hold its partition for ever, and with it every later phase of the deployment."""
    with psycopg.connect(upgraded.database.admin) as admin:
        waiting = admin.execute(
            "SELECT name FROM dbos.workflow_status"
            " WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
        ).fetchall()
    assert {name for (name,) in waiting} <= set(PHASES)
    assert ("build_bundle",) in waiting


def test_work_goes_on_and_what_is_over_ends(upgraded: Storage) -> None:
    with psycopg.connect(upgraded.database.admin) as admin:  # the world brings its own pool
        admin.execute("ALTER TABLE account DISABLE TRIGGER keep_account")
        admin.execute("DELETE FROM account")
        admin.execute("ALTER TABLE account ENABLE TRIGGER keep_account")
    world = World(upgraded)
    fire_due(world.core)
    enqueued = {name.rpartition(":")[0] for name, status in upgraded.enqueued() if status == WAITS}
    assert enqueued == {f"advance_run:{_id('run', n)}" for n in (3, 4, 9)} | {"build_bundle:4"}
    world.clock.advance(hours=72)
    fire_due(world.core)
    with upgraded.unit_of_work() as uow:
        run, approval = uow.runs.get(_id("run", 2)), uow.approvals.get(_id("apr", 2))
        assert run is not None
        assert approval is not None
        assert (run.status, approval.status) == (RunStatus.EXPIRED, ApprovalStatus.EXPIRED)


def test_the_rules_of_rows_are_in_force_again(upgraded: Storage) -> None:
    with psycopg.connect(upgraded.database.owner) as owner:
        off = owner.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgenabled <> 'O'"
        ).fetchall()
    assert off == []
