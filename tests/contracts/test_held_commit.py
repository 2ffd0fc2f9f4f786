"""A commit that waits, and a process that dies before it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.ports import UnitOfWork
from control_plane.services.held_commit import HeldCommit
from control_plane.services.idempotency import STALE, Answer, key_digest, once
from control_plane.workflows.core import Core
from tests.contracts.rows import make_event
from tests.databases import Database
from tests.entities import Entities
from tests.storage import Storage
from tests.world import ADMIN, World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def held(storage: Storage) -> HeldCommit:
    return HeldCommit(storage.unit_of_work)


def tenants(storage: Storage) -> int:
    with storage.unit_of_work() as uow:
        return uow.tenants.count()


def add(uow: UnitOfWork, make: Entities) -> None:
    uow.tenants.add(make.tenant())
    uow.audit.record(make_event(make))
    uow.queue.enqueue("advance_run", f"run_{make.count}", partition="dep_1")


def commit_one(held: HeldCommit, make: Entities) -> None:
    with held() as uow:
        add(uow, make)
        uow.commit()


def test_a_commit_waits_and_takes_more_along(
    storage: Storage, held: HeldCommit, make: Entities
) -> None:
    commit_one(held, make)
    assert (tenants(storage), len(storage.events()), storage.enqueued()) == (0, 0, [])
    held.settle(lambda uow: uow.tenants.add(make.tenant()))
    assert (tenants(storage), len(storage.events()), len(storage.enqueued())) == (2, 1, 1)
    held.settle()
    assert tenants(storage) == 2


def test_with_nothing_held_what_is_added_is_committed_alone(
    storage: Storage, held: HeldCommit, make: Entities
) -> None:
    with held() as uow:
        add(uow, make)
    held.settle(lambda uow: uow.tenants.add(make.tenant()))
    assert (tenants(storage), len(storage.events())) == (1, 0)


def test_what_cannot_be_added_takes_the_rest_with_it(
    storage: Storage, held: HeldCommit, make: Entities
) -> None:
    def breaks(_: UnitOfWork) -> None:
        raise RuntimeError("not this")

    commit_one(held, make)
    with pytest.raises(RuntimeError, match="not this"):
        held.settle(breaks)
    held.settle()
    assert (tenants(storage), len(storage.events()), storage.enqueued()) == (0, 0, [])


def test_discarding_leaves_nothing(storage: Storage, held: HeldCommit, make: Entities) -> None:
    commit_one(held, make)
    held.discard()
    held.settle()
    held.discard()
    assert (tenants(storage), len(storage.events()), storage.enqueued()) == (0, 0, [])


def test_the_next_unit_of_work_lets_the_last_one_be_durable(
    storage: Storage, held: HeldCommit, make: Entities
) -> None:
    commit_one(held, make)
    with held() as uow:
        assert uow.tenants.count() == 1
        add(uow, make)
    held.discard()
    assert tenants(storage) == 1


def test_more_in_the_same_block_is_a_transaction_of_its_own(
    storage: Storage, held: HeldCommit, make: Entities
) -> None:
    def breaks() -> None:
        with held() as uow:
            add(uow, make)
            uow.commit()
            add(uow, make)
            raise RuntimeError("the process stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        breaks()
    held.discard()
    assert (tenants(storage), len(storage.events())) == (1, 1)


# --- a process that dies ------------------------------------------------------------------------
KEY = replace(ADMIN, idempotency_key_sha256=key_digest("key"))


def ask(core: Core, act: Callable[[Core], Answer]) -> Answer:
    return once(core, KEY, route="hubs", body={"cell": "c1"}, act=act)


def make_hub(core: Core) -> Answer:
    hub = Entities(ids=core.ids).hub()
    with core.uow() as uow:
        uow.hubs.add(hub)
        uow.commit()
    return Answer(status=202, body={"id": hub.id}, headers={})


def dies_after_its_effect(server_folder: Path, name: str, folder: Path) -> None:
    def act(core: Core) -> Answer:
        make_hub(core)
        os._exit(9)

    server = EmbeddedPostgres(server_folder, short_folder=server_folder.parent)  # never started
    ask(World(Storage(Database(server=server, name=name), folder)).core, act)


def test_who_dies_before_its_answer_is_kept_has_done_nothing(storage: Storage) -> None:
    database = storage.database
    child = multiprocessing.get_context("spawn").Process(
        target=dies_after_its_effect, args=(database.server.folder, database.name, storage.folder)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 9
    with storage.unit_of_work() as uow:  # the pool of the world that died
        for account in uow.accounts.find():
            uow.accounts.remove(account.id)
        uow.commit()
    world = World(storage)
    world.clock.advance(seconds=STALE.total_seconds() + 1)
    first = ask(world.core, make_hub)
    assert not first.replayed
    assert ask(world.core, make_hub) == replace(first, replayed=True)
    with storage.unit_of_work() as uow:
        assert [hub.id for hub in uow.hubs.find()] == [first.body["id"]]
