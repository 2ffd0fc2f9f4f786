"""A dedicated Hub that is frozen, made by the real engine: its role and its database only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# others have a dedicated Hub in this cloud too, by the name of the sample
OWNER = sample_specs.owner(
    "frozen", "frozen-q7w2e4", mode="B", deployment="dep_01JD3ZK4Q0V8X2M6N7P9R5T1FZ"
)


def test_a_freeze_denies_writes_and_its_end_takes_that_back(
    runner_cloud: CloudProcess, pulumi_cli: Path, tmp_path: Path
) -> None:
    cloud, spec = runner_cloud, sample_specs.dedicated(owner=OWNER)
    desk = Desk(
        root=tmp_path, cli=pulumi_cli, endpoint=cloud.endpoint, program="mode_b",
        stack="frozen.production.b", spec=spec,
    )  # fmt: skip
    short = spec["owner"]["short"]
    desk.result("up")
    assert not denies(cloud, short)

    desk.spec = {**spec, "transfer": {"frozen": True}}
    desk.result("up")
    assert denies(cloud, short)
    assert reads_only(cloud, short)
    again = desk.plan()["operations"]
    assert [each for each in again if each["op"] != "same"] == []

    desk.spec = spec
    desk.result("up")
    assert not denies(cloud, short)
    assert not reads_only(cloud, short)


def denies(cloud: CloudProcess, short: str) -> bool:
    """Ask the cloud whether the application's role has the policy that denies writes."""
    names = cloud.client("iam").list_role_policies(RoleName=f"{short}-app")["PolicyNames"]
    return "frozen" in names


def reads_only(cloud: CloudProcess, short: str) -> bool:
    """Ask the cloud whether the database's transactions only read."""
    rds = cloud.client("rds")
    (group,) = [
        each["DBParameterGroupName"]
        for each in rds.describe_db_parameter_groups()["DBParameterGroups"]
        if each["DBParameterGroupName"].startswith(f"{short}-db-")
    ]
    found = {
        each["ParameterName"]: each.get("ParameterValue")
        for page in rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
        for each in page["Parameters"]
    }
    return found.get("default_transaction_read_only") == "1"
