"""The database of worlds: opened once for a module, emptied for each test, and read by tests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import select, text

from control_plane.adapters.db.audit_tables import audit_disclosure, audit_pending
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.mapping import MAPPED, RUN_EVENT
from control_plane.adapters.db.roles import APP
from control_plane.adapters.db.timers import SqlTimers
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.dbos.queue import DbosQueue
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.workflows.moving import watch
from tests.databases import (
    Database,
    drop_database,
    keep_rows,
    new_database,
    put_rows_back,
    remove_rows,
)

_TABLES: Final = {mapped.table.name: mapped for mapped in (*MAPPED, RUN_EVENT)}
_RIGHT_TO_RECORD: Final = "INSERT (event_id, tenant_id, body) ON audit_pending"
# the oldest of what waits; the place in the table orders one millisecond
_CLAIM: Final = """
    UPDATE dbos.workflow_status s SET status = 'PENDING'
    WHERE workflow_uuid = (
        SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'ENQUEUED'
        ORDER BY priority, created_at, ctid LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING workflow_uuid, name,
        (SELECT i.inputs FROM dbos.workflow_input i WHERE i.workflow_uuid = s.workflow_uuid)
"""
_END: Final = "UPDATE dbos.workflow_status SET status = :status WHERE workflow_uuid = :phase"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event of the audit log as it was written, with its personal values in clear."""

    tree: str
    action: str
    stage: str
    data: Mapping[str, Any]
    personal: Mapping[str, Any]
    request_id: str | None
    body: Mapping[str, Any]

    @property
    def targets(self) -> list[tuple[str, str]]:
        """What it is about: type and id of each."""
        return [(target["type"], target["id"]) for target in self.body["target"]]


class Storage:
    """A migrated database with the connections that worlds use, and a folder for their files."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder = folder
        self.database = database
        self._app = connect(database.app, name="tests", connections=4, overflow=28)
        self._admin = connect(database.admin, name="tests admin", connections=1, overflow=3)
        self._working = threading.Lock()
        self.unit_of_work = partial(SqlUnitOfWork, self._app, queue=DbosQueue)

    def close(self) -> None:
        """Close every connection."""
        self._app.dispose()
        self._admin.dispose()

    def empty(self) -> None:
        """Remove every row, of the queue too."""
        self._as_administrator(remove_rows)

    def keep(self) -> None:
        """Keep all rows aside, in the database."""
        self._as_administrator(keep_rows)

    def put_back(self) -> None:
        """Make the rows those that were kept."""
        self._as_administrator(put_rows_back)

    def _as_administrator(self, act: Callable[[psycopg.Connection[Any]], None]) -> None:
        with self._admin.begin() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            act(driver)

    # --- what is in it -----------------------------------------------------------------------
    def rows(self, table: str) -> dict[Any, Any]:
        """Return the entities of a table by their ids, oldest first."""
        mapped = _TABLES[table]
        query = select(mapped.table).order_by(*mapped.table.primary_key.columns)
        with self._admin.connect() as connection:
            return {row[0] if table != "run_event" else row[:2]: mapped.to_entity(row)
                    for row in connection.execute(query)}  # fmt: skip

    def everything(self) -> dict[str, dict[Any, Any]]:
        """Return the entities of every table."""
        return {name: self.rows(name) for name in _TABLES}

    def events(self) -> list[Recorded]:
        """Return what was recorded, in order."""
        with self._admin.connect() as connection:
            found = connection.execute(select(audit_pending).order_by(audit_pending.c.id)).all()
            disclosed = connection.execute(select(audit_disclosure)).all()
        personal: dict[Any, dict[str, Any]] = {}
        for row in disclosed:
            if row.value is not None:  # it was not erased
                personal.setdefault(row.event_id, {})[row.path] = json.loads(row.value)
        return [_recorded(json.loads(row.body), personal.get(row.event_id, {})) for row in found]

    def enqueued(self) -> list[tuple[str, str]]:
        """Return the id and the status of every phase that was ever enqueued, sorted."""
        query = text("SELECT workflow_uuid, status FROM dbos.workflow_status ORDER BY 1")
        with self._admin.connect() as connection:
            return [(str(name), str(status)) for name, status in connection.execute(query)]

    def wait_for_a_lock(self) -> None:
        """Wait until a session waits for another's transaction."""
        query = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with self._admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for _ in range(200):
                if connection.execute(query).scalar_one():
                    return
                time.sleep(0.05)  # until the other thread has sent its statement
        raise AssertionError("nobody waits")

    # --- what a worker does, and what befalls a database --------------------------------------
    def work(self, do: Callable[[str, str], object], *, now: Callable[[], datetime]) -> None:
        """Take each phase that waits and do it, until none waits; one caller at a time does.

        A phase that raises has left the queue; what follows it waits for the next call.
        """
        if not self._working.acquire(blocking=False):
            return
        try:
            while (claimed := self._claim(now())) is not None:
                phase, name, subject = claimed
                status = "ERROR"
                try:
                    do(name, subject)
                    status = "SUCCESS"
                finally:
                    with self._admin.begin() as connection:
                        connection.execute(text(_END), {"status": status, "phase": phase})
        finally:
            self._working.release()

    def _claim(self, now: datetime) -> tuple[str, str, str] | None:
        with self._admin.begin() as connection:
            row = connection.execute(text(_CLAIM)).one_or_none()
            if row is None:
                return None
            (subject,) = json.loads(row.inputs)["positionalArgs"]
            watch(SqlTimers(connection), row.name, subject, now)
        return str(row.workflow_uuid), str(row.name), str(subject)

    @contextmanager
    def without_log(self) -> Iterator[None]:
        """Take the application's right to record until the end of the context."""
        self._administer(f"REVOKE {_RIGHT_TO_RECORD} FROM {APP}")
        try:
            yield
        finally:
            self._administer(f"GRANT {_RIGHT_TO_RECORD} TO {APP}")

    def forget_salts(self) -> None:
        """Make every stack one that an earlier release wrote: none has a salt."""
        self._administer(
            "ALTER TABLE stack_salt DISABLE TRIGGER keep_salt; DELETE FROM stack_salt;"
            " ALTER TABLE stack_salt ENABLE TRIGGER keep_salt"
        )

    def set_aside(self, tree: str, *, ended: bool = True) -> None:
        """Let the signer have set a log aside, which may be in order again."""
        at = "now()" if ended else "NULL"
        self._administer(
            "INSERT INTO audit_quarantine (tree, why, ended_at)"  # noqa: S608 - of tests
            f" VALUES ('{tree}', 'row and entries differ', {at})"
        )

    def in_order(self, tree: str) -> None:
        """Let a log that was set aside be in order again."""
        self._administer(
            f"UPDATE audit_quarantine SET ended_at = now() WHERE tree = '{tree}'"  # noqa: S608
        )

    def unsettle(self) -> None:
        """Make every stack one on which an engine call has died."""
        self._administer("UPDATE deployment SET is_unsettled = true")

    def _administer(self, statement: str) -> None:
        with self._admin.begin() as connection:
            connection.execute(text(statement))


def _recorded(body: Mapping[str, Any], personal: Mapping[str, Any]) -> Recorded:
    return Recorded(
        tree=body["tenant"],
        action=body["action"],
        stage=body["stage"],
        data=body["data"],
        personal=personal,
        request_id=body.get("request_id"),
        body=body,
    )


@contextmanager
def opened(server: EmbeddedPostgres, template: str, folder: Path) -> Iterator[Storage]:
    """Open a storage over a new database; the database is dropped at the end."""
    database = Database(server=server, name=new_database(server, template=template))
    storage = Storage(database, folder)
    try:
        yield storage
    finally:
        storage.close()
        drop_database(server, database.name)
