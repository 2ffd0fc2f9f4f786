"""The unit of work in memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane.adapters.memory import MemoryStore, MemoryUnitOfWork
from tests.contracts.worlds import World, on_postgres
from tests.databases import Database
from tests.entities import Entities, Waiting, store_waiting


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
    yield from on_postgres(database)


@pytest.fixture
def make() -> Entities:
    return Entities()


@pytest.fixture
def waiting(world: World, make: Entities) -> Waiting:
    with world.uow() as uow:
        found = store_waiting(uow, make)
        uow.commit()
    return found
