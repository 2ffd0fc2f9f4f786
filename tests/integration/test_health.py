"""Health and figures on PostgreSQL: what they cost, however often they are asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event

from api.figures import figures_of
from api.recent import Readiness
from control_plane.bootstrap import Parts
from control_plane.config import Settings
from control_plane.domain.run import RunStatus
from control_plane.services import queue
from control_plane.services.performing import perform
from tests.databases import Database
from tests.storage import Storage
from tests.unit.api.scene import Api
from tests.world import OPS, World


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """The parts of an API over the database."""
    return Parts(
        Settings(home=tmp_path, database_url=database.app, database_auditor_url=database.auditor)
    )


def _sessions(database: Database) -> int:
    with psycopg.connect(database.admin) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tenantplane%%'"
            " AND datname = %s",
            [database.name],
        ).fetchone()
    assert row is not None
    return int(row[0])


def _end_sessions(database: Database, name: str) -> int:
    """End the sessions of a name, and return how many there were once they are gone."""
    with psycopg.connect(database.admin, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name LIKE %s AND datname = %s",
            [name, database.name],
        ).fetchall()
    assert all(row[0] for row in ended)
    return len(ended)


def test_readiness_keeps_its_connections(parts: Parts, database: Database) -> None:
    for _ in range(30):
        assert Readiness(parts.checks)() == {"database": "ok", "audit_log": "ok"}
    assert _sessions(database) == 2
    _end_sessions(database, "tenantplane%")
    assert Readiness(parts.checks)() == {"database": "ok", "audit_log": "ok"}
    parts.health_engine.dispose()
    parts.auditor_engine.dispose()


def test_a_session_that_ends_while_it_is_asked_makes_nothing_unready(
    parts: Parts, database: Database
) -> None:
    """The connection was looked at before, and is gone when the question is sent."""
    ended: list[int] = []
    for engine, name in (
        (parts.health_engine, "tenantplane health"),
        (parts.auditor_engine, "tenantplane audit"),
    ):

        def end(*_: object, name: str = name) -> None:
            ended.append(_end_sessions(database, name))

        event.listen(engine, "before_cursor_execute", end, once=True)
    assert Readiness(parts.checks)() == {"database": "ok", "audit_log": "ok"}
    assert ended == [1, 1]
    parts.health_engine.dispose()
    parts.auditor_engine.dispose()


def test_a_missing_migration_is_not_ready(parts: Parts, database: Database) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        head = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert head is not None
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        try:
            assert "migrations are missing" in Readiness(parts.checks)()["database"]
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", head)
    parts.health_engine.dispose()
    parts.auditor_engine.dispose()


def test_a_paused_queue_is_ready_and_says_who_paused_it_since_when(storage: Storage) -> None:
    parts = Parts(Settings(home=storage.folder, database_url=storage.database.app))
    world = World(storage)
    asked = {"queue": parts.background["queue"]}
    assert Readiness(asked)() == {"queue": "ok"}
    perform(world.core, OPS, queue.pause_queue, reason="new disks")
    since = f"{world.clock.now():%Y-%m-%d %H:%M:%SZ}"
    said = f"the queue is paused since {since} by {OPS.actor.id}, so runs wait"
    api = Api(world, storage.folder)
    api.shared.background = Readiness(asked)
    answer = api.call("GET", "/readyz")
    assert answer.status_code == 200, answer.text  # requests are accepted meanwhile
    assert answer.json()["background"] == {"queue": said}
    perform(world.core, OPS, queue.resume_queue, reason="they are in")
    assert Readiness(asked)() == {"queue": "ok"}
    parts.app_engine.dispose()


def test_figures_are_one_query_per_table(parts: Parts, storage: Storage) -> None:
    asked: list[str] = []
    event.listen(
        parts.app_engine, "before_cursor_execute", lambda *given: asked.append(str(given[2]))
    )
    text = figures_of(replace(World(storage).core, uow=parts.unit_of_work))
    assert [line for line in text.splitlines() if not line.startswith("#")][:-1] == [
        f'tenantplane_runs{{status="{status}"}} 0' for status in RunStatus
    ]
    assert len([query for query in asked if " run" in query]) == 1
    parts.app_engine.dispose()
    parts.auditor_engine.dispose()
