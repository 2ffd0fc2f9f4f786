"""Plans of the runner, made by the real engine: what they say, and that they say it every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.pulumi.reader import served
from stacks.contract import UNKNOWN
from stacks.sandbox.provider import write_plugin
from tests.stacks import sample_specs
from tests.stacks.runner_calls import PASSPHRASE, ROOT, Desk, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

# Two parameters; the value of the second is secret.
SECRETS = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    opts = pulumi.ResourceOptions(provider=provider)
    names = {name: f"/{spec.owner.short}/{name}" for name in ("plain", "hidden")}
    plain = aws.ssm.Parameter("plain", name=names["plain"], type="String", value="in the open",
                              opts=opts)
    hidden = aws.ssm.Parameter("hidden", name=names["hidden"], type="SecureString",
                               value=pulumi.Output.secret("%s"), opts=opts)
    return {"arn": plain.arn, "token": pulumi.Output.secret("%s"), "version": hidden.version}
"""


@pytest.mark.parametrize("program", sorted(sample_specs.PROGRAMS))
def test_two_previews_of_a_new_stack_have_the_same_digest(
    make_desk: MakeDesk, program: str
) -> None:
    desk = make_desk(program=None, spec=sample_specs.PROGRAMS[program], stack="new.production.a")
    desk.program = program
    first, second = desk.plan(), desk.plan()
    assert first["parts"] == second["parts"]
    assert first["digest"] == second["digest"]
    assert first["operations"] == second["operations"]
    assert {o["op"] for o in first["operations"]} == {"create"}


def test_two_previews_of_an_existing_stack_have_the_same_digest(desk: Desk) -> None:
    new = desk.plan()
    applied = desk.result("up")
    assert [check for check in applied["look"]["checks"] if not check["ok"]] == []
    first, second = desk.plan(), desk.plan()
    assert first["digest"] == second["digest"]
    assert {o["op"] for o in first["operations"]} == {"same"}
    assert first["parts"]["state"] == applied["state_digest"]
    moved = {part for part, value in first["parts"].items() if value != new["parts"][part]}
    assert moved == {"operations", "state"}


def test_a_preview_changes_nothing(desk: Desk) -> None:
    desk.plan()
    seen = desk.result("inspect")
    assert (seen["state_digest"], seen["history_digest"], seen["written_by"]) == (None, None, None)
    assert list(desk.backend.rglob("*")) == []
    made = desk.result("up", verify=False)
    before = {path: path.read_bytes() for path in desk.records.iterdir()}
    assert desk.plan()["parts"]["state"] == made["state_digest"]
    assert {path: path.read_bytes() for path in desk.records.iterdir()} == before


def test_a_plan_names_what_changes_and_what_is_protected(desk: Desk) -> None:
    desk.result("up")
    owner = desk.spec["owner"]
    desk.spec = {**desk.spec, "retention": {"log_days": 30}, "owner": owner}
    planned = desk.plan()
    changed = [o for o in planned["operations"] if o["op"] != "same"]
    assert [(o["type"], o["op"]) for o in changed] == [
        ("aws:cloudwatch/logGroup:LogGroup", "update"),
    ]
    assert changed[0]["diffs"] == {"retentionInDays": "update"}
    protected = {o["type"] for o in planned["operations"] if o["protect"]}
    assert "aws:kms/key:Key" in protected
    by_type = {r["type"]: r for r in planned["resources"]}
    assert by_type["aws:cloudwatch/logGroup:LogGroup"]["inputs"]["retentionInDays"] == 30
    assert by_type["aws:kms/key:Key"]["protect"]


def test_a_new_name_is_a_replacement_with_its_reason(make_desk: MakeDesk) -> None:
    desk = make_desk(program=SECRETS % ("first", "x"))
    desk.result("up")
    desk.spec = {**desk.spec, "owner": {**desk.spec["owner"], "short": "other-name"}}
    replaced = [o for o in desk.plan()["operations"] if o["op"] == "replace"]
    assert [o["name"] for o in replaced] == ["hidden", "plain"]
    assert all(o["replaces"] == ["name"] for o in replaced)


def test_unknown_values_carry_the_engines_mark(desk: Desk) -> None:
    planned = desk.plan()
    alias = next(r for r in planned["resources"] if r["type"] == "aws:kms/alias:Alias")
    assert alias["inputs"]["targetKeyId"] == UNKNOWN


def test_secrets_are_masked_named_and_bound(make_desk: MakeDesk) -> None:
    value, output = "canary-in-an-input", "canary-in-an-output"
    desk = make_desk(program=SECRETS % (value, output), folder="one")
    outcome = desk.call("up", gate=True)
    assert outcome.last["message"] == "result", outcome.last
    assert outcome.planned is not None
    said = json.dumps([outcome.planned, outcome.applied, outcome.last, *outcome.events])
    said += outcome.noise
    assert value not in said
    assert output not in said
    hidden = next(o for o in outcome.planned["operations"] if o["name"] == "hidden")
    assert "value" in hidden["secrets"]
    inputs = next(r for r in outcome.planned["resources"] if r["name"] == "hidden")["inputs"]
    assert inputs["value"] == {"secret": True}
    assert outcome.last["look"]["outputs"]["token"] == {"secret": True}
    assert "token" in outcome.last["look"]["secret_outputs"]
    # the digests of plan and state still tell one secret from another, and are stable
    again = desk.plan()
    assert again["parts"]["state"] == outcome.last["state_digest"]
    other = make_desk(program=SECRETS % ("another-canary", output), folder="two", spec=desk.spec)
    assert outcome.planned["parts"]["operations"] != other.plan()["parts"]["operations"]


def test_equal_secrets_under_another_key_of_the_deployment_have_another_digest(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(program=SECRETS % ("same", "same"))
    one = desk.plan()["parts"]["operations"]
    changed: dict[str, Any] = desk.request("preview")["secrets"] | {"hmac_key": "77" * 32}
    assert desk.plan(secrets=changed)["parts"]["operations"] != one


# What an operator does at the root, with the SDK in the place of the CLI's language host.
OPERATOR = """
import json, runpy, sys
from pulumi import automation as auto

root, tools, work, stack = sys.argv[1:]
chosen = auto.select_stack(
    stack_name=stack,
    project_name="tenantplane",
    program=lambda: runpy.run_path(f"{root}/stacks/program.py", run_name="__main__"),
    opts=auto.LocalWorkspaceOptions(work_dir=work, pulumi_command=auto.PulumiCommand(root=tools)),
)
print(json.dumps(chosen.preview(expect_no_changes=True).change_summary))
"""


def test_an_operator_sees_no_change_right_after_an_apply(desk: Desk, tmp_path: Path) -> None:
    applied = desk.result("up")
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    (tools / "pulumi").symlink_to(desk.cli)
    plugin = write_plugin(tmp_path / "plugin").parent
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (project / "stacks").symlink_to(ROOT / "stacks")
    request = desk.request("preview")
    settings = {"tenantplane:program": desk.program, "tenantplane:spec": json.dumps(desk.spec)}
    (project / f"Pulumi.{desk.stack}.yaml").write_text(json.dumps({"config": settings}))
    order = {
        **{key: request[key] for key in ("call_id", "stack", "backend_url")},
        "endpoint": desk.endpoint,
        "engine": request["cli_version"],
        "passphrase": PASSPHRASE,
    }
    before = desk.state()
    with served(order, source=ROOT, environment=environment("by-hand")) as reading:
        variables = {
            **environment("by-hand"),
            **reading,
            "PATH": f"{plugin}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": desk.endpoint,
        }
        done = subprocess.run(
            [sys.executable, "-c", OPERATOR, str(ROOT), str(tools.parent), str(project),
             reading["PULUMI_STACK"]],
            cwd=project, env=variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown == {"same": len(applied["look"]["resources"])}
    assert desk.state() == before


def test_the_project_at_the_root_names_the_program_and_no_plugin() -> None:
    project = (ROOT / "Pulumi.yaml").read_text()
    assert "name: tenantplane\n" in project
    assert "main: stacks/program.py\n" in project
    assert "plugins:" not in project
