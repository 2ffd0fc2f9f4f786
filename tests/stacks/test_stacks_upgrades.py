"""A dedicated Hub whose spec names the next major version of PostgreSQL: upgraded in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_next_major_version_is_planned_and_applied_in_place(
    pulumi_cli: Path, runner_cloud: CloudProcess, tmp_path: Path
) -> None:
    spec = sample_specs.dedicated()
    desk = Desk(
        root=tmp_path, cli=pulumi_cli, endpoint=runner_cloud.endpoint,
        program="mode_b", stack="dainese.production.b", spec=spec,
    )  # fmt: skip
    desk.result("up", verify=False)
    rds = runner_cloud.client("rds")  # others have databases in this cloud too
    short = spec["owner"]["short"]

    def instance_of_ours() -> dict[str, Any]:
        (found,) = rds.describe_db_instances(DBInstanceIdentifier=f"{short}-db")["DBInstances"]
        return dict(found)

    before = instance_of_ours()
    assert before["EngineVersion"] == "16.4"

    desk.spec = {**spec, "database": {**spec["database"], "engine_version": "17"}}
    planned = desk.plan()
    moved = {o["type"]: o for o in planned["operations"] if o["op"] != "same"}
    assert {kind: o["op"] for kind, o in moved.items()} == {
        "aws:rds/instance:Instance": "update",
        "aws:rds/parameterGroup:ParameterGroup": "replace",  # parameters belong to a major version
    }
    instance = moved["aws:rds/instance:Instance"]
    assert set(instance["diffs"]) == {
        "autoMinorVersionUpgrade", "engineVersion", "parameterGroupName"
    }  # fmt: skip
    assert instance["irreversible"]  # there is no way back to 16

    applied = desk.result("up")
    assert {check["name"]: check["ok"] for check in applied["look"]["checks"]} == {
        "answers_in_cloud": True,
        "nothing_unknown": True,
        "outputs_present": True,
        "as_applied": True,
    }
    after = instance_of_ours()
    assert after["DbiResourceId"] == before["DbiResourceId"]
    assert after["EngineVersion"].partition(".")[0] == "17"
    (group,) = after["DBParameterGroups"]
    assert group["DBParameterGroupName"].endswith("-postgres17")
    groups = rds.describe_db_parameter_groups()["DBParameterGroups"]
    named = {group["DBParameterGroupName"] for group in groups}
    assert {name for name in named if name.startswith(short)} == {group["DBParameterGroupName"]}


def test_a_version_and_a_third_zone_of_a_hub_replace_and_delete_nothing(
    pulumi_cli: Path, runner_cloud: CloudProcess, tmp_path: Path
) -> None:
    spec = sample_specs.hub()
    desk = Desk(
        root=tmp_path, cli=pulumi_cli, endpoint=runner_cloud.endpoint,
        program="mode_a.hub", stack="hub.eu-west-1.c1", spec=spec,
    )  # fmt: skip
    first = desk.result("up")
    zones = spec["network"]["zones"]
    more = [*zones[:2], f"{spec['region']}c"]
    assert len(zones) == 2
    desk.spec = {**spec, "version": "2026.2", "network": {**spec["network"], "zones": more}}
    planned = desk.plan()
    moved = [o for o in planned["operations"] if o["op"] != "same"]
    assert {o["op"] for o in moved} <= {"create", "update"}
    assert not any(o["irreversible"] for o in moved)
    made = [o["type"] for o in moved if o["op"] == "create"]
    assert {"aws:ssm/parameter:Parameter", "aws:ec2/subnet:Subnet"} <= set(made)
    applied = desk.result("up")
    assert all(check["ok"] for check in applied["look"]["checks"]), applied["look"]["checks"]
    before, after = (each["look"]["outputs"]["private_subnet_ids"] for each in (first, applied))
    assert after[:2] == before
    assert len(after) == 3
    path = f"/tenantplane/{spec['owner']['short']}/version"
    found = runner_cloud.client("ssm").get_parameter(Name=path)["Parameter"]
    assert found["Value"] == "2026.2"
