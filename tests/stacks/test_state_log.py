"""The log of a stack in a folder, a bucket and a table: who may write, and what is read of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from stacks.contract import Code
from stacks.engine.backend import Backend, Update
from stacks.engine.failures import CallFailed
from stacks.engine.stores import FolderStore, Store, TableStore, store_for
from tests.databases import new_database
from tests.stacks.cloud_process import REGION, CloudProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENGINE = "v3.259.0"
MARK = "0123456789abcdef"


@pytest.fixture(scope="module")
def bucket_url(runner_cloud: CloudProcess) -> str:
    runner_cloud.client("s3").create_bucket(
        Bucket="logs-of-states", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    place = f"endpoint={runner_cloud.endpoint}&s3ForcePathStyle=true"
    return f"s3://logs-of-states/of/tests?region={REGION}&{place}"


@pytest.fixture(scope="module")
def table_url(postgres_server: EmbeddedPostgres) -> str:
    name = new_database(postgres_server)
    return postgres_server.url("tenantplane_owner", name).replace("postgresql://", "postgres://")


@pytest.fixture(params=["folder", "bucket", "table"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of each kind of store."""
    if request.param == "folder":
        return f"file://{tmp_path}/states"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return str(request.getfixturevalue(f"{request.param}_url"))


Open = Callable[[], Backend]


@pytest.fixture
def open_stack(url: str) -> Open:
    """Open the stack of a test once more, as another process would."""
    stack = f"acme-{os.urandom(3).hex()}.production.a"
    return lambda: Backend(store=store_for(url), stack=stack, engine=ENGINE, key_mark=MARK)


@pytest.fixture
def backend(open_stack: Open) -> Backend:
    return open_stack()


def nothing() -> None:
    """Do nothing."""


@dataclass
class Between:
    """A store that does something before or after one of its operations, once."""

    store: Store
    name: str
    before: Callable[[], Any]
    after: Callable[[], Any]
    times: Iterator[int] = field(default_factory=lambda: iter([1]))

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.store, name)

        def done(*arguments: Any) -> Any:
            is_now = name == self.name and next(self.times, None) is not None
            if is_now:
                self.before()
            answer = operation(*arguments)
            if is_now:
                self.after()
            return answer

        return done


def between(
    backend: Backend,
    name: str,
    *,
    before: Callable[[], Any] = nothing,
    after: Callable[[], Any] = nothing,
) -> Backend:
    return replace(backend, store=Between(backend.store, name, before, after))


def outage() -> None:
    raise CallFailed(Code.BACKEND_UNAVAILABLE, "The answer was lost.")


# --- what an engine would say ----------------------------------------------------------------
def urn(name: str) -> str:
    return f"urn:pulumi:s::tenantplane::aws:ssm/parameter:Parameter::{name}"


def began(number: int) -> dict[str, Any]:
    resource = {"urn": urn(f"r{number}"), "type": "aws:ssm/parameter:Parameter"}
    operation = {"type": "creating", "resource": resource}
    return {"kind": 0, "sequenceID": 2 * number, "operationID": number, "operation": operation}


def made(number: int) -> dict[str, Any]:
    state = {"urn": urn(f"r{number}"), "type": "aws:ssm/parameter:Parameter", "id": f"{number}"}
    return {"kind": 1, "sequenceID": 2 * number + 1, "operationID": number, "state": state}


SECRETS = {"kind": 6, "sequenceID": 0, "operationID": 0, "secretsProvider": {"type": "service"}}


def ids(state: Any) -> list[str]:
    """Return the ids of the resources of a state, in order."""
    return [r["id"] for r in state["resources"]]


def timeless(state: Any) -> dict[str, Any]:
    return {**state, "manifest": None}


def pending(state: Any) -> list[str]:
    return [p["resource"]["urn"] for p in state.get("pending_operations") or ()]


def records(backend: Backend) -> list[tuple[int, str]]:
    """Return number and kind of every record."""
    found = []
    for name in backend.store.names(f"stacks/{backend.stack}"):
        number = int(name.removesuffix(".json"))
        record = backend.read(number)
        assert record is not None
        found.append((number, str(record["record"])))
    return found


def written(backend: Backend, call_id: str, *numbers: int) -> None:
    """Make an update that makes resources."""
    update = backend.take(call_id)
    update.record([entry for n in numbers for entry in (began(n), made(n))])
    update.close("succeeded")


def refused(act: Callable[[], Any]) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        act()
    assert failed.value.code is Code.LOCKED
    return failed.value


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


# --- at the same time ------------------------------------------------------------------------
def test_of_those_who_take_a_stack_at_once_one_has_it(open_stack: Open) -> None:
    backends = [open_stack() for _ in range(4)]
    written(backends[0], "run_0.1", 1)
    for turn in range(5):
        start = threading.Barrier(len(backends))

        def take(
            backend: Backend, start: threading.Barrier = start, turn: int = turn
        ) -> Update | CallFailed:
            start.wait(30)
            try:
                return backend.take(f"run_{turn}.{id(backend)}")
            except CallFailed as failed:
                return failed

        with ThreadPoolExecutor(len(backends)) as pool:
            found = list(pool.map(take, backends))
        (update,) = (each for each in found if isinstance(each, Update))
        codes = [each.code for each in found if isinstance(each, CallFailed)]
        assert codes == [Code.LOCKED] * (len(backends) - 1)
        update.give_back()
    assert [kind for _, kind in records(backends[0])] == ["close"]


def test_who_reads_late_takes_what_others_left_meanwhile(open_stack: Open) -> None:
    """The records of an update are deleted with its end, so their numbers are free again."""
    other = open_stack()
    written(other, "run_0.1", 1)

    def come_and_go() -> None:
        written(other, "run_o.1", 2)

    late = between(open_stack(), "create", before=come_and_go)
    update = late.take("run_l.1")
    assert ids(update.state) == ["2", "1"]
    (lock,) = other.locks()
    assert lock.call_id == "run_l.1"
    update.record([began(3), made(3)])
    update.close("succeeded")
    assert ids(other.state()) == ["3", "2", "1"]
    assert [kind for _, kind in records(other)] == ["close"] * 3


def test_who_takes_late_does_not_take_from_a_holder(open_stack: Open) -> None:
    other, updates = open_stack(), list[Update]()

    def come_and_stay() -> None:
        written(other, "run_o.1", 1)
        updates.append(other.take("run_o.2"))

    late = between(open_stack(), "create", before=come_and_stay)
    assert "locked" in refused(lambda: late.take("run_l.1")).text
    (lock,) = other.locks()
    assert lock.call_id == "run_o.2"
    updates[0].record([began(2), made(2)])
    updates[0].close("succeeded")
    assert ids(other.state()) == ["2", "1"]


@pytest.mark.parametrize("operation", ["newest", "read"])
def test_a_state_that_is_read_as_its_update_ends_is_the_one_it_left(
    open_stack: Open, operation: str
) -> None:
    backend = open_stack()
    written(backend, "run_0.1", 1)
    update = backend.take("run_a.1")
    update.record([began(2), made(2)])
    update.record([began(3), made(3)])
    acts = {"newest": "after", "read": "before"}
    reader = between(
        open_stack(), operation, **{acts[operation]: lambda: update.close("succeeded")}
    )
    assert ids(reader.state()) == ["2", "3", "1"]
    assert reader.locks() == []


# --- who was written past --------------------------------------------------------------------
def test_a_broken_lock_leaves_exactly_what_was_recorded(open_stack: Open) -> None:
    backend, other = open_stack(), open_stack()
    written(backend, "run_0.1", 1)
    update = backend.take("run_a.1")
    update.record([SECRETS, began(2), began(3)])
    update.record([made(3)])
    (lock,) = other.locks()
    for wrong in ("0", "1", str(other.newest), f"0{lock.id}", "", "x"):
        assert wrong != lock.id
        assert other.break_lock(wrong, by="run_b.1") is False
    left = other.state()
    assert other.break_lock(lock.id, by="run_b.1") is True
    after = other.state()
    assert timeless(after) == timeless(left)
    assert (ids(after), pending(after)) == (["3", "1"], [urn("r2")])
    assert other.locks() == []
    record = other.read(other.newest)
    assert record is not None
    assert (record["result"], record["call"], record["by"]) == ("broken", "run_a.1", "run_b.1")
    assert other.history()[1] == "run_a.1"
    assert other.break_lock(lock.id, by="run_b.1") is False


@pytest.mark.parametrize("act", ["record", "close", "give_back"])
def test_who_was_written_past_can_write_no_more(open_stack: Open, act: str) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    update.record([began(1)])
    assert other.break_lock(other.locks()[0].id, by="run_b.1")
    written(other, "run_b.1", 2)
    before = records(other), other.state()
    acts: dict[str, Callable[[], Any]] = {
        "record": lambda: update.record([made(1)]),
        "close": lambda: update.close("succeeded"),
        "give_back": update.give_back,
    }
    assert "taken over" in refused(acts[act]).text
    assert not update.is_open
    update.give_back()  # has nothing to give back
    refused(lambda: update.record([made(1)]))
    assert (records(other), other.state()) == before


def test_who_was_written_past_before_its_first_step_takes_nothing_away(open_stack: Open) -> None:
    backend, other = open_stack(), open_stack()
    update = backend.take("run_a.1")
    assert other.break_lock(other.locks()[0].id, by="run_b.1")
    held = other.take("run_b.2")
    update.give_back()
    held.record([began(1), made(1)])
    held.close("succeeded")
    assert ids(other.state()) == ["1"]


# --- answers that are lost -------------------------------------------------------------------
def lossy(backend: Backend, update: Update, name: str = "create") -> None:
    """Have the next operation of an update done, and its answer lost."""
    update._backend = between(backend, name, after=outage)


def test_a_record_whose_answer_was_lost_is_recognised(open_stack: Open) -> None:
    backend = open_stack()
    update = backend.take("run_a.1")
    update.record([began(1)])
    lossy(backend, update)
    with pytest.raises(CallFailed, match="lost"):
        update.record([made(1), began(2)])
    assert update.is_open
    update.record([made(2)])
    update.record([began(3)])
    update.close("succeeded")
    assert (ids(backend.state()), pending(backend.state())) == (["1", "2"], [urn("r3")])
    assert records(backend) == [(6, "close")]


def test_what_could_not_be_written_is_written_with_the_next(backend: Backend) -> None:
    update = backend.take("run_a.1")
    update._backend = between(backend, "create", before=outage)
    with pytest.raises(CallFailed, match="lost"):
        update.record([began(1)])
    assert backend.state() is None
    update.record([made(1)])
    assert records(backend) == [(1, "open"), (2, "entries")]
    assert ids(backend.state()) == ["1"]


@pytest.mark.parametrize("then", ["close", "give_back"])
def test_an_end_whose_answer_was_lost_is_recognised(open_stack: Open, then: str) -> None:
    backend = open_stack()
    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    lossy(backend, update)
    with pytest.raises(CallFailed, match="lost"):
        update.close("succeeded")
    update.give_back() if then == "give_back" else update.close("failed")
    assert not update.is_open
    record = backend.read(backend.newest)
    assert record is not None
    assert record["result"] == "succeeded"
    assert records(backend) == [(3, "close")]


def test_an_end_is_one_also_when_what_it_makes_needless_cannot_be_deleted(
    backend: Backend,
) -> None:
    update = backend.take("run_a.1")
    update.record([began(1), made(1)])
    update._backend = between(backend, "delete", before=outage)
    update.close("succeeded")
    assert (ids(backend.state()), backend.locks()) == (["1"], [])
    written(backend, "run_b.1", 2)
    assert ids(backend.state()) == ["2", "1"]


def test_a_stack_that_was_taken_without_an_answer_is_held_by_the_call(open_stack: Open) -> None:
    backend = open_stack()
    written(backend, "run_0.1", 1)
    with pytest.raises(CallFailed, match="lost"):
        between(backend, "create", after=outage).take("run_a.1")
    (lock,) = backend.locks()
    assert lock.call_id == "run_a.1"
    refused(lambda: backend.take("run_b.1"))
    assert backend.break_lock(lock.id, by="run_b.1")
    assert ids(backend.state()) == ["1"]


def test_giving_back_again_takes_nothing_from_the_next_holder(open_stack: Open) -> None:
    """The number is free again with the first try, though its answer was lost."""
    backend = open_stack()
    update = backend.take("run_a.1")
    lossy(backend, update, "delete")
    with pytest.raises(CallFailed, match="lost"):
        update.give_back()
    held = open_stack().take("run_b.1")
    update.give_back()
    assert [lock.call_id for lock in backend.locks()] == ["run_b.1"]
    held.give_back()


# --- what cannot be read ---------------------------------------------------------------------
def test_another_key_is_refused_wherever_something_may_be_sealed(open_stack: Open) -> None:
    backend = open_stack()
    other = replace(open_stack(), key_mark="fedcba9876543210")

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
def test_a_file_is_made_once_and_never_changed(url: str) -> None:
    store, folder = store_for(url), f"stacks/{os.urandom(4).hex()}"
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
    backend = Backend(store=FolderStore(tmp_path), stack="s", engine=ENGINE, key_mark=MARK)
    written(backend, "run_a.1", 1)
    assert backend.add(2, {"record": "open"}) is True
    assert backend.add(2, {"record": "other"}) is False
    assert sorted(p.name for p in (tmp_path / "stacks" / "s").iterdir()) == [
        "000000000002.json", "000000000003.json",
    ]  # fmt: skip


def test_a_connection_that_was_closed_while_idle_is_renewed(
    table_url: str, postgres_server: EmbeddedPostgres
) -> None:
    store = store_for(table_url)
    assert isinstance(store, TableStore)
    backend = Backend(
        store=store, stack=f"idle-{os.urandom(3).hex()}", engine=ENGINE, key_mark=MARK
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
