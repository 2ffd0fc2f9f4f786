"""The keeper of a call: whom it answers, and what it still records when others die."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stacks.engine.backend import Backend, backend_for
from stacks.engine.failures import CallFailed
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.kept_stacks import (
    JOURNAL,
    PASSPHRASE,
    PLACE,
    STACK,
    TOKEN,
    UPDATE,
    Served,
    entries,
    keeping,
    order,
)
from tests.stacks.runner_calls import Desk, begun, gone, processes_of, take_over

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

KEY = "aws:kms/key:Key"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Served]:
    with keeping(order(tmp_path)) as served:
        yield served


@pytest.fixture
def stored(tmp_path: Path) -> Backend:
    """The stack of the keeper, seen beside it."""
    return backend_for(
        f"file://{tmp_path}/states",
        STACK,
        engine=f"v{VERSION}",
        sealer=Sealer(PASSPHRASE, STACK),
    )


ROUTES = (
    ("GET", "/api/user"),
    ("GET", "/api/capabilities"),
    ("GET", PLACE),
    ("GET", f"{PLACE}/export"),
    ("POST", f"{PLACE}/encrypt"),
    ("POST", f"{PLACE}/decrypt"),
    ("POST", f"{PLACE}/batch-decrypt"),
    ("POST", UPDATE),
    ("POST", f"{UPDATE}/update"),
    ("PATCH", JOURNAL),
    ("POST", f"{UPDATE}/update/complete"),
    ("POST", "/take"),
    ("POST", "/give-back"),
    ("GET", "/no/such/route"),
)


# --- whom it answers -------------------------------------------------------------------------
@pytest.mark.parametrize("given", ["", "token", f"token {TOKEN}x", f"token {TOKEN[:-1]}", TOKEN])
def test_nobody_without_the_token_is_answered(keeper: Served, stored: Backend, given: str) -> None:
    for method, path in ROUTES:
        status, said = keeper.ask(method, path, {"ciphertext": "x"}, Authorization=given)
        assert status == 401, path
        assert set(said) == {"code", "message"}
        assert TOKEN not in json.dumps(said)
    assert (stored.locks(), stored.newest) == ([], 0)


def test_what_the_engine_does_not_ask_is_not_found(keeper: Served, stored: Backend) -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/take"),
        ("POST", f"{PLACE}/import"),
        ("POST", f"{PLACE}/export"),
        ("GET", f"{PLACE}/export/1"),
        ("PATCH", f"{UPDATE}/update/checkpoint"),
        ("PATCH", f"{UPDATE}/other/journalentries"),
        ("POST", f"{PLACE}/rename"),
        ("GET", f"/api/stacks/organization/{STACK}"),
        ("GET", "/api/stacks/../../etc/passwd"),
    ):
        assert keeper.ask(method, path)[0] == 404, (method, path)
        assert stored.newest == 0


def test_a_call_cannot_write_through_the_keeper_of_another(tmp_path: Path) -> None:
    with (
        keeping(order(tmp_path)) as mine,
        keeping(order(tmp_path, call_id="run_b.1", token="another-token")) as theirs,
    ):
        mine.post("/take")
        stranger = replace(mine, token=theirs.token)
        assert stranger.ask("PATCH", JOURNAL, {"entries": entries()})[0] == 401
        status, said = theirs.ask("POST", "/take")
        assert (status, said["failed"]["code"]) == (424, "locked")
        assert said["failed"]["data"]["holders"][0]["pid"] == os.getpid()
        # it has not taken the stack, so nothing that its engine says is recorded
        for method, path, body in (
            ("POST", f"{UPDATE}/update", None),
            ("PATCH", JOURNAL, {"entries": entries()}),
            ("POST", f"{UPDATE}/update/complete", {"status": "succeeded"}),
        ):
            assert theirs.ask(method, path, body)[0] == 424, path
        assert "resources" not in theirs.get(f"{PLACE}/export")["deployment"]
        theirs.post("/give-back")
        mine.ask("PATCH", JOURNAL, {"entries": entries()})
        assert mine.post("/give-back") == {}


@pytest.mark.parametrize("has_token", [True, False])
def test_a_real_command_reads_with_the_token_alone(
    keeper: Served, stored: Backend, pulumi_cli: Path, tmp_path: Path, has_token: bool
) -> None:
    sealed = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
              "ciphertext": Sealer(PASSPHRASE, STACK).encrypt(b'"canary"')}  # fmt: skip
    stack = {
        "urn": f"urn:pulumi:{STACK}::tenantplane::pulumi:pulumi:Stack::tenantplane-{STACK}",
        "type": "pulumi:pulumi:Stack",
        "custom": False,
        "outputs": {"hidden": sealed},
    }
    stored.take("run_0.1").close("settled", {"resources": [stack]})
    done = subprocess.run(
        [str(pulumi_cli), "--non-interactive", "stack", "export", "--show-secrets",
         "--stack", f"organization/tenantplane/{STACK}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PULUMI_HOME": f"{tmp_path}/home",
            "PULUMI_BACKEND_URL": f"http://127.0.0.1:{keeper.port}",
            "PULUMI_ACCESS_TOKEN": TOKEN if has_token else "of-another-call",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        },
    )  # fmt: skip
    assert (done.returncode == 0) is has_token, done.stderr
    assert ("canary" in done.stdout) is has_token
    if has_token:
        (shown,) = json.loads(done.stdout)["deployment"]["resources"]
        assert shown["outputs"]["hidden"]["plaintext"] == '"canary"'


# --- what it does ----------------------------------------------------------------------------
def test_an_update_is_recorded_step_by_step_and_given_back(keeper: Served, stored: Backend) -> None:
    keeper.post("/take")
    (lock,) = stored.locks()
    assert (lock.call_id, lock.pid) == ("run_a.1", os.getpid())
    assert keeper.post(UPDATE, {"options": {"dryRun": False}}) == {"updateID": "update"}
    assert keeper.post(f"{UPDATE}/update", {})["journalVersion"] == 1
    packed = gzip.compress(json.dumps({"entries": entries()}).encode())
    assert keeper.ask("PATCH", JOURNAL, packed, Content_Encoding="gzip") == (200, {})
    assert [r["id"] for r in (stored.state() or {})["resources"]] == ["one"]
    assert keeper.post(f"{UPDATE}/update/renew_lease", {"duration": 300})["token"] == TOKEN
    keeper.ask("PATCH", JOURNAL, {"entries": entries(name="two", sequence=3)})
    export = keeper.get(f"{PLACE}/export")
    assert export["version"] == 3
    assert [r["id"] for r in export["deployment"]["resources"]] == ["one", "two"]
    assert export["deployment"]["secrets_providers"]["type"] == "service"
    keeper.post(f"{UPDATE}/update/complete", {"status": "succeeded"})
    assert (stored.locks(), stored.history()[1]) == ([], "run_a.1")
    status, said = keeper.ask("PATCH", JOURNAL, {"entries": entries(name="late", sequence=5)})
    assert (status, said["failed"]["code"]) == (424, "locked")
    assert "keeper of the state: locked: " in said["message"]
    assert [r["id"] for r in (stored.state() or {})["resources"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("status", "result"),
    [("succeeded", "succeeded"), ("failed", "failed"), ("cancelled", "canceled"), ("?", "failed")],
)
def test_an_update_ends_as_the_engine_says(
    keeper: Served, stored: Backend, status: str, result: str
) -> None:
    keeper.post("/take")
    keeper.ask("PATCH", JOURNAL, {"entries": entries()})
    keeper.post(f"{UPDATE}/update/complete", {"status": status})
    record = stored.read(stored.newest)
    assert record is not None
    assert record["result"] == result


def test_a_preview_takes_and_records_nothing(keeper: Served, stored: Backend) -> None:
    assert keeper.post(f"{PLACE}/preview", {}) == {"updateID": "dry-run"}
    assert keeper.post(UPDATE, {"options": {"dryRun": True}}) == {"updateID": "dry-run"}
    assert keeper.post(f"{UPDATE}/dry-run", {})["version"] == 1
    assert keeper.post(f"{UPDATE}/dry-run/complete", {"status": "succeeded"}) == {}
    assert stored.newest == 0


def test_secrets_are_sealed_and_opened_one_by_one_and_together(keeper: Served) -> None:
    def packed(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    one = keeper.post(f"{PLACE}/encrypt", {"plaintext": packed("canary é")})["ciphertext"]
    many = keeper.post(
        f"{PLACE}/batch-encrypt", {"plaintexts": [packed("a"), packed("b"), packed("a")]}
    )["ciphertexts"]
    assert len({one, *many}) == 4
    opened = keeper.post(f"{PLACE}/batch-decrypt", {"ciphertexts": [one, *many]})["plaintexts"]
    texts = ("canary é", "a", "b", "a")
    assert opened == dict(zip((one, *many), map(packed, texts), strict=True))
    assert keeper.post(f"{PLACE}/decrypt", {"ciphertext": one})["plaintext"] == packed("canary é")
    status, said = keeper.ask("POST", f"{PLACE}/decrypt", {"ciphertext": packed("v1 not sealed")})
    assert (status, said["failed"]["code"]) == (424, "backend")


@pytest.mark.parametrize("recorded", [True, False])
def test_it_gives_the_stack_back_at_its_end(
    tmp_path: Path, stored: Backend, recorded: bool
) -> None:
    with keeping(order(tmp_path)) as served:
        served.post("/take")
        if recorded:
            served.ask("PATCH", JOURNAL, {"entries": entries()[:1]})
        assert len(stored.locks()) == 1
    assert stored.locks() == []
    pending = [p["type"] for p in (stored.state() or {}).get("pending_operations") or ()]
    assert pending == (["creating"] if recorded else [])
    assert stored.newest == (3 if recorded else 0)


def test_a_state_that_another_key_sealed_is_not_served(tmp_path: Path, stored: Backend) -> None:
    stored.take("run_0.1").close("settled", {"resources": []})
    with keeping(order(tmp_path, passphrase="quite another passphrase")) as served:
        for method, path in (("GET", f"{PLACE}/export"), ("POST", "/take")):
            status, said = served.ask(method, path)
            assert (status, said["failed"]["code"]) == (424, "passphrase")
            assert "another" not in json.dumps(said)


def test_one_that_cannot_serve_says_why(tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match="STATE_URL"), keeping(order(tmp_path, backend_url="x:y")):
        raise AssertionError("it serves")


def test_a_reader_is_not_shown_an_empty_stack_where_there_is_none(
    tmp_path: Path, stored: Backend
) -> None:
    missing = f"nothing of the stack {STACK}"
    with pytest.raises(CallFailed, match=missing), keeping(order(tmp_path), needs_state=True):
        raise AssertionError("it serves")
    stored.take("run_0.1").close("settled", {"resources": []})
    with keeping(order(tmp_path), needs_state=True) as served:
        assert served.get(f"{PLACE}/export")["deployment"]["resources"] == []


@pytest.mark.parametrize("path", ["", "/export", "/encrypt", "/update", "/import"])
def test_no_other_stack_is_answered_for(keeper: Served, path: str) -> None:
    other = PLACE.replace(STACK, "hub.eu-west-1.c1")
    for method in ("GET", "POST"):
        status, said = keeper.ask(method, f"{other}{path}")
        assert (status, said["message"]) == (404, f"only the stack {STACK} is served")


# --- when others die -------------------------------------------------------------------------
def keeper_of(desk: Desk) -> psutil.Process:
    """Return the keeper of the call that has taken the stack."""
    (lock,) = desk.stored.locks()
    assert lock.pid is not None
    return psutil.Process(lock.pid)


def made_in_cloud(cloud: CloudProcess, deployment: str) -> set[str]:
    """Return the ids of the keys of a deployment."""
    kms, found = cloud.client("kms"), set()
    for page in kms.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            if {"TagKey": "tenantplane:deployment", "TagValue": deployment} in tags:
                found.add(str(key["KeyId"]))
    return found


def ids_in_state(desk: Desk, kind: str) -> set[str]:
    return {r["id"] for r in desk.state().get("resources") or () if r["type"] == kind}


def test_what_an_engine_has_still_done_after_its_runner_is_recorded(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    with desk.start("up", deadlines={"stop_seconds": 20.0}) as running:
        running.until(lambda m: begun(m, KEY))
        keeper, (engine,) = keeper_of(desk), running.engines()
        running.process.kill()
        psutil.wait_procs([engine], timeout=60)
        assert gone(running.call_id, within_seconds=60), processes_of(running.call_id)
    assert not keeper.is_running()
    left = desk.result("inspect")
    assert (left["locks"], left["pending"]) == ([], [])
    assert left["written_by"] == running.call_id
    made = made_in_cloud(runner_cloud, desk.spec["owner"]["deployment"])
    assert len(made) == 1
    assert ids_in_state(desk, KEY) == made
    # there is nothing to settle
    again = desk.result("up")
    assert [c for c in again["look"]["checks"] if not c["ok"]] == []
    assert made_in_cloud(runner_cloud, desk.spec["owner"]["deployment"]) == made


def test_a_call_whose_keeper_dies_is_told_and_the_next_settles_it(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    with desk.start("up", deadlines={"stop_seconds": 5.0}) as running:
        running.until(lambda m: begun(m, KEY))
        keeper = keeper_of(desk)
        keeper.kill()
        last = running.finish().last
    assert (last["message"], last["code"], last["changed"]) == ("failure", "engine_died", True)
    assert "keeper" in last["text"]
    assert not re.search(r"127\.0\.0\.1|connection refused", last["text"])
    assert gone(running.call_id, within_seconds=10)
    (lock,) = desk.result("inspect")["locks"]
    assert (lock["call_id"], lock["pid"], lock["alive"]) == (running.call_id, keeper.pid, False)
    assert desk.failure("up")["code"] == "locked"
    take_over(desk, running)
    assert desk.result("inspect")["written_by"] == running.call_id
    desk.result("resolve")
    done = desk.result("up")
    assert [c for c in done["look"]["checks"] if not c["ok"]] == []
    made = made_in_cloud(runner_cloud, desk.spec["owner"]["deployment"])
    assert len(made) == 1
    assert ids_in_state(desk, KEY) == made


def test_a_keeper_that_dies_while_the_plan_is_decided_is_told(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        keeper_of(desk).kill()
        last = running.finish().last
    assert (last["message"], last["code"]) == ("failure", "engine_died")
    assert "keeper" in last["text"]
    take_over(desk, running)
    assert desk.result("inspect")["state_digest"] == desk.plan()["parts"]["state"]
    assert desk.result("up")["outcome"] == "applied"


def test_the_engine_has_neither_passphrase_nor_store(desk: Desk) -> None:
    url = f"file://{desk.backend}"
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        (engine,) = running.engines()
        environ = engine.environ()
        (lock,) = desk.stored.locks()
        opened = [file.path for file in engine.open_files()]
        running.finish("stop")
    assert environ["PULUMI_BACKEND_URL"].startswith("http://127.0.0.1:")
    text = json.dumps(environ)
    assert [each for each in (PASSPHRASE, "5e" * 32, url, str(desk.backend)) if each in text] == []
    assert [path for path in opened if path.startswith(str(desk.backend))] == []
    assert lock.pid != engine.pid
