"""Applies: gate, checks afterwards, and the failures that are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk, phase_begins

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

LOCK = "0f8fad5b-d9cb-469f-a165-70867728950e"

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
    assert last["outputs"]["data_bucket"] == desk.spec["hub"]["data_bucket"]
    assert {c["name"]: c["ok"] for c in last["checks"]} == {
        "answers_in_cloud": True,
        "plans_only_same": True,
        "outputs_present": True,
    }
    assert set(last["seconds"]) >= {"create_stack", "plan", "gate", "apply", "verify"}
    assert last["summary"]["create"] == len(last["resources"])
    locks = [e["body"] for e in outcome.events if e["kind"] == "lock"]
    assert len(locks) == 1
    # the lock was told before any resource was touched
    kinds = [
        (e["kind"], e["body"].get("status"))
        for e in outcome.events
        if e["kind"] == "lock" or e["body"].get("phase") == "apply"
    ]
    assert kinds.index(("lock", None)) < kinds.index(("resource", "started"))
    assert [e["seq"] for e in outcome.events] == list(range(1, len(outcome.events) + 1))
    assert desk.locks() == []
    assert list(desk.work.iterdir()) == []


def test_stop_at_the_gate_calls_nothing(desk: Desk, runner_cloud: CloudProcess) -> None:
    with desk.start("up", gate=True) as running:
        outcome = running.finish(answer="stop")
    assert outcome.last["outcome"] == "stopped"
    assert outcome.code == 0
    assert not [e for e in outcome.events if e["kind"] == "lock"]
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


def test_an_operation_outside_the_saved_plan_is_refused_by_name(desk: Desk) -> None:
    desk.result("up")
    nothing_to_do = desk.plan()["saved_plan"]
    desk.spec = {**desk.spec, "retention": {"log_days": 30}}
    refused = desk.failure("up", saved_plan=nothing_to_do)
    assert refused["code"] == "plan_violated"
    assert not refused["changed"]
    assert len(refused["data"]["resources"]) == 1
    assert "LogGroup" in refused["data"]["resources"][0]


def test_the_approved_plan_is_what_is_applied(desk: Desk) -> None:
    approved = desk.plan()["saved_plan"]
    assert desk.result("up", saved_plan=approved)["outcome"] == "applied"


def test_a_held_stack_is_told_with_its_holder(desk: Desk) -> None:
    desk.hold_lock(LOCK)
    for operation in ("preview", "up"):
        refused = desk.failure(operation)
        assert refused["code"] == "locked"
        assert "joe@elsewhere (pid 4242)" in refused["text"]
        assert refused["data"]["holders"][0]["id"] == LOCK


def test_a_lock_that_appears_at_the_gate_is_told_too(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        desk.hold_lock(LOCK)
        last = running.finish().last
    assert (last["code"], last["changed"]) == ("locked", False)
    assert last["data"]["holders"][0]["user"] == "joe"
    assert desk.locks() == [LOCK]


def test_a_wrong_passphrase_is_told_and_told_alone(desk: Desk) -> None:
    desk.plan()
    secrets = {"passphrase": "quite another passphrase", "hmac_key": "5e" * 32}
    refused = desk.failure("up", secrets=secrets)
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
    assert refused["state_digest"] == desk.result("export")["state_digest"]
    assert desk.locks() == []


def test_a_resource_that_is_gone_fails_the_verification(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    name = f"/tenantplane/{desk.spec['owner']['short']}/table"
    with desk.start("up") as running:
        running.until(lambda m: phase_begins(m, "verify"))
        runner_cloud.client("ssm").delete_parameter(Name=name)
        last = running.finish().last
    assert last["outcome"] == "applied"
    failed = {c["name"]: c["detail"] for c in last["checks"] if not c["ok"]}
    assert set(failed) == {"answers_in_cloud", "plans_only_same"}
    assert failed["answers_in_cloud"] == "not in the cloud: table"
    assert failed["plans_only_same"] == "planned: table (create)"


def test_an_output_without_a_value_fails_its_check_and_prints_disturb_nothing(
    make_desk: MakeDesk,
) -> None:
    outcome = make_desk(program=ONE_PARAMETER).call("up")
    failed = {c["name"]: c["detail"] for c in outcome.last["checks"] if not c["ok"]}
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


def test_a_command_of_another_version_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.result("up")
    other = tmp_path / "pulumi"
    other.write_text("#!/bin/sh\necho v3.1.0\n")
    other.chmod(0o755)
    refused = desk.failure("refresh", cli=str(other))
    assert refused["code"] == "cli_version"
    assert refused["data"] == {"version": "3.1.0", "needed": "3.259.0"}


def test_a_backend_that_cannot_be_used_is_told(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "no-folder"
    file.write_text("")
    refused = desk.failure("preview", backend_url=f"file://{file}")
    assert refused["code"] == "backend", refused
    refused = desk.failure("preview", backend_url="https://api.pulumi.com")
    assert refused["data"]["problems"] == ["backend_url"]


def test_a_damaged_state_is_told(desk: Desk) -> None:
    desk.plan()
    (desk.backend / ".pulumi" / "stacks" / "tenantplane" / f"{desk.stack}.json").write_text("{")
    assert desk.failure("export")["code"] == "backend"


def test_destroy_names_what_is_protected_and_deletes_nothing(desk: Desk) -> None:
    before = desk.result("up")["state_digest"]
    refused = desk.failure("destroy")
    assert refused["code"] == "protected"
    assert len(refused["data"]["resources"]) == 4
    assert desk.result("export")["state_digest"] == before


def test_refresh_sees_what_changed_and_destroy_removes_what_is_left(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=ONE_PARAMETER)
    made = desk.result("up")
    name = f"/{desk.spec['owner']['short']}/one"
    ssm = runner_cloud.client("ssm")
    ssm.put_parameter(Name=name, Value="2", Type="String", Overwrite=True)
    refreshed = desk.result("refresh")
    assert refreshed["summary"]["update"] == 1
    assert refreshed["state_digest"] != made["state_digest"]
    parameter = next(r for r in refreshed["resources"] if r["name"] == "one")
    assert parameter["outputs"]["version"] == 2
    assert parameter["outputs"]["value"] == {"secret": True}  # of a parameter it always is
    destroyed = desk.result("destroy")
    assert destroyed["resources"] == []
    assert name not in {p["Name"] for p in ssm.describe_parameters()["Parameters"]}
