"""What was changed by hand is reverted, adopted and found out of place by the real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.finding import FindingKind
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import findings, residences
from control_plane.services.performing import perform
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.workflows.held import release
from tests.workflows.test_drift_in_the_cloud import Cloud
from tests.world import ADMIN, OPS, World, person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

PETRA = person("petra", Role.OPS_APPROVER)
ELSEWHERE = "us-east-1"


@pytest.fixture(scope="module")
def cloud(
    module_storage: Storage, pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One tenant for the module: an apply of Mode B takes its time."""
    module_storage.empty()
    with CloudProcess() as process:
        cloud = Cloud(World(module_storage), process, pulumi_cli)
        cloud.process = process  # type: ignore[attr-defined]
        yield cloud


def decide(cloud: Cloud, verdict: Verdict, *found: Any) -> Any:
    """Decide on findings, have the run approved, and return it at its end."""
    decided = perform(
        cloud.world.core, OPS, findings.decide_of_tenant, cloud.tenant_id,
        [each.id for each in found], verdict=verdict, reason="seen",
    )  # fmt: skip
    cloud.world.work()
    run = cloud.world.run(decided.run_id)
    if run.status is RunStatus.AWAITING_APPROVAL:
        cloud.world.approve(run.id, PETRA)
    return cloud.world.run(run.id)


def of(cloud: Cloud, ending: str) -> list[Any]:
    return [each for each in cloud.findings() if each.subject.endswith(ending)]


def test_a_tag_a_rule_and_a_deleted_policy_are_reverted_and_nothing_else(cloud: Cloud) -> None:
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    left = cloud.setting()  # stays as it is
    cloud.tag()
    cloud.deletion()
    group = cloud.outputs["app_security_group_id"]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    opened = next(r for r in rules["SecurityGroupRules"] if r.get("ReferencedGroupInfo"))
    before = {name: opened[name] for name in ("IpProtocol", "Description")}
    before["ReferencedGroupId"] = opened["ReferencedGroupInfo"]["GroupId"]
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[{
            "SecurityGroupRuleId": opened["SecurityGroupRuleId"],
            "SecurityGroupRule": {**before, "FromPort": 1, "ToPort": 65535},
        }],
    )  # fmt: skip
    assert cloud.look().status is RunStatus.NO_CHANGES
    wanted = [f for f in cloud.findings() if "bucketVersioning" not in f.subject]
    assert {str(each.kind) for each in wanted} == {"changed", "missing"}
    assert {"fromPort", "toPort"} <= {each.path for each in wanted}
    run = decide(cloud, Verdict.REVERT, *wanted)
    assert (run.status, run.error) == (RunStatus.APPLIED, None)
    plan = cloud.world.rows("plan")[run.plan_id]
    touched = {o.urn for o in plan.operations if o.op != "same"}
    assert touched == {each.subject for each in wanted}
    (name,) = iam.list_role_policies(RoleName=cloud.role)["PolicyNames"]
    assert json.dumps(iam.get_role_policy(RoleName=cloud.role, PolicyName=name)["PolicyDocument"])
    again = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    assert {r["FromPort"] for r in again["SecurityGroupRules"]} == {
        r["FromPort"] for r in rules["SecurityGroupRules"]
    }
    (still,) = cloud.findings()
    assert "bucketVersioning" in still.subject
    assert (cloud.tenant().status, cloud.tenant().drifted) == (TenantStatus.READY, True)
    left()
    assert cloud.look().status is RunStatus.NO_CHANGES
    assert (cloud.findings(), cloud.tenant().drifted) == ([], False)


def test_a_database_that_somebody_enlarged_is_adopted_without_a_change_of_the_cloud(
    cloud: Cloud,
) -> None:
    rds = cloud.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    rds.modify_db_instance(
        DBInstanceIdentifier=database["DBInstanceIdentifier"],
        DBInstanceClass="db.r6g.large", ApplyImmediately=True,
    )  # fmt: skip
    cloud.look()
    (found,) = cloud.findings()
    assert (found.path, found.expected, found.actual) == (
        "instanceClass", "db.t4g.medium", "db.r6g.large"
    )  # fmt: skip
    run = decide(cloud, Verdict.ADOPT, found)
    assert (run.status, run.error) == (RunStatus.NO_CHANGES, None)
    plan = cloud.world.rows("plan")[run.plan_id]
    assert {o.op for o in plan.operations} <= {"same", "read"}
    assert (cloud.findings(), cloud.tenant().drifted) == ([], False)
    spec = cloud.world.rows("deployment_spec")[f"{cloud.deployment_id}.2"].document
    assert spec["database"]["instance_class"] == "db.r6g.large"
    assert cloud.deployment().applied_spec == 2
    assert cloud.look().status is RunStatus.NO_CHANGES
    assert cloud.findings() == []


def test_a_bucket_replicated_to_a_foreign_region_is_found_and_holds_the_tenant(
    cloud: Cloud,
) -> None:
    s3, bucket = cloud.client("s3"), cloud.outputs["data_bucket"]
    there = cloud.process.client("s3", region=ELSEWHERE)  # type: ignore[attr-defined]
    there.create_bucket(Bucket=f"{bucket}-far")
    there.put_bucket_versioning(
        Bucket=f"{bucket}-far", VersioningConfiguration={"Status": "Enabled"}
    )
    rule = {"ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{bucket}-far"}}  # fmt: skip
    s3.put_bucket_replication(
        Bucket=bucket,
        ReplicationConfiguration={
            "Role": "arn:aws:iam::123456789012:role/replication", "Rules": [rule],
        },
    )  # fmt: skip
    cloud.look()
    (found,) = [each for each in cloud.findings() if each.kind is FindingKind.MISPLACED]
    assert (found.subject, found.path) == (f"s3:bucket {bucket}-far", ELSEWHERE)
    assert cloud.tenant().hold
    shown = perform(cloud.world.core, OPS, residences.residence_of, cloud.tenant_id)
    assert shown.deployments[0].verdict == "broken"
    s3.delete_bucket_replication(Bucket=bucket)
    there.delete_bucket(Bucket=f"{bucket}-far")
    cloud.look()
    assert cloud.findings() == []
    (hold,) = [each for each in cloud.world.rows("hold").values() if each.stands]
    release(cloud.world, hold, ADMIN)
    assert not cloud.tenant().hold
