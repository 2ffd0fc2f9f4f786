"""Applies: gate, checks afterwards, and the failures that are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk, phase_begins

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

ONE_PARAMETER = """
import pulumi
import pulumi_aws as aws

print("a program may print")


def build(spec, provider):
    print("whatever it likes")
    made = aws.ssm.Parameter("one", name=f"/{spec.owner.short}/one", type="String", value="1",
                             opts=pulumi.ResourceOptions(provider=provider))
    return {"arn": made.arn, "nothing": None}
"""

RAISES = """
import pulumi_aws as aws


def build(spec, provider):
    raise LookupError("the directory has no such entry")
"""

AMBIENT = """
import pulumi_aws as aws


def build(spec, provider):
    aws.ssm.Parameter("one", name="/ambient", type="String", value="1")
    return {}
"""


def test_an_apply_ends_with_outputs_checks_and_seconds(desk: Desk) -> None:
    outcome = desk.call("up", gate=True)
    last = outcome.last
    assert (last["message"], last["outcome"]) == ("result", "applied"), last
    look = last["look"]
    assert look["outputs"]["data_bucket"] == desk.spec["hub"]["data_bucket"]
    assert {c["name"]: c["ok"] for c in look["checks"]} == {
        "answers_in_cloud": True,
        "as_applied": True,
        "outputs_present": True,
        "nothing_unknown": True,
    }
    assert set(last["seconds"]) >= {"plan", "gate", "apply", "verify"}
    assert last["summary"]["create"] == len(look["resources"])
    assert look["state_digest"] == last["state_digest"]
    assert [e["seq"] for e in outcome.events] == list(range(1, len(outcome.events) + 1))
    assert desk.locks() == []
    assert list(desk.work.iterdir()) == []


def test_stop_at_the_gate_calls_nothing(desk: Desk, runner_cloud: CloudProcess) -> None:
    with desk.start("up", gate=True) as running:
        outcome = running.finish(answer="stop")
    assert outcome.last["outcome"] == "stopped"
    assert outcome.code == 0
    phases = {e["body"]["phase"] for e in outcome.events if e["kind"] == "phase"}
    assert phases == {"plan", "gate"}
    assert desk.state().get("resources", []) == []
    found = runner_cloud.client("iam").list_roles()["Roles"]
    assert not [r for r in found if r["RoleName"].startswith(desk.spec["owner"]["short"])]


def test_an_answer_that_quotes_another_digest_calls_nothing(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        outcome = running.finish(answer="proceed sha256:" + "0" * 64)
    assert outcome.last["code"] == "bad_request"
    assert not outcome.last["changed"]


def test_nobody_at_the_gate(desk: Desk) -> None:
    with desk.start("up", gate=True, deadlines={"gate_seconds": 0.3}) as running:
        outcome = running.finish(answer="what is this")
    assert outcome.last["code"] == "deadline"
    assert outcome.last["data"]["phase"] == "gate"
    assert not outcome.last["changed"]


def test_the_plan_of_an_apply_has_the_digest_of_the_plan_before(desk: Desk) -> None:
    for _ in range(2):
        approved = desk.plan()
        outcome = desk.call("up")
        assert outcome.planned is not None
        assert (outcome.planned["digest"], outcome.planned["parts"]) == (
            approved["digest"], approved["parts"],
        )  # fmt: skip
        assert outcome.last["outcome"] == "applied"
        desk.spec = {**desk.spec, "retention": {"log_days": 30}}


def test_a_held_stack_is_told_with_its_holder(desk: Desk) -> None:
    lock = desk.hold_lock()
    for operation in ("preview", "up"):
        refused = desk.failure(operation)
        assert refused["code"] == "locked"
        assert "joe@elsewhere (pid 4242)" in refused["text"]
        assert refused["data"]["holders"][0]["id"] == lock


@pytest.mark.parametrize("answer", ["stop", "cancel"])
def test_the_stack_is_held_from_the_plan_on_and_let_go_untouched(desk: Desk, answer: str) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        (lock,) = desk.locks()
        seen = desk.result("inspect")
        assert [(each["id"], each["call_id"]) for each in seen["locks"]] == [
            (lock, running.call_id)
        ]
        assert desk.failure("up")["code"] == "locked"
        last = running.finish(answer=answer).last
    assert (
        last.get("outcome", last.get("code")) == {"stop": "stopped", "cancel": "canceled"}[answer]
    )
    assert desk.locks() == []
    assert list(desk.records.iterdir()) == []
    seen = desk.result("inspect")
    assert (seen["written_by"], seen["pending"]) == (None, [])
    assert desk.result("up")["outcome"] == "applied"


def test_an_engine_that_dies_while_it_is_held_has_done_nothing(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        for engine in running.engines():
            engine.kill()
        last = running.until(lambda m: m["message"] == "failure")
    assert (last["code"], last["changed"]) == ("engine_died", False)
    assert desk.result("up")["outcome"] == "applied"


def test_a_wrong_passphrase_is_told_and_told_alone(desk: Desk) -> None:
    desk.result("up", verify=False)
    secrets = {"passphrase": "quite another passphrase", "hmac_key": "5e" * 32}
    for operation in ("up", "preview", "look", "resolve", "inspect"):
        refused = desk.failure(operation, secrets=secrets)
        assert refused["code"] == "passphrase"
        assert "another" not in refused["text"]


def test_what_the_cloud_refuses_names_resource_and_code(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    taken = f"/tenantplane/{desk.spec['owner']['short']}/table"
    runner_cloud.client("ssm").put_parameter(Name=taken, Value="mine", Type="String")
    refused = desk.failure("up")
    assert refused["code"] == "provider"
    assert refused["changed"]
    assert refused["data"]["name"] == "table"
    assert refused["data"]["type"] == "aws:ssm/parameter:Parameter"
    assert refused["data"]["aws_code"] == "ParameterAlreadyExists"
    assert refused["state_digest"] == desk.state_digest()
    assert desk.locks() == []


def test_an_output_without_a_value_fails_its_check_and_prints_disturb_nothing(
    make_desk: MakeDesk,
) -> None:
    outcome = make_desk(program=ONE_PARAMETER).call("up")
    failed = {c["name"]: c["detail"] for c in outcome.last["look"]["checks"] if not c["ok"]}
    assert failed == {"outputs_present": "without value: nothing"}
    assert "a program may print" in outcome.noise
    assert "whatever it likes" in outcome.noise


def test_a_program_that_raises_is_told_with_file_and_line(make_desk: MakeDesk) -> None:
    refused = make_desk(program=RAISES).failure("preview")
    assert refused["code"] == "program"
    assert refused["data"] == {
        "file": "stacks/mode_a/slice.py",
        "line": RAISES.splitlines().index(next(x for x in RAISES.splitlines() if "raise" in x)) + 1,
        "kind": "LookupError",
    }
    assert "the directory has no such entry" in refused["text"]


def test_a_program_that_cannot_be_imported_is_told_too(make_desk: MakeDesk) -> None:
    refused = make_desk(program="import pulumi\n\nimport no_such_module\n").failure("preview")
    assert refused["code"] == "program"
    assert (refused["data"]["file"], refused["data"]["line"]) == ("stacks/mode_a/slice.py", 3)


UNHEARD = """
import asyncio
import grpc
import pulumi


class Refused(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.%s

    def details(self):
        return "the engine will not have it"


def build(spec, provider):
    asyncio.get_running_loop().call_exception_handler({"exception": Refused()})
    return {"region": spec.region}
"""


def test_a_refusal_in_a_task_that_nobody_waits_for_is_told(make_desk: MakeDesk) -> None:
    refused = make_desk(program=UNHEARD % "UNKNOWN").failure("preview")
    assert refused["code"] == "program"
    assert "the engine will not have it" in refused["text"]


def test_a_program_cannot_use_ambient_credentials(make_desk: MakeDesk) -> None:
    refused = make_desk(program=AMBIENT).failure("preview")
    assert refused["code"] in ("program", "engine", "provider")
    assert "default provider" in refused["text"].lower()


def test_there_is_no_command(desk: Desk, tmp_path: Path) -> None:
    refused = desk.failure("preview", cli=str(tmp_path / "pulumi"))
    assert refused["code"] == "cli_missing"
    assert "make setup" in refused["text"]


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_a_command_of_another_version_is_refused(desk: Desk, operation: str) -> None:
    desk.plan()
    refused = desk.failure(operation, cli_version="v3.1.0")
    assert refused["code"] == "cli_version"
    assert refused["data"] == {"version": "3.1.0", "needed": "3.259.0"}


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_a_command_that_does_nothing_is_told(desk: Desk, tmp_path: Path, operation: str) -> None:
    desk.plan()
    other = tmp_path / "pulumi"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    refused = desk.failure(operation, cli=str(other))
    assert (refused["code"], refused["changed"]) == ("engine", False)
    assert "The engine" in refused["text"]


def test_a_backend_that_cannot_be_used_is_told(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "no-folder"
    file.write_text("")
    refused = desk.failure("preview", backend_url=f"file://{file}")
    assert refused["code"] == "backend", refused
    refused = desk.failure("preview", backend_url="https://api.pulumi.com")
    assert refused["data"]["problems"] == ["backend_url"]


BREAKS_THE_STATE = """#!/bin/sh
"{cli}" "$@"
code=$?
case " $* " in *" up "*) for record in "{records}"/*; do echo broken > "$record"; done;; esac
exit $code
"""


def test_a_state_that_cannot_be_read_after_the_apply_does_not_hide_what_was_made(
    desk: Desk, tmp_path: Path
) -> None:
    wrapped = tmp_path / "pulumi"
    wrapped.write_text(BREAKS_THE_STATE.format(cli=desk.cli, records=desk.records))
    wrapped.chmod(0o755)
    outcome = desk.call("up", cli=str(wrapped))
    assert outcome.planned is not None
    assert outcome.applied is None
    assert outcome.last["code"] == "backend"
    assert outcome.last["changed"]
    assert outcome.last["summary"]["create"] == len(outcome.planned["operations"])


def test_an_engine_that_is_killed_may_have_changed_something(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: phase_begins(m, "apply"))
        for engine in running.engines():
            engine.kill()
        last = running.finish().last
    assert (last["code"], last["changed"]) == ("engine_died", True)


def test_a_damaged_state_is_told(desk: Desk) -> None:
    desk.result("up", verify=False)
    (record,) = desk.records.iterdir()
    whole = json.loads(record.read_text())
    without = {key: value for key, value in whole.items() if key != "state"}
    for damaged in ("", "{", "[]", "null", '{"record": "other"}', json.dumps(without)):
        record.write_text(damaged)
        for operation in ("inspect", "preview"):
            assert desk.failure(operation)["code"] == "backend", damaged


def test_a_record_that_is_missing_is_told(desk: Desk) -> None:
    """Without the last state nothing may be planned: everything would be made once more."""
    desk.result("up", verify=False)
    desk.hold_lock()
    (closed, _) = sorted(desk.records.iterdir())
    closed.unlink()
    for operation in ("inspect", "preview", "up"):
        assert desk.failure(operation)["code"] == "backend"
