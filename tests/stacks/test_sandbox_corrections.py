"""Each correction of moto: plain moto still needs it, and with it the answer is that of AWS.

A test that fails on its first half means that moto has been mended: delete the correction.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from stacks.sandbox.corrections import CORRECTIONS
from tests.stacks.cloud_process import CloudProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Look = Callable[[CloudProcess], Any]


@pytest.fixture(scope="module")
def plain() -> Iterator[CloudProcess]:
    with CloudProcess(module="tests.stacks.plain_moto") as running:
        yield running


@pytest.fixture(scope="module")
def corrected() -> Iterator[CloudProcess]:
    with CloudProcess() as running:
        yield running


def distinct_resource_ids(cloud: CloudProcess) -> Any:
    rds = cloud.client("rds")
    for name in ("first", "second"):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.small", Engine="postgres",
            AllocatedStorage=20, MasterUsername="hub", MasterUserPassword="not-a-secret",
        )  # fmt: skip
    ids = {each["DbiResourceId"] for each in rds.describe_db_instances()["DBInstances"]}
    return len(ids), all(each.startswith("db-") and len(each) == 29 for each in ids)


def scaling_of_a_provisioned_cluster(cloud: CloudProcess) -> Any:
    cluster = cloud.client("rds").create_db_cluster(
        DBClusterIdentifier="cluster", Engine="aurora-postgresql", MasterUsername="hub",
        MasterUserPassword="not-a-secret", EngineMode="provisioned",
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 2.0},
    )["DBCluster"]  # fmt: skip
    return "ScalingConfigurationInfo" in cluster


def parameters_that_were_reset(cloud: CloudProcess) -> Any:
    rds = cloud.client("rds")
    rds.create_db_parameter_group(
        DBParameterGroupName="reset", DBParameterGroupFamily="postgres16", Description="hub"
    )
    wanted: Any = [
        {"ParameterName": name, "ParameterValue": "1", "ApplyMethod": "immediate"}
        for name in ("a", "b")
    ]
    rds.modify_db_parameter_group(DBParameterGroupName="reset", Parameters=wanted)
    try:
        rds.reset_db_parameter_group(
            DBParameterGroupName="reset",
            Parameters=[{"ParameterName": "a", "ApplyMethod": "immediate"}],
        )
    except ResponseParserError:  # plain moto answers with a page of HTML
        return "not implemented"
    found = rds.describe_db_parameters(DBParameterGroupName="reset")["Parameters"]
    return [each["ParameterName"] for each in found]


def parameters_set_by_the_user(cloud: CloudProcess) -> Any:
    rds = cloud.client("rds")
    rds.create_db_parameter_group(
        DBParameterGroupName="hub", DBParameterGroupFamily="postgres16", Description="hub"
    )
    wanted = {
        "ParameterName": "rds.force_ssl",
        "ParameterValue": "1",
        "ApplyMethod": "pending-reboot",
    }
    rds.modify_db_parameter_group(DBParameterGroupName="hub", Parameters=[wanted])
    found = rds.describe_db_parameters(DBParameterGroupName="hub")["Parameters"]
    return [each["ParameterName"] for each in found if each.get("Source") == "user"]


def zone_rebalancing(cloud: CloudProcess) -> Any:
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="hub")
    ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "web", "image": "web", "memory": 64}]
    )
    facts: dict[str, Any] = {"cluster": "hub", "taskDefinition": "web", "desiredCount": 1}
    ecs.create_service(serviceName="on", availabilityZoneRebalancing="ENABLED", **facts)
    ecs.create_service(serviceName="unsaid", **facts)
    found = ecs.describe_services(cluster="hub", services=["on", "unsaid"])["services"]
    return {each["serviceName"]: each.get("availabilityZoneRebalancing") for each in found}


def descriptions_of_rules_without_addresses(cloud: CloudProcess) -> Any:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    web, database = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "database")
    )
    source = {"GroupId": web, "Description": "from web"}
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    ec2.authorize_security_group_ingress(
        GroupId=database, IpPermissions=[{**permission, "UserIdGroupPairs": [source]}]
    )
    objects = ec2.describe_managed_prefix_lists()["PrefixLists"][0]["PrefixListId"]
    target = {"PrefixListId": objects, "Description": "to objects"}
    ec2.authorize_security_group_egress(
        GroupId=database,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [target]}
        ],
    )
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [database]}])[
        "SecurityGroupRules"
    ]
    # the rule that AWS makes with every group lets everything out and has no description
    return {each.get("Description") for each in rules if each.get("CidrIpv4") != "0.0.0.0/0"}


def privacy_of_a_zone_with_a_network(cloud: CloudProcess) -> Any:
    vpc = cloud.client("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    zone = cloud.client("route53").create_hosted_zone(
        Name="hub.internal",
        CallerReference=uuid.uuid4().hex,
        VPC={"VPCRegion": "eu-west-1", "VPCId": vpc},
    )["HostedZone"]
    return zone["Config"]["PrivateZone"]


def rotation_period(cloud: CloudProcess) -> Any:
    kms = cloud.client("kms")
    periods = []
    for wanted in ({"RotationPeriodInDays": 180}, {}):
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.enable_key_rotation(KeyId=key, **wanted)
        periods.append(kms.get_key_rotation_status(KeyId=key).get("RotationPeriodInDays"))
    return periods


def redrive_policy(cloud: CloudProcess) -> Any:
    sqs = cloud.client("sqs")
    sqs.create_queue(QueueName="dead")
    policy = '{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":5}'
    url = sqs.create_queue(QueueName="live", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    return found["Attributes"]["RedrivePolicy"] == policy


def deleting_versions_one_by_one(cloud: CloudProcess) -> Any:
    s3, bucket = cloud.client("s3"), "suspended"
    place = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        if status == "Enabled":
            made = s3.put_object(Bucket=bucket, Key="one", Body=b"1")["VersionId"]
            s3.put_object(Bucket=bucket, Key="one", Body=b"2")
            s3.delete_object(Bucket=bucket, Key="one")
    try:
        s3.delete_object(Bucket=bucket, Key="one", VersionId=made)
    except ClientError as error:
        return str(error)
    left = s3.list_object_versions(Bucket=bucket)
    return len(left.get("Versions", ())), len(left.get("DeleteMarkers", ()))


def tags_of_a_backup_vault(cloud: CloudProcess) -> Any:
    backup = cloud.client("backup")
    arn = backup.create_backup_vault(
        BackupVaultName="hub", BackupVaultTags={"tenantplane:mode": "B"}
    )["BackupVaultArn"]
    # boto3 puts a slash at the end of the path; the SDK for Go, and so Terraform, does not
    scope = "Credential=test/20260101/eu-west-1/backup/aws4_request"
    answer = httpx.get(
        f"{cloud.endpoint}/tags/{quote(arn, safe='')}",
        headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"},
        timeout=30,
    )
    return answer.json().get("Tags") if answer.is_success else answer.status_code


# name of the correction -> how to look, and what AWS answers
LOOKS: dict[str, tuple[Look, Any]] = {
    "rds_parameters_reset": (parameters_that_were_reset, ["b"]),
    "rds_instance_resource_id": (distinct_resource_ids, (2, True)),
    "rds_cluster_scaling": (scaling_of_a_provisioned_cluster, False),
    "rds_parameters": (parameters_set_by_the_user, ["rds.force_ssl"]),
    "ecs_zone_rebalancing": (zone_rebalancing, {"on": "ENABLED", "unsaid": "DISABLED"}),
    "ec2_group_rule_description": (
        descriptions_of_rules_without_addresses,
        {"from web", "to objects"},
    ),
    "route53_private_zone": (privacy_of_a_zone_with_a_network, True),
    "kms_rotation_period": (rotation_period, [180, 365]),
    "sqs_redrive_policy": (redrive_policy, True),
    "s3_suspended_versions": (deleting_versions_one_by_one, (1, 1)),
    "backup_tags": (tags_of_a_backup_vault, {"tenantplane:mode": "B"}),
}


@pytest.mark.parametrize("name", [each.name for each in CORRECTIONS])
def test_plain_moto_needs_the_correction_and_gets_it(
    name: str, plain: CloudProcess, corrected: CloudProcess
) -> None:
    look, answer_of_aws = LOOKS[name]
    assert look(plain) != answer_of_aws, f"moto is mended: delete the correction {name}"
    assert look(corrected) == answer_of_aws
