"""A stack in a folder, a bucket or a table: the same is known, broken and settled in each."""

from __future__ import annotations

import json
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
from stacks.engine.backend import UPDATES_KEPT
from stacks.engine.failures import CallFailed
from stacks.engine.locks import known_locks
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
    left = stored.result("inspect")
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
    foreign = stored.hold_lock()
    (lock,) = stored.result("inspect")["locks"]
    assert (lock["id"], lock["call_id"], lock["alive"]) == (foreign, None, None)
    assert (lock["host"], lock["pid"], lock["user"]) == ("elsewhere", 4242, "joe")
    refused = stored.failure("up")
    assert (refused["code"], refused["data"]["holders"][0]["host"]) == ("locked", "elsewhere")
    for absent in ("4711", str(int(foreign) - 1)):
        assert stored.result("clean_up", break_locks=[absent])["broken_locks"] == []
    assert stored.result("clean_up", break_locks=[foreign])["broken_locks"] == [foreign]
    assert stored.result("inspect")["locks"] == []
    assert {o["op"] for o in stored.plan()["operations"]} == {"same"}


def test_the_lock_of_a_living_process_is_not_broken(stored: Desk) -> None:
    with stored.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        for process in processes_of(running.call_id):
            process.suspend()
        (lock,) = stored.result("inspect")["locks"]
        refused = stored.failure("clean_up", break_locks=[lock["id"]])
        for process in processes_of(running.call_id):
            process.resume()
        last = running.finish().last
    assert (lock["call_id"], lock["alive"]) == (running.call_id, True)
    assert (refused["code"], refused["data"]["holders"][0]["id"]) == ("locked", lock["id"])
    assert last["message"] == "result", last


def test_a_lock_that_is_taken_keeps_others_out_and_goes_with_its_holder(stored: Desk) -> None:
    stored.result("up", verify=False)
    update = stored.stored.take("somebody.1")
    (lock,) = known_locks(stored.stored, engine=str(stored.cli))
    assert (lock.pid, lock.host, lock.call_id) == (os.getpid(), os.uname().nodename, "somebody.1")
    assert stored.failure("up")["code"] == "locked"
    with pytest.raises(CallFailed, match="locked"):
        stored.stored.take("somebody.2")
    update.give_back()
    assert stored.locks() == []
    assert stored.result("up", verify=False)["changed"] is False


def test_a_state_that_is_written_is_signed_and_read_by_the_engine(stored: Desk) -> None:
    stored.result("up", verify=False)
    state, before = stored.state(), stored.stored.history()
    kept = [r for r in state["resources"] if r["type"] != "aws:ssm/parameter:Parameter"]
    stored.write_state({**state, "resources": kept}, call_id="run_w.1")
    digest, written_by = stored.stored.history()
    assert written_by == "run_w.1"
    assert digest != before[0]
    assert {o["op"] for o in stored.plan()["operations"]} == {"same", "create"}


def test_of_the_history_the_newest_updates_are_kept(stored: Desk) -> None:
    for number in range(UPDATES_KEPT + 5):
        stored.write_state({}, call_id=f"run_{number}.1")
    stored.result("up", verify=False, call_id="run_h.1")
    backend, folder = stored.stored, f"stacks/{stored.stack}"
    found = [backend.read(int(name.split(".")[0])) for name in backend.store.names(folder)]
    calls = [f"run_{number}.1" for number in range(6, UPDATES_KEPT + 5)]
    assert [each["call"] for each in found if each] == [*calls, "run_h.1"]
    assert {each["record"] for each in found if each} == {"close"}
    assert backend.history()[1] == "run_h.1"


def test_a_state_that_somebody_else_wrote_is_theirs(stored: Desk) -> None:
    made = stored.call("up", call_id="run_x.1", verify=False).last
    before = stored.result("inspect")
    assert (before["written_by"], before["state_digest"]) == ("run_x.1", made["state_digest"])
    text = json.dumps(stored.state()).replace("tenants/", "elsewhere/")
    stored.write_state(json.loads(text), call_id="somebody.1")
    after = stored.result("inspect")
    assert after["written_by"] == "somebody.1"
    assert after["state_digest"] != before["state_digest"]
    assert after["history_digest"] != before["history_digest"]


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


WAITS = """#!/bin/sh
# held between the runner's first look and the start of the command
touch "{started}"
while ! test -e "{go}"; do sleep 0.05; done
exec "{cli}" "$@"
"""


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_table_that_goes_away_during_a_call_is_told_without_its_password(
    make_desk: MakeDesk,
    states_table: str,
    postgres_server: EmbeddedPostgres,
    tmp_path: Path,
    command: str,
) -> None:
    desk = make_desk(stack=f"acme-{os.urandom(3).hex()}.production.a")
    url = states_table.replace("@", ":hunter2hunter2@", 1)
    wrapped, started, go = (tmp_path / name for name in ("pulumi", "started", "go"))
    wrapped.write_text(WAITS.format(cli=desk.cli, started=started, go=go))
    wrapped.chmod(0o755)
    with desk.start(command, cli=str(wrapped), backend_url=url, verify=False) as running:
        while not started.exists():
            time.sleep(0.05)
        with shut(postgres_server, states_table):
            go.touch()
            outcome = running.finish()
    assert (outcome.last["code"], outcome.last["changed"]) == ("backend_unavailable", False)
    assert "state backend is not available" in outcome.last["text"]
    assert "hunter2" not in str(outcome)


@contextmanager
def shut(server: EmbeddedPostgres, url: str) -> Iterator[None]:
    """Shut the database of a URL meanwhile: its sessions end and new ones are refused."""
    name = urlsplit(url).path.lstrip("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(ended, [name])
        yield
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def test_an_engine_whose_backend_goes_away_during_an_apply_is_stopped(
    make_desk: MakeDesk, states_table: str, postgres_server: EmbeddedPostgres
) -> None:
    stack = f"acme-{os.urandom(3).hex()}.production.a"
    desk = replace(make_desk(stack=stack), backend_url=states_table)
    with desk.start("up", deadlines={"stop_seconds": 2}) as running:
        running.until(lambda m: begun(m, KEY))
        with shut(postgres_server, states_table):
            ended = running.finish()
    assert (ended.last["code"], ended.last["changed"]) == ("backend_unavailable", True)
    assert "state backend is not available" in ended.last["text"]
    told = [e["body"] for e in ended.events if e["kind"] == "resource"]
    done = {b["urn"] for b in told if (b["phase"], b["status"]) == ("apply", "done")}
    left = desk.state()
    # none, if the keeper could still write what the engine had said
    began = {p["resource"]["urn"] for p in left.get("pending_operations") or ()}
    assert done <= {r["urn"] for r in left["resources"]} | began  # nothing is unknown to the state
    take_over(desk, running)
    resolved = desk.result("resolve", call_id="run_r.1")
    assert resolved["outcome"]
    done = desk.result("up", call_id="run_u.1")
    assert [c for c in done["look"]["checks"] if not c["ok"]] == []


def test_a_table_without_encryption_is_used_only_when_it_is_asked_for() -> None:
    for url, mode in {"": "require", "?sslmode=disable": "disable"}.items():
        store = store_for(f"postgres://joe:hunter2@host/states{url}")
        assert isinstance(store, TableStore)
        assert f"sslmode={mode}" in store._conninfo
        assert "hunter2" not in repr(store)
    with pytest.raises(CallFailed):
        store_for("gs://states")
