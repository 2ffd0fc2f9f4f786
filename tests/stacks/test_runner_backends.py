"""A stack in a folder, a bucket or a table: the same is known, broken and settled in each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from stacks.contract import Lock
from stacks.engine.backend import UPDATES_KEPT, Backend, backend_for
from stacks.engine.failures import CallFailed
from stacks.engine.locks import hold, known_locks
from stacks.engine.stores import TableStore, store_for
from tests.databases import new_database
from tests.stacks.cloud_process import REGION, CloudProcess
from tests.stacks.runner_calls import (
    Desk,
    begun,
    gone,
    kill_everything,
    processes_of,
    take_over,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

FOREIGN = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY = "aws:kms/key:Key"


@pytest.fixture(scope="module")
def states_bucket(runner_cloud: CloudProcess) -> str:
    """The URL of a folder of a bucket, with what the engine may be told of its place."""
    runner_cloud.client("s3").create_bucket(
        Bucket="states", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return (
        f"s3://states/of/tests?region={REGION}&endpoint={runner_cloud.endpoint}"
        "&s3ForcePathStyle=true"
    )


@pytest.fixture(scope="module")
def states_table(postgres_server: EmbeddedPostgres) -> str:
    """The URL of a database in which nothing is yet."""
    name = new_database(postgres_server)
    return postgres_server.url("tenantplane_owner", name).replace("postgresql://", "postgres://")


@pytest.fixture(params=["folder", "bucket", "table"])
def stored(
    request: pytest.FixtureRequest, make_desk: MakeDesk, states_bucket: str, states_table: str
) -> Desk:
    """A desk whose state lies in each kind of backend, under a stack name of its own."""
    url = {"folder": "", "bucket": states_bucket, "table": states_table}[request.param]
    desk = make_desk(stack=f"acme-{os.urandom(3).hex()}.production.a")
    return replace(desk, backend_url=url or f"file://{desk.backend}")


def backend_of(desk: Desk) -> Backend:
    return backend_for(desk.backend_url, desk.stack, endpoint=desk.endpoint)


def put_foreign_lock(desk: Desk) -> None:
    held = Lock(id=FOREIGN, host="elsewhere", pid=4242, user="joe", time="2026-11-20T08:00:00Z")
    backend_of(desk).put_lock(held)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the credentials that the runner has, for what a test reads beside it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def test_a_crash_is_cleaned_up_settled_and_the_stack_goes_on(stored: Desk) -> None:
    with stored.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        time.sleep(0.05)
        kill_everything(running.call_id)
        running.process.kill()
        assert gone(running.call_id, within_seconds=60)
    left = stored.result("inspect", marks=[running.mark])
    assert [(lock["call_id"], lock["alive"]) for lock in left["locks"]] == [
        (running.call_id, False)
    ]
    assert stored.failure("up")["code"] == "locked"
    take_over(stored, running)
    resolving = stored.call("resolve", call_id="run_r.1").last
    assert resolving["message"] == "result"
    after = stored.result("inspect")
    assert (after["locks"], after["pending"]) == ([], [])
    assert after["state_digest"] == resolving["state_digest"]
    assert after["written_by"] == "run_r.1"
    done = stored.call("up", call_id="run_u.1").last
    assert [c for c in done["look"]["checks"] if not c["ok"]] == []
    assert stored.result("inspect")["written_by"] == "run_u.1"
    assert {o["op"] for o in stored.plan()["operations"]} == {"same"}


def test_a_lock_of_another_host_is_told_and_stays(stored: Desk) -> None:
    stored.result("up", verify=False)
    put_foreign_lock(stored)
    (lock,) = stored.result("inspect", marks=[{"call_id": "run_1.1", "host": "h", "pids": [1]}])[
        "locks"
    ]
    assert (lock["id"], lock["call_id"], lock["alive"]) == (FOREIGN, None, None)
    assert (lock["host"], lock["pid"], lock["user"]) == ("elsewhere", 4242, "joe")
    refused = stored.failure("up")
    assert (refused["code"], refused["data"]["holders"][0]["host"]) == ("locked", "elsewhere")
    absent = "11111111-2222-3333-4444-555555555555"
    assert stored.result("clean_up", break_locks=[absent])["broken_locks"] == []
    assert stored.result("clean_up", break_locks=[FOREIGN])["broken_locks"] == [FOREIGN]
    assert stored.result("inspect")["locks"] == []


def test_the_lock_of_a_living_process_is_not_broken(stored: Desk) -> None:
    with stored.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        for process in processes_of(running.call_id):
            process.suspend()
        (lock,) = stored.result("inspect", marks=[running.mark])["locks"]
        refused = stored.failure("clean_up", break_locks=[lock["id"]])
        for process in processes_of(running.call_id):
            process.resume()
        last = running.finish().last
    assert (lock["call_id"], lock["alive"]) == (running.call_id, True)
    assert (refused["code"], refused["data"]["holders"][0]["id"]) == ("locked", lock["id"])
    assert last["message"] == "result", last


def test_a_lock_that_is_taken_keeps_others_out_and_goes_with_its_holder(stored: Desk) -> None:
    stored.result("up", verify=False)
    backend = backend_of(stored)
    with hold(backend):
        (lock,) = known_locks(backend, engine=str(stored.cli))
        assert (lock.pid, lock.host) == (os.getpid(), os.uname().nodename)
        assert stored.failure("up")["code"] == "locked"
        with pytest.raises(CallFailed, match="locked"), hold(backend):
            raise AssertionError("two hold the lock")
    assert backend.locks() == []


def test_a_state_that_is_written_is_signed_and_read_by_the_engine(stored: Desk) -> None:
    stored.result("up", verify=False)
    backend = backend_of(stored)
    state = backend.state()
    assert state is not None
    before = backend.history_digest()
    kept = [r for r in state["resources"] if r["type"] != "aws:ssm/parameter:Parameter"]
    with hold(backend):
        backend.write_state({**state, "resources": kept}, call_id="run_w.1")
    assert backend.written_by() == "run_w.1"
    assert backend.history_digest() != before
    assert {o["op"] for o in stored.plan()["operations"]} == {"same", "create"}


def test_a_stack_is_made_once_and_never_over_another(stored: Desk) -> None:
    stored.plan()  # the engine itself lays out a store that nobody has used
    backend = backend_of(stored)
    assert backend.is_laid_out
    other = replace(backend, stack=f"other-{os.urandom(3).hex()}.production.a")
    assert other.state() is None
    other.create()
    assert other.state() == {}
    stored.result("up", verify=False)
    before = stored.state_digest()
    backend.create()
    assert stored.state_digest() == before


def test_of_the_history_the_newest_updates_are_kept(stored: Desk) -> None:
    backend = backend_of(stored)
    folder = f".pulumi/history/tenantplane/{stored.stack}"
    for number in range(UPDATES_KEPT + 5):
        for kind in ("history.json", "checkpoint.json"):
            record = f"{folder}/{stored.stack}-{10**18 + number}.{kind}"
            backend.store.write(record, b"{}")
    stored.result("up", verify=False, call_id="run_h.1")
    names = backend.store.names(folder)
    updates = sorted(name for name in names if ".history." in name)
    assert len(updates) == UPDATES_KEPT
    assert updates[0] == f"{stored.stack}-{10**18 + 6}.history.json"
    assert len(names) == 2 * UPDATES_KEPT
    assert backend.written_by() == "run_h.1"
    assert backend.store.names(f".pulumi/backups/tenantplane/{stored.stack}") == []


def test_a_state_that_somebody_else_wrote_is_nobodys(stored: Desk) -> None:
    made = stored.call("up", call_id="run_x.1", verify=False).last
    before = stored.result("inspect")
    assert (before["written_by"], before["state_digest"]) == ("run_x.1", made["state_digest"])
    backend = backend_of(stored)
    path = f".pulumi/stacks/tenantplane/{stored.stack}.json"
    content = backend.store.read(path)
    assert content is not None
    backend.store.write(path, content.replace(b"tenants/", b"elsewhere/"))
    after = stored.result("inspect")
    assert after["written_by"] is None
    assert after["state_digest"] != before["state_digest"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://states?region=eu-west-1&bogus=1", "bogus"),
        ("s3://states?anonymous=true", "anonymous"),
        ("s3://", "no bucket"),
        ("postgres://joe@host", "must name the database"),
        ("postgres://joe:hunter2hunter2@host/states?bogus=1", "libpq"),
    ],
)
def test_a_backend_that_cannot_be_supported_is_refused_at_the_start(
    desk: Desk, url: str, said: str
) -> None:
    refused = desk.failure("inspect", backend_url=url)
    assert refused["code"] == "backend"
    assert said in refused["text"]
    assert "STATE_URL" in refused["text"]
    assert "hunter2" not in refused["text"]


@pytest.mark.parametrize(
    "url",
    [
        "postgres://joe:hunter2hunter2@127.0.0.1:1/states?sslmode=disable",
        "s3://no-such-bucket-here?region=eu-west-1",
        "file:///dev/null/state",
    ],
)
def test_a_backend_that_cannot_be_used_is_told_without_its_password(desk: Desk, url: str) -> None:
    refused = desk.failure("preview", backend_url=url)
    down = "127.0.0.1:1" in url
    assert refused["code"] == ("backend_unavailable" if down else "backend")
    assert "hunter2" not in str(refused)


GOES_DOWN = """#!/bin/sh
# a server that goes away between the runner's first look and the start of the command
case " $* " in *" {command} "*)
PULUMI_BACKEND_URL=$(echo "$PULUMI_BACKEND_URL" | sed 's/port=[0-9]*/port=1/')
export PULUMI_BACKEND_URL;; esac
exec "{cli}" "$@"
"""


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_table_that_goes_away_during_a_call_is_told_without_its_password(
    make_desk: MakeDesk, states_table: str, tmp_path: Path, command: str
) -> None:
    desk = make_desk(stack=f"acme-{os.urandom(3).hex()}.production.a")
    url = states_table.replace("@", ":hunter2hunter2@", 1)
    wrapped = tmp_path / "pulumi"
    wrapped.write_text(GOES_DOWN.format(cli=desk.cli, command=command))
    wrapped.chmod(0o755)
    outcome = desk.call(command, cli=str(wrapped), backend_url=url, verify=False)
    assert (outcome.last["code"], outcome.last["changed"]) == ("backend_unavailable", False)
    assert "unable to open state database" in outcome.last["text"]
    assert "hunter2" not in str(outcome)


@contextmanager
def shut(server: EmbeddedPostgres, url: str) -> Iterator[None]:
    """Shut the database of a URL meanwhile: its sessions end and new ones are refused."""
    name = urlsplit(url).path.lstrip("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(ended, [name])
        yield
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def test_an_engine_whose_backend_goes_away_during_an_apply_is_stopped(
    make_desk: MakeDesk, states_table: str, postgres_server: EmbeddedPostgres
) -> None:
    """Left alone it tries for half a minute to save each step, one after the other."""
    stack = f"acme-{os.urandom(3).hex()}.production.a"
    desk = replace(make_desk(stack=stack), backend_url=states_table)
    with desk.start("up", deadlines={"stop_seconds": 2}) as running:
        running.until(lambda m: begun(m, KEY))
        with shut(postgres_server, states_table):
            ended = running.finish()
    assert (ended.last["code"], ended.last["changed"]) == ("backend_unavailable", True)
    assert "not currently accepting connections" in ended.last["text"]
    told = [e for e in ended.events if e["kind"] == "diagnostic"]
    assert len([e for e in told if "failed to save snapshot" in e["body"]["text"]]) == 1

    take_over(desk, running)
    resolved = desk.result("resolve", call_id="run_r.1")
    assert resolved["outcome"]
    done = desk.result("up", call_id="run_u.1")
    assert [c for c in done["look"]["checks"] if not c["ok"]] == []


def test_a_table_without_encryption_is_used_only_when_it_is_asked_for() -> None:
    for url, mode in {"": "require", "?sslmode=disable": "disable"}.items():
        store = store_for(f"postgres://joe:hunter2@host/states{url}")
        assert isinstance(store, TableStore)
        assert f"sslmode={mode}" in store.conninfo
        assert "hunter2" not in repr(store)
    with pytest.raises(CallFailed):
        store_for("gs://states")
