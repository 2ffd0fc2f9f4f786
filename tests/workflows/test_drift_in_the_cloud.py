"""What somebody changes by hand in the cloud is found by a look of the real engine, and closes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus
from tests.contracts.engine_bench import pulumi_engine
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.workflows.test_drift import Looked
from tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

Hand = Callable[[], Callable[[], object]]  # changes something, and returns what puts it back
NOWHERE = "http://127.0.0.1:1"


class Cloud(Looked):
    """A ready Mode B tenant on an emulated cloud, and somebody who changes things there."""

    def __init__(self, world: World, cloud: CloudProcess, cli: Path) -> None:
        self.engine = lambda endpoint: pulumi_engine(lambda: cli, endpoint, world.folder)
        (world.folder / "state").mkdir()
        world.core = replace(world.core, engine=self.engine(cloud.endpoint))
        self.client = cloud.client
        super().__init__(world)
        self.outputs = self.deployment().outputs
        self.role = self.outputs["app_role_arn"].rpartition("/")[2]

    def rule(self) -> Callable[[], object]:
        """Open the application's group to everybody."""
        ec2, group = self.client("ec2"), self.outputs["app_security_group_id"]
        opening = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                   "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}  # fmt: skip
        rules = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[opening])
        ids = [each["SecurityGroupRuleId"] for each in rules["SecurityGroupRules"]]
        return lambda: ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ids)

    def setting(self) -> Callable[[], object]:
        """Let the bucket of the data keep no older versions."""
        s3, bucket = self.client("s3"), self.outputs["data_bucket"]

        def put(status: str) -> object:
            return s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": status}
            )

        put("Suspended")
        return lambda: put("Enabled")

    def tag(self) -> Callable[[], object]:
        """Give the key of the data another class."""
        kms, key = self.client("kms"), self.outputs["data_key_arn"]

        def put(value: str) -> object:
            tag = {"TagKey": "tenantplane:data-class", "TagValue": value}
            return kms.tag_resource(KeyId=key, Tags=[tag])

        put("public")
        return lambda: put("customer")

    def deletion(self) -> Callable[[], object]:
        """Take the application's policy away."""
        iam = self.client("iam")
        (name,) = iam.list_role_policies(RoleName=self.role)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=self.role, PolicyName=name)["PolicyDocument"]
        iam.delete_role_policy(RoleName=self.role, PolicyName=name)
        return lambda: iam.put_role_policy(
            RoleName=self.role, PolicyName=name, PolicyDocument=json.dumps(policy)
        )

    def stranger(self) -> Callable[[], object]:
        """Make a log group that has the deployment's name."""
        logs, name = self.client("logs"), f"{self.outputs['app_log_group']}-more"
        logs.create_log_group(logGroupName=name)
        return lambda: logs.delete_log_group(logGroupName=name)


@pytest.fixture(scope="module")
def cloud(
    module_storage: Storage, pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One tenant for the module: an apply of Mode B takes its time."""
    module_storage.empty()
    with CloudProcess() as process:
        yield Cloud(World(module_storage), process, pulumi_cli)


def seen(cloud: Cloud) -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """Return the open findings: kind, type and name, path, with both values."""
    return {
        (str(f.kind), f"{f.type} {f.subject.rpartition('::')[2]}", f.path): (f.expected, f.actual)
        for f in cloud.findings()
    }


def test_what_was_changed_by_hand_is_found_and_closes_when_it_is_put_back(cloud: Cloud) -> None:
    assert cloud.look().status is RunStatus.NO_CHANGES
    assert seen(cloud) == {}
    hands: list[Hand] = [cloud.rule, cloud.setting, cloud.tag, cloud.deletion, cloud.stranger]
    back = [hand() for hand in hands]
    before = cloud.untouched()
    run = cloud.look()
    assert run.status is RunStatus.NO_CHANGES, run.error
    assert cloud.untouched() == before
    assert (cloud.tenant().status, cloud.tenant().drifted) == (TenantStatus.READY, True)
    found = seen(cloud)
    (rule,) = [key for key in found if key[1].startswith("ec2:security-group-rule")]
    opened = found.pop(rule)
    assert (rule[0], opened[0]) == ("foreign", None)
    told = ("direction", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "securityGroupId")
    assert [opened[1][name] for name in told] == [
        "ingress", "tcp", 22, 22, "0.0.0.0/0", cloud.outputs["app_security_group_id"]
    ]  # fmt: skip
    group = f"logs:log-group {cloud.outputs['app_log_group']}-more"
    assert found == {
        ("changed", "aws:s3/bucketVersioning:BucketVersioning data",
         "versioningConfiguration.status"): ("Enabled", "Suspended"),
        ("changed", "aws:kms/key:Key data", 'tags["tenantplane:data-class"]'): (
            "customer", "public"
        ),
        ("missing", "aws:iam/rolePolicy:RolePolicy app", ""): (None, None),
        ("foreign", f"logs:log-group {group}", ""): (None, None),
    }  # fmt: skip
    for undo in back:
        undo()
    assert cloud.look().status is RunStatus.NO_CHANGES
    assert (seen(cloud), cloud.tenant().drifted) == ({}, False)
    assert len(cloud.findings(with_closed=True)) == len(hands)


def test_a_look_at_a_cloud_that_does_not_answer_is_errored_and_touches_no_finding(
    cloud: Cloud,
) -> None:
    undo = cloud.setting()
    cloud.look()
    before = cloud.findings(), cloud.untouched()
    undo()
    core = cloud.world.core
    cloud.world.core = replace(core, engine=cloud.engine(NOWHERE))
    run = cloud.look()
    assert (run.status, run.error["code"]) == (RunStatus.ERRORED, "engine_failed"), run.error
    assert (cloud.findings(), cloud.untouched()) == before
    cloud.world.core = core
    assert cloud.look().status is RunStatus.NO_CHANGES
    assert cloud.findings() == []
