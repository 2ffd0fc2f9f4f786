"""The records of a stack in a folder, a bucket and a table: what is read of them, and when not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from stacks.contract import Code
from stacks.engine.backend import Backend
from stacks.engine.failures import CallFailed
from stacks.engine.sealing import Sealer
from stacks.engine.stores import FolderStore, TableStore, store_for
from tests.stacks.state_logs import (
    ENGINE,
    SEALER,
    SECRETS,
    Open,
    began,
    ids,
    made,
    pending,
    records,
    timeless,
    urn,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


# --- one after the other ---------------------------------------------------------------------
def test_a_stack_that_nobody_has_made_is_none(backend: Backend) -> None:
    assert backend.state() is None
    assert (backend.locks(), backend.history(), backend.newest) == ([], (None, None), 0)
    assert backend.break_lock("1", by="run_b.1") is False
    backend.trim()
    assert records(backend) == []


def test_what_is_recorded_is_the_state_also_for_others(open_stack: Open) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    update.record([SECRETS, began(1), began(2)])
    update.record([made(2)])
    assert timeless(other.state()) == timeless(update.state)
    assert ids(other.state()) == ["2"]
    assert pending(other.state()) == [urn("r1")]
    (lock,) = other.locks()
    assert (lock.id, lock.call_id, lock.pid) == ("1", "run_a.1", os.getpid())
    assert other.history() == (None, None)
    update.record([made(1)])
    update.close("succeeded")
    assert ids(other.state()) == ["1", "2"]  # in the order of the engine
    assert other.locks() == []
    assert records(other) == [(5, "close")]
    digest, call = other.history()
    assert (str(digest)[:7], call) == ("sha256:", "run_a.1")
    held = backend.take("run_b.1")
    assert other.history() == (digest, None)  # it may be another state at any time
    held.give_back()
    written(backend, "run_b.2", 3)
    assert ids(other.state()) == ["3", "1", "2"]
    assert other.history()[0] != digest


def test_a_stack_of_another_name_is_another(backend: Backend) -> None:
    written(backend, "run_a.1", 1)
    for name in (backend.stack[:-1], f"{backend.stack}b", "other"):
        other = replace(backend, stack=name)
        assert other.state() is None
        held = other.take("run_b.1")
        assert backend.locks() == []
        held.give_back()


def test_an_update_in_which_no_step_began_leaves_no_record(open_stack: Open) -> None:
    backend = open_stack()
    for entries in ([], [SECRETS]):
        update = backend.take("run_a.1")
        update.record(entries)
        assert len(backend.locks()) == 1
        update.give_back()
        update.give_back()
        assert records(backend) == []
    written(backend, "run_b.1", 1)
    before = records(backend)
    backend.take("run_c.1").give_back()
    assert records(backend) == before
    assert open_stack().history()[1] == "run_b.1"


def test_what_is_of_the_state_alone_waits_for_what_is_of_the_cloud(open_stack: Open) -> None:
    backend = open_stack()
    update = backend.take("run_a.1")
    stays = [{**began(1), "operation": None}, made(1)]
    update.record(stays)
    assert [kind for _, kind in records(backend)] == ["open"]
    update.record([began(2)])
    assert [kind for _, kind in records(backend)] == ["open", "entries"]
    assert (ids(backend.state()), pending(backend.state())) == (["1"], [urn("r2")])
    update.record([made(2)])
    update.record([{**began(3), "operation": None}, made(3)])
    assert ids(backend.state()) == ["1", "2"]
    update.close("succeeded")
    assert ids(backend.state()) == ["1", "2", "3"]


def test_an_update_that_ends_without_a_word_is_given_back_as_far_as_it_came(
    backend: Backend,
) -> None:
    update = backend.take("run_a.1")
    update.record([began(1), made(1), began(2)])
    update.give_back()
    record = backend.read(backend.newest)
    assert record is not None
    assert (record["record"], record["result"], record["call"]) == ("close", "broken", "run_a.1")
    assert (ids(backend.state()), pending(backend.state())) == (["1"], [urn("r2")])
    assert backend.locks() == []


def test_the_newest_states_are_kept_whatever_an_update_under_way_has_recorded(
    backend: Backend,
) -> None:
    for number in range(1, 5):
        written(backend, f"run_{number}.1", number)
    update = backend.take("run_a.1")
    for number in range(5, 12):
        update.record([began(number), made(number)])
    before = records(backend)
    backend.trim(keep=3)
    assert records(backend) == before[1:]
    backend.trim(keep=1)
    assert records(backend) == before[3:]
    assert ids(backend.state()) == ["5", "6", "7", "8", "9", "10", "11", "4", "3", "2", "1"]
    update.close("succeeded")
    assert [kind for _, kind in records(backend)] == ["close", "close"]


# --- what cannot be read ---------------------------------------------------------------------
def test_another_key_is_refused_wherever_something_may_be_sealed(open_stack: Open) -> None:
    backend = open_stack()
    other = replace(open_stack(), sealer=Sealer("another passphrase", "of logs"))

    def use(act: Callable[[], Any]) -> None:
        with pytest.raises(CallFailed) as failed:
            act()
        assert failed.value.code is Code.PASSPHRASE

    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    for _ in range(2):  # while there are entries alone, and afterwards
        for act in (other.state, other.locks, other.history, lambda: other.take("run_b.1")):
            use(act)
        use(lambda: other.break_lock("1", by="run_b.1"))
        update.close("succeeded")
    assert ids(backend.state()) == ["1"]


def unreadable(acts: Sequence[Callable[[], Any]]) -> None:
    for act in acts:
        with pytest.raises(CallFailed) as failed:
            act()
        assert failed.value.code is Code.BACKEND


def test_a_record_that_is_missing_is_told(backend: Backend) -> None:
    written(backend, "run_0.1", 1)
    last = backend.newest
    update = backend.take("run_a.1")
    update.record([began(2)])
    backend.delete([last])
    unreadable([backend.state, backend.locks, lambda: backend.take("run_b.1")])
    unreadable([lambda: backend.break_lock(str(last + 1), by="run_b.1"), backend.trim])


def test_entries_that_do_not_fit_are_told(backend: Backend) -> None:
    update = backend.take("run_a.1")
    update.record([began(1), {**made(1), "removeOld": 7}])
    unreadable([backend.state, lambda: update.state, lambda: update.close("succeeded")])
    assert len(backend.locks()) == 1  # for people: nothing may be made of it


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"record":"other"}', b'{"record":"close","call":"a"}'],
)
def test_a_damaged_record_is_told(backend: Backend, content: bytes) -> None:
    written(backend, "run_0.1", 1)
    number = backend.newest + 1
    assert backend.store.create(f"stacks/{backend.stack}/{number:012}.json", content)
    unreadable([backend.state, backend.locks, backend.history, lambda: backend.take("run_b.1")])


def test_a_file_that_is_no_record_is_told(backend: Backend) -> None:
    assert backend.store.create(f"stacks/{backend.stack}/notes.txt", b"{}")
    unreadable([backend.state, lambda: backend.take("run_a.1")])


# --- the stores ------------------------------------------------------------------------------
def test_a_file_is_made_once_and_never_changed(store_url: str) -> None:
    store, folder = store_for(store_url), f"stacks/{os.urandom(4).hex()}"
    assert store.create(f"{folder}/2", b"two")
    assert not store.create(f"{folder}/2", b"other")
    assert store.read(f"{folder}/2") == b"two"
    for number in range(3, 10):
        assert store.create(f"{folder}/{number}", b"")
    assert store.create(f"{folder}0/10", b"of another folder")
    assert store.names(folder) == [str(number) for number in range(2, 10)]
    assert store.newest(folder) == ("9", b"")
    store.delete([f"{folder}/{number}" for number in range(3, 12)])
    store.delete([])
    assert store.newest(folder) == ("2", b"two")
    assert store.read(f"{folder}/3") is None


def test_a_folder_has_records_alone(tmp_path: Path) -> None:
    backend = Backend(store=FolderStore(tmp_path), stack="s", engine=ENGINE, sealer=SEALER)
    written(backend, "run_a.1", 1)
    assert backend.add(2, {"record": "open"}) is True
    assert backend.add(2, {"record": "other"}) is False
    assert sorted(p.name for p in (tmp_path / "stacks" / "s").iterdir()) == [
        "000000000002.json", "000000000003.json",
    ]  # fmt: skip


def test_a_record_in_a_folder_and_the_way_to_it_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power loss would leave cannot be tried: these are the calls that it rests on."""
    synced: list[tuple[str, list[str]]] = []

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        is_folder = path.is_dir()
        synced.append((path.name, sorted(p.name for p in path.iterdir()) if is_folder else []))

    monkeypatch.setattr(os, "fsync", sync)
    store = FolderStore(tmp_path / "states")
    assert store.create("stacks/s/1", b"one")
    (draft, _), record = synced[-2:]
    assert draft.startswith(".1.")
    assert record == ("s", ["1"])
    assert synced[:-2] == [(tmp_path.name, ["states"]), ("states", ["stacks"]), ("stacks", ["s"])]
    synced.clear()
    assert store.create("stacks/s/2", b"two")
    assert [name for name, _ in synced[1:]] == ["s"]


def test_a_connection_that_was_closed_while_idle_is_renewed(
    table_url: str, postgres_server: EmbeddedPostgres
) -> None:
    store = store_for(table_url)
    assert isinstance(store, TableStore)
    backend = Backend(
        store=store, stack=f"idle-{os.urandom(3).hex()}", engine=ENGINE, sealer=SEALER
    )

    def close_all() -> None:
        with psycopg.connect(postgres_server.url(SUPERUSER, "postgres"), autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
            ).fetchall()
        assert ended

    update = backend.take("run_a.1")
    close_all()
    update.record([began(1), made(1)])
    close_all()
    assert ids(backend.state()) == ["1"]
    close_all()
    update.close("succeeded")
    assert (ids(backend.state()), backend.locks()) == (["1"], [])


# --- what was written without the key --------------------------------------------------------
def edited(backend: Backend, number: int, old: str, new: str, *, at: int | None = None) -> None:
    """Change the text of a record in its store, or make a changed one at another number."""
    paths = [f"stacks/{backend.stack}/{n:012}.json" for n in (number, at or number)]
    content = backend.store.read(paths[0])
    assert content is not None
    text = content.decode()
    if old not in text:  # it is sealed: a person writes it anew in the open
        found = json.loads(text)
        for name in {"state", "entries"} & found.keys():
            found[name] = backend.sealer.unwrap(found[name])
        text = json.dumps(found, separators=(",", ":"))
    assert old in text
    if at is None:
        backend.store.delete(paths[:1])
    assert backend.store.create(paths[1], text.replace(old, new).encode())


def test_a_state_that_somebody_edited_is_read_and_is_nobody_s(open_stack: Open) -> None:
    backend = open_stack()
    written(backend, "run_a.1", 1)
    before = backend.history()
    assert before[1] == "run_a.1"
    edited(backend, backend.newest, '"id":"1"', '"id":"7"')
    assert ids(backend.state()) == ["7"]
    digest, call = backend.history()
    assert call is None
    assert digest != before[0]
    written(backend, "run_b.1", 2)
    assert (ids(backend.state()), backend.history()[1]) == (["2", "7"], "run_b.1")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"call":"run_a.1"', '"call":"run_b.1"'),
        ('"result":"succeeded"', '"result":"failed"'),
        ('"mac":"', '"mac":"0'),
        ('"mac":"', '"max":"'),
        ('{"mac":"', '{ "mac":"'),
        ('"mac":"', '"mac":"","other":"'),
        ("}", "} "),
    ],
)
def test_a_record_that_is_not_as_it_was_written_is_nobody_s(
    backend: Backend, old: str, new: str
) -> None:
    written(backend, "run_a.1", 1)
    edited(backend, backend.newest, old, new)
    assert (ids(backend.state()), backend.history()[1]) == (["1"], None)


def test_an_old_state_that_is_put_on_top_is_nobody_s(backend: Backend) -> None:
    written(backend, "run_a.1", 1)
    first = backend.newest
    written(backend, "run_b.1", 2)
    edited(backend, first, "", "", at=backend.newest + 1)
    assert (ids(backend.state()), backend.history()[1]) == (["1"], None)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("entries", '"id":"1"', '"id":"7"'),
        ("open", '"pid":', '"pid":1'),
        ("open", "run_a", "run_b"),
    ],
)
def test_an_update_whose_records_were_edited_is_nobody_s(
    open_stack: Open, kind: str, old: str, new: str
) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    assert [lock.call_id for lock in other.locks()] == ["run_a.1"]
    (number,) = (n for n, found in records(backend) if found == kind)
    edited(backend, number, old, new)
    (lock,) = other.locks()
    assert lock.call_id is None
    left = other.state()
    assert other.break_lock(lock.id, by="run_b.1") is True
    assert timeless(other.state()) == timeless(left)
    assert (other.history()[1], other.locks()) == (None, [])
