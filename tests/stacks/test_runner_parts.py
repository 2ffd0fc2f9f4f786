"""The runner's parts by themselves: encryption, digests, classification, sources, requests."""

from __future__ import annotations

import base64
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from stacks.contract import Code
from stacks.engine.failures import CallFailed, ProgramError, Said, classify, said_by_keeper
from stacks.engine.guard import CALL_FILE, remove_folder
from stacks.engine.outages import is_outage
from stacks.engine.passwords import passwords_of, without_passwords
from stacks.engine.plan import Preview, operations_digest, operations_of
from stacks.engine.sdk import ProgramRun
from stacks.engine.sealing import Hider, Sealer
from stacks.engine.sources import program_digest, program_files
from stacks.engine.state import state_digest
from stacks.engine.stores import store_for
from stacks.engine.values import SECRET, SIGNATURE, bared, masked, opened, secret_names
from tests.stacks.runner_calls import ROOT, environment

pytestmark = pytest.mark.timeout(120)

URN = "urn:pulumi:acme.production.a::tenantplane::tenantplane:x:Y$aws:ssm/parameter:Parameter::one"

# what the engine says of a provider that was killed: as it starts, as it is greeted, as it works
GONE = (
    "could not read plugin [/x/pulumi-resource-aws]: exit status -1",
    "failure reading plugin [/x/pulumi-resource-aws] (read '40'): exit status -1",
    "aws (resource) plugin [/x/pulumi-resource-aws] did not come alive: context deadline exceeded",
    "aws (resource) plugin [/x/pulumi-resource-aws] did not begin responding to RPC connections",
    "error reading from server: EOF",
    "rpc error: code = Unavailable desc = closing transport due to: connection error",
)


def error(message: str, urn: str = "") -> dict[str, Any]:
    return {"severity": "error", "message": message, "urn": urn}


# --- encryption ------------------------------------------------------------------------------
def test_what_is_sealed_is_opened_by_the_same_key_alone() -> None:
    sealer = Sealer("pass phrase é", "x.y.a")
    ciphertext = sealer.encrypt("a secret é".encode())
    assert Sealer("pass phrase é", "x.y.a").decrypt(ciphertext) == "a secret é".encode()
    assert sealer.decrypt(sealer.encrypt(b"")) == b""
    assert sealer.encrypt("a secret é".encode()) != ciphertext
    assert b"secret" not in base64.b64decode(ciphertext)
    sealed = bytearray(base64.b64decode(ciphertext))
    sealed[-1] ^= 1
    others = {Sealer("another", "x.y.a"), Sealer("pass phrase é", "x.y.b")}
    assert sealer.mark not in {other.mark for other in others}
    for opener, given in (
        *((other, ciphertext) for other in others),
        (sealer, base64.b64encode(sealed).decode()),
        (sealer, base64.b64encode(b"v2" + sealed[2:]).decode()),
        (sealer, ciphertext[:8]),
        (sealer, "v1:no:base64"),
        (sealer, ""),
    ):
        with pytest.raises(CallFailed) as failed:
            opener.decrypt(given)
        assert failed.value.code is Code.BACKEND
        assert "secret é" not in str(failed.value)


def test_a_secret_is_hidden_as_what_tells_it_from_another() -> None:
    sealer = Sealer("pass phrase é", "x.y.a")

    def hidden(text: str, key: str = "ab" * 32) -> str | bool:
        return Hider(sealer, key).hide(secret(sealer.encrypt(text.encode())))

    one = hidden('"a secret"')
    assert str(one).startswith("hmac-sha256:")
    assert "secret" not in str(one)
    assert one == hidden('"a secret"') == Hider(sealer, "ab" * 32).hide(marked(value="a secret"))
    assert len({one, hidden('"another"'), hidden('"a secret"', "cd" * 32)}) == 3
    assert Hider(sealer, "ab" * 32).hide(marked()) is True


# --- values and states -----------------------------------------------------------------------
def secret(ciphertext: str) -> dict[str, Any]:
    return marked(ciphertext=ciphertext)


def marked(**more: str) -> dict[str, Any]:
    return {SIGNATURE: SECRET, **more}


def test_secrets_are_masked_and_named_wherever_they_are() -> None:
    value = {"a": secret("x"), "b": [1, {"c": secret("y")}], "d": "plain"}
    assert masked(value) == {"a": {"secret": True}, "b": [1, {"c": {"secret": True}}], "d": "plain"}
    assert secret_names(value) == {"a", "b[1].c"}


def state(**changes: Any) -> dict[str, Any]:
    resource = {
        "urn": URN, "type": "aws:ssm/parameter:Parameter", "id": "one", "custom": True,
        "inputs": {"value": secret("v1:a:b")}, "outputs": {"arn": "x"},
        "dependencies": ["urn:b", "urn:a"], "created": "2026-11-20T08:00:00Z",
        "modified": "2026-11-20T08:00:00Z", "sourcePosition": "project:///x.py#1",
    }  # fmt: skip
    return {"manifest": {"time": "now"}, "resources": [{**resource, **changes}]}


def hide_plainly(secret: Mapping[str, Any]) -> str:
    return str(secret["ciphertext"]).upper()


def test_secrets_are_opened_for_a_provider_wherever_they_are() -> None:
    def sealed(value: Any) -> dict[str, Any]:
        return {SIGNATURE: SECRET, "ciphertext": json.dumps(value)}

    state = {"a": sealed("x"), "list": [sealed({"deep": 1})], "plain": {"n": None}}
    wire = opened(state, str.encode)
    assert wire == {
        "a": {SIGNATURE: SECRET, "value": "x"},
        "list": [{SIGNATURE: SECRET, "value": {"deep": 1}}],
        "plain": {"n": None},
    }
    assert bared(wire) == {"a": "x", "list": [{"deep": 1}], "plain": {"n": None}}
    with pytest.raises(ValueError, match="not a secret"):
        opened({"file": {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "hash": "0"}}, str.encode)


def test_the_digest_of_a_state_leaves_out_times_and_orders() -> None:
    first = state_digest(state(), hide_plainly)
    assert first == state_digest(
        {**state(modified="later", dependencies=["urn:a", "urn:b"]), "manifest": {}}, hide_plainly
    )
    assert state_digest(None, hide_plainly) == state_digest({}, hide_plainly)
    assert state_digest({}, hide_plainly) == state_digest({"resources": []}, hide_plainly)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "two"}, {"outputs": {"arn": "y"}}, {"inputs": {"value": secret("v1:a:c")}},
        {"protect": True}, {"parent": "urn:p"}, {"provider": "urn:q::id"}, {"dependencies": []},
        {"delete": True}, {"external": True}, {"taint": True}, {"urn": URN + "x"},
        {"deletedWith": "urn:a"}, {"customTimeouts": {"create": 300}}, {"retainOnDelete": True},
        {"additionalSecretOutputs": ["arn"]}, {"ignoreChanges": ["value"]},
        {"replaceOnChanges": ["value"]}, {"hideDiff": ["value"]},
    ],
    ids=str,
)  # fmt: skip
def test_the_digest_of_a_state_binds_what_steers_the_engine(change: dict[str, Any]) -> None:
    assert state_digest(state(**change), hide_plainly) != state_digest(state(), hide_plainly)


def test_the_digest_of_a_state_binds_interrupted_operations() -> None:
    pending = [{"type": "creating", "resource": {"urn": URN, "inputs": {}}}]
    assert state_digest({**state(), "pending_operations": pending}, hide_plainly) != state_digest(
        state(), hide_plainly
    )


# --- plans -----------------------------------------------------------------------------------
def step(op: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "urn": URN, "type": "aws:ssm/parameter:Parameter",
            "old": {"inputs": {}, "protect": True}, "new": {"inputs": {}}, **more}  # fmt: skip


def test_the_steps_of_a_replacement_are_one_operation() -> None:
    steps = [
        step("create-replacement", keys=["name"], detailedDiff={
            "name": {"diffKind": "update-replace"}, "value": {"diffKind": "update"}}),
        step("replace"), step("delete-replaced"),
    ]  # fmt: skip
    found = operations_of(Preview(steps=steps, run=ProgramRun(), state=None))
    assert [(o.op, o.replaces, o.diffs, o.protect) for o in found] == [
        ("replace", ("name",), {"name": "update-replace", "value": "update"}, True)
    ]


def digest_of_plan(**told: Any) -> str:
    run = ProgramRun(registered={URN: told}, outputs={"token": marked(value="t")})
    return operations_digest([], [], [], run, lambda secret: str(secret)[::-1])


def test_the_digest_of_the_operations_leaves_out_what_differs_each_time() -> None:
    one = {"dependencies": ["b", "a"], "propertyDependencies": {"x": {"urns": ["d", "c"]}}}
    two = {"dependencies": ["a", "b"], "propertyDependencies": {"x": {"urns": ["c", "d"]}}}
    assert digest_of_plan(**one, packageRef="1") == digest_of_plan(**two, packageRef="2")


def test_the_digest_of_the_operations_binds_what_the_program_registers() -> None:
    found = {
        digest_of_plan(name="one", object={"value": marked(value="1")}),
        digest_of_plan(name="one", object={"value": marked(value="2")}),
        digest_of_plan(name="one", object={"value": "1"}),
        digest_of_plan(name="one", object={"value": marked(value="1")}, protect=True),
    }
    assert len(found) == 4


# --- failures --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "code", "data"),
    [
        (
            Said(exit_code=255, output="error: [424] keeper of the state: locked: "
                 "Somebody else has taken over the stack."),
            Code.LOCKED, {},
        ),
        (
            Said(exit_code=1, diagnostics=[error(
                "saving journal entries: [424] keeper of the state: backend_unavailable: "
                "The state backend is not available (57P01): check that it is reachable.", URN)]),
            Code.BACKEND_UNAVAILABLE, {},
        ),
        (
            Said(exit_code=1, failed=[{"urn": URN, "op": "create"}], diagnostics=[error(
                "pre-step event returned an error: performing HTTP request: Patch "
                '"http://127.0.0.1:44573/api/stacks/o/p/s/update/update/journalentries": dial tcp '
                "127.0.0.1:44573: connect: connection refused", URN)]),
            Code.ENGINE_DIED, {},
        ),
        *(
            (
                Said(exit_code=255, failed=[{"urn": URN, "op": "update"}],
                     diagnostics=[error(text, URN)]),
                Code.PROVIDER_DIED, {},
            )
            for text in GONE
        ),
        (
            Said(exit_code=1, diagnostics=[error(f"resource {URN} violates plan: properties")]),
            Code.PLAN_VIOLATED,
            {"resources": [URN]},
        ),
        (
            Said(exit_code=1, output=f"expected resource operations for {URN} but none were seen"),
            Code.PLAN_VIOLATED, {"resources": [URN]},
        ),
        (
            Said(exit_code=1, failed=[{"urn": URN, "op": "create"}], diagnostics=[
                error("An error occurred (AccessDenied) when calling the PutParameter operation:"
                      " no", URN),
                error("expected resource operations for urn:other but none were seen")]),
            Code.PROVIDER,
            {"aws_code": "AccessDenied", "name": "one", "operation": "create"},
        ),
        (
            Said(exit_code=1, failed=[{"urn": URN, "op": "update"}], diagnostics=[
                error("operation error SSM: PutParameter, https response error StatusCode: 400, "
                      "RequestID: 1, api error ValidationException: no", URN)]),
            Code.PROVIDER,
            {"aws_code": "ValidationException"},
        ),
        (
            Said(exit_code=1, program_error=ProgramError("no", "KeyError", "stacks/a.py", 3)),
            Code.PROGRAM,
            {"file": "stacks/a.py", "line": 3, "kind": "KeyError"},
        ),
        (
            Said(exit_code=255, output="error: [424] keeper of the state: backend: The state of "
                 "the stack could not be read from its backend.\n"),
            Code.BACKEND, {},
        ),
        (
            Said(exit_code=1, diagnostics=[error(
                f'unable to replace resource "{URN}"\n'
                "as it is currently marked for protection", URN)]),
            Code.PROTECTED, {"resources": [URN]},
        ),
        (Said(exit_code=255), Code.ENGINE, {"exit_code": 255}),
        (
            Said(exit_code=-9, program_error=ProgramError("Socket closed", "RunError")),
            Code.ENGINE_DIED, {"signal": "SIGKILL"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_the_engine_says_gets_a_stable_code(
    said: Said, code: Code, data: dict[str, Any]
) -> None:
    failure = classify(said, doing="apply")
    assert failure.code is code
    assert {key: failure.data.get(key) for key in data} == data
    assert not failure.changed


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgres://joe:hunter2@127.0.0.1:1/states?sslmode=disable", Code.BACKEND_UNAVAILABLE),
        ("postgres://joe@127.0.0.1:1/states?password=hunter2", Code.BACKEND_UNAVAILABLE),
        (
            "s3://states?region=x&endpoint=http://joe:hunter2@127.0.0.1:1&s3ForcePathStyle=true",
            Code.BACKEND_UNAVAILABLE,
        ),
        ("file:///dev/null/states", Code.BACKEND),
    ],
)
def test_what_a_store_says_is_classified_and_holds_no_password(
    monkeypatch: pytest.MonkeyPatch, url: str, code: Code
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = store_for(url)
    for use in (
        partial(store.newest, "stacks/x"),
        partial(store.names, "stacks/x"),
        partial(store.read, "stacks/x/1"),
        partial(store.create, "stacks/x/1", b""),
        partial(store.delete, ["stacks/x/1"]),
    ):
        with pytest.raises(CallFailed) as failed:
            use()
        assert failed.value.code is code
        assert "hunter2" not in str(failed.value)
    # and is the same when the engine says it again
    said = Said(exit_code=255, output=f"error: [424] {said_by_keeper(failed.value)}\n")
    again = classify(said, doing="plan")
    assert (again.code, again.text) == (code, failed.value.text)


def test_an_error_of_a_store_passes_only_when_nobody_has_to_change_anything() -> None:
    def answered(status: int, code: str) -> ClientError:
        where: Any = {"HTTPStatusCode": status}
        return ClientError({"Error": {"Code": code}, "ResponseMetadata": where}, "GetObject")

    passing: list[Exception] = [
        OSError(errno.EIO, "x"), OSError(errno.ENOSPC, "x"), answered(503, "SlowDown"),
        EndpointConnectionError(endpoint_url="http://x"),
        answered(409, "ConditionalRequestConflict"),
        psycopg.OperationalError("connection refused"), psycopg.errors.AdminShutdown("x"),
        psycopg.OperationalError("FATAL:  the database system is starting up"),
        psycopg.OperationalError("FATAL:  sorry, too many clients already"),
    ]  # fmt: skip
    staying: list[Exception] = [
        PermissionError(errno.EACCES, "x"), NotADirectoryError(errno.ENOTDIR, "x"),
        answered(403, "AccessDenied"), answered(404, "NoSuchBucket"), NoCredentialsError(),
        psycopg.OperationalError('FATAL:  password authentication failed for user "joe"'),
        psycopg.OperationalError('FATAL:  database "states" does not exist'),
        psycopg.errors.InvalidPassword("x"), psycopg.errors.InsufficientPrivilege("x"),
    ]  # fmt: skip
    assert [e for e in passing if not is_outage(e)] == []
    assert [e for e in staying if is_outage(e)] == []


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("postgres://joe@host/states", set()),
        ("postgres://joe:p%40ss%2Fword@host/states", {"p%40ss%2Fword", "p@ss/word"}),
        ("postgres://joe:pa/ss@word@host/states", {"pa/ss@word"}),
        ("postgres://host/states?password=a%20secret&x=1", {"a%20secret", "a secret"}),
        ("file:///state", set()),
    ],
)
def test_the_passwords_of_a_backend_are_known_in_every_spelling(
    url: str, passwords: set[str]
) -> None:
    found = set(passwords_of(url))
    assert passwords <= found
    assert bool(found) is bool(passwords)
    assert not [p for p in passwords if p in without_passwords(url.replace("pa/ss@word", ""))]


def test_a_message_holds_no_folder_and_no_colours() -> None:
    text = classify(
        Said(exit_code=1, output="<{%reset%}>error:<{%reset%}> cannot open /home/me/x/state.json"),
        doing="apply",
    ).text
    assert "/home/me" not in text
    assert "state.json" in text
    assert "reset" not in text


# --- sources ---------------------------------------------------------------------------------
def test_a_program_is_made_of_its_own_modules() -> None:
    files = {str(f.relative_to(ROOT)) for f in program_files("mode_a.slice")}
    assert {"stacks/program.py", "stacks/spec.py", "stacks/mode_a/slice.py"} <= files
    assert "stacks/components/keys.py" in files
    assert not [f for f in files if f.startswith(("stacks/mode_b", "stacks/engine"))]
    assert "stacks/mode_a/hub.py" not in files


@pytest.mark.parametrize(
    ("changed", "moves"),
    [
        ("stacks/mode_a/slice.py", True),
        ("stacks/components/keys.py", True),
        ("stacks/spec.py", True),
        ("stacks/program.py", True),
        ("requirements.lock", True),
        ("stacks/mode_a/hub.py", False),
        ("stacks/runner.py", False),
    ],
)
def test_one_changed_byte_of_the_program_moves_its_digest(
    tmp_path: Path, changed: str, moves: bool
) -> None:
    shutil.copytree(
        ROOT / "stacks", tmp_path / "stacks", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    before = program_digest("mode_a.slice", tmp_path)
    assert before == program_digest("mode_a.slice", ROOT)
    file = tmp_path / changed
    file.write_bytes(file.read_bytes() + b"\n")
    assert (program_digest("mode_a.slice", tmp_path) != before) is moves


# --- requests --------------------------------------------------------------------------------
def answer(line: bytes) -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-m", "stacks"],
        input=line, capture_output=True, timeout=60, cwd=ROOT, env=environment("c"), check=False,
    )  # fmt: skip
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    return done.returncode, lines, done.stderr.decode()


def valid(tmp_path: Path) -> dict[str, Any]:
    return {
        "operation": "preview", "call_id": "c", "stack": "a.b.c", "program": "mode_a.slice",
        "spec": {}, "backend_url": f"file://{tmp_path}", "work_folder": str(tmp_path / "work"),
        "cli": "/bin/false", "cli_version": "v3.259.0",
        "cloud": {"region": "eu-west-1", "account_id": "123456789012"},
        "secrets": {"passphrase": "canary-passphrase", "hmac_key": "ab" * 32},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"unknown": 1}, "unknown"),
        ({"operation": "explode"}, "operation"),
        ({"protocol": 2}, "protocol"),
        ({"stack": "../../etc"}, "stack"),
        ({"call_id": "a/b"}, "call_id"),
        ({"secrets": {"passphrase": "canary", "hmac_key": "short"}}, "secrets.passphrase"),
        ({"cloud": {"region": "eu-west-1", "account_id": "12"}}, "cloud.account_id"),
    ],
)
def test_a_bad_request_is_refused_by_field_and_its_values_are_not_repeated(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    code, lines, noise = answer(json.dumps(valid(tmp_path) | changes).encode() + b"\n")
    assert code == 1
    assert [(m["message"], m["code"]) for m in lines] == [("failure", "bad_request")]
    assert named in lines[0]["data"]["problems"]
    assert "canary" not in json.dumps(lines) + noise
    assert "Traceback" not in noise


def test_a_bad_spec_is_refused_by_field(tmp_path: Path) -> None:
    _, lines, _ = answer(json.dumps(valid(tmp_path)).encode() + b"\n")
    assert lines[0]["code"] == "bad_spec"
    assert "owner" in lines[0]["data"]["problems"]
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("line", [b"", b"\n"])
def test_no_request_is_no_answer(line: bytes) -> None:
    assert answer(line)[:2] == (2, [])


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"call_id": 1}\n'])
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    code, lines, noise = answer(line)
    assert (code, [m["code"] for m in lines]) == (1, ["bad_request"])
    assert "Traceback" not in noise


def test_only_the_folder_of_the_call_itself_is_removed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / CALL_FILE).write_text("run_2.1")
    assert not remove_folder(other, "run_1.1")
    assert not remove_folder(tmp_path, "run_1.1")
    assert other.exists()
    assert remove_folder(other, "run_2.1")
    assert not other.exists()


def test_a_work_folder_that_exists_is_not_used(tmp_path: Path) -> None:
    from tests.stacks.sample_specs import PROGRAMS

    (tmp_path / "work").mkdir()
    request = valid(tmp_path) | {"spec": PROGRAMS["mode_a.slice"]}
    _, lines, _ = answer(json.dumps(request).encode() + b"\n")
    assert lines[-1]["code"] == "bad_request"
    assert (tmp_path / "work").exists()
