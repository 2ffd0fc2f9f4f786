"""Implementations of the unit of work that the contract runs against."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, text

from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.domain.actor import system
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import Conflict
from control_plane.ports import RunQueue, UnitOfWork
from tests.databases import Database
from tests.entities import Entities

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


def on_postgres(database: Database) -> Iterator[World]:
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


def store(world: World, repository: str, *entities: Any) -> None:
    with world.uow() as uow:
        for entity in entities:
            getattr(uow, repository).add(entity)
        uow.commit()


def conflict_of(world: World, repository: str, *entities: Any) -> str:
    """Add entities in one transaction and return the constraint that refused the last."""
    *fine, refused = entities
    with world.uow() as uow:
        for entity in fine:
            getattr(uow, repository).add(entity)
        with pytest.raises(Conflict) as error:
            getattr(uow, repository).add(refused)
    return str(error.value.data["constraint"])


def make_event(make: Entities) -> AuditEvent:
    return AuditEvent(
        id=make.ids.new("event"),
        tree=PLATFORM,
        action="request.refused",
        stage=Stage.DENIED,
        time=make.clock.now(),
        actor=system("tests"),
        data={"code": "invalid_input"},
    )


def run_all(work: list[Callable[[], None]]) -> None:
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
