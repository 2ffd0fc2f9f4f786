"""Hub, two slices and a dedicated Hub, made by the real engine; asked for with boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.domain import engine
from control_plane.ports.stores import PolicyScope
from stacks import contract
from tests.stacks import sample_specs
from tests.stacks.fidelity.judge import Judge, running_judge
from tests.stacks.made_stacks import ACME, DEDICATED, HUB, ZENITH, Made, World
from tests.stacks.runner_calls import tree_with_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EMPTY = """
import pulumi_aws


def build(spec, provider):
    return {}
"""


def tags_of(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {next(iter(pair.values())): list(pair.values())[1] for pair in pairs}


def test_every_check_after_the_apply_holds(world: World) -> None:
    for made in world.all:
        checks = made.outcome.last["look"]["checks"]
        assert {check["name"]: check["ok"] for check in checks} == {
            "answers_in_cloud": True,
            "as_applied": True,
            "outputs_present": True,
            "nothing_unknown": True,
        }, checks


@pytest.mark.parametrize("program", ["mode_a.hub", "mode_a.slice", "mode_b"])
def test_two_previews_have_one_digest_and_an_unchanged_spec_plans_nothing(
    program: str, world: World
) -> None:
    desk = world.of(program).desk
    first, second = (desk.call("preview") for _ in range(2))
    assert first.planned is not None, first.last
    assert second.planned is not None, second.last
    assert first.planned["digest"] == second.planned["digest"]
    assert first.planned["parts"] == second.planned["parts"]
    # an option or an output that changes counts as the same
    assert {(o["op"], *o["options"]) for o in second.planned["operations"]} == {("same",)}
    assert second.planned["outputs"] == []


def typed(resources: list[dict[str, Any]]) -> list[engine.PlannedResource]:
    return [engine.PlannedResource.from_document(one) for one in resources]


def test_the_policies_find_nothing_to_refuse_in_what_exists(world: World) -> None:
    """Also what was unknown in the plan, the ARNs of new keys, is known now and right."""
    rules = Path(__file__).parents[2] / "rules"
    policies = RulePolicies(load_policy_parameters(rules, load_rules(rules).regions))
    for made in world.all:
        owner = made.desk.spec["owner"]
        scope = PolicyScope(
            region=sample_specs.REGION,
            account_id=sample_specs.ACCOUNT,
            zone="eu",
            strict=True,
            mode=owner["mode"],
            tenant=owner["tenant"],
            deployment=owner["deployment"],
            environment=owner["environment"],
            slice_short=owner["short"] if made.desk.program == "mode_a.slice" else None,
        )
        existing = typed(made.outcome.last["look"]["resources"])
        assert policies.evaluate_state(existing, scope).violations == ()
        assert made.outcome.planned is not None
        first = policies.evaluate_plan(typed(made.outcome.planned["resources"]), scope)
        assert first.ok, first.mandatory
        again = made.desk.call("preview").planned
        assert again is not None
        assert policies.evaluate_plan(typed(again["resources"]), scope).ok
        if scope.slice_short is not None:  # what is one slice's own is beyond another
            other = replace(scope, slice_short="other-a1b2c3")
            found = policies.evaluate_state(existing, other)
            assert {v.rule for v in found.mandatory} == {"isolation"}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    yield from running_judge({"tenantplane:managed-by": "tenantplane"})


def test_the_real_provider_accepts_what_was_applied(world: World, judge: Judge) -> None:
    applied = []
    for made in world.all:
        found = made.outcome.last["look"]["resources"]
        for one in map(contract.PlannedResource.model_validate, found):
            # the sandbox adds the tags of the deployment to the inputs, the judge does so itself
            inputs = {key: value for key, value in one.inputs.items() if key != "tagsAll"}
            if one.type.startswith("aws:"):
                applied.append(one.model_copy(update={"inputs": inputs}))
    assert len(applied) > 140
    assert judge.refusals(applied) == []


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_buckets_are_private_versioned_and_encrypted(which: str, world: World) -> None:
    s3 = world.cloud.client("s3")
    made: Made = getattr(world, which)
    data = made.outputs["data_bucket"]
    logs = data.replace("-data-", "-logs-")
    for bucket in (data, logs):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(blocked.values())
        assert len(blocked) == 4
        owner = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
        assert owner["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert policy["Statement"][0]["Sid"] == "TlsOnly"
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    (rule,) = s3.get_bucket_encryption(Bucket=data)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": made.outputs["data_key_arn"],
    }
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_bucket_logging(Bucket=data)["LoggingEnabled"]["TargetBucket"] == logs


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_the_table_is_encrypted_and_cannot_be_lost_by_accident(which: str, world: World) -> None:
    made: Made = getattr(world, which)
    dynamodb = world.cloud.client("dynamodb")
    name = made.outputs["table_name"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["SSEDescription"]["KMSMasterKeyArn"] == made.outputs["data_key_arn"]
    assert table["DeletionProtectionEnabled"] is True
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_the_network_has_no_way_out(which: str, world: World) -> None:
    ec2 = world.cloud.client("ec2")
    made: Made = getattr(world, which)
    here = [{"Name": "vpc-id", "Values": [made.outputs["vpc_id"]]}]
    assert (
        ec2.describe_internet_gateways(
            Filters=[{"Name": "attachment.vpc-id", "Values": [made.outputs["vpc_id"]]}]
        )["InternetGateways"]
        == []
    )
    subnets = ec2.describe_subnets(Filters=here)["Subnets"]
    assert {one["SubnetId"] for one in subnets} == set(made.outputs["private_subnet_ids"])
    assert not any(one["MapPublicIpOnLaunch"] for one in subnets)
    groups = {
        one["GroupName"]: one
        for one in ec2.describe_security_groups(Filters=here)["SecurityGroups"]
    }
    assert groups["default"]["IpPermissions"] == []
    assert groups["default"]["IpPermissionsEgress"] == []
    for group in groups.values():
        open_to = [
            network["CidrIp"]
            for rule in (*group["IpPermissions"], *group["IpPermissionsEgress"])
            for network in rule["IpRanges"]
        ]
        assert set(open_to) <= {"10.20.0.0/16"}, group["GroupName"]
    endpoints = ec2.describe_vpc_endpoints(Filters=here)["VpcEndpoints"]
    assert len(endpoints) == 9
    flow = ec2.describe_flow_logs(
        Filter=[{"Name": "resource-id", "Values": [made.outputs["vpc_id"]]}]
    )["FlowLogs"]
    assert [one["TrafficType"] for one in flow] == ["ALL"]


def test_keys_rotate_and_have_the_names_that_policies_use(world: World) -> None:
    kms = world.cloud.client("kms")
    for short, purposes in (
        (HUB, ("data", "logs")),
        (ACME, ("data",)),
        (ZENITH, ("data",)),
        (DEDICATED, ("data", "logs", "secrets")),
    ):
        for purpose in purposes:
            key = kms.describe_key(KeyId=f"alias/{short}-{purpose}")["KeyMetadata"]
            assert key["Enabled"]
            assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]


def test_the_database_is_private_encrypted_and_its_password_is_kept_by_aws(world: World) -> None:
    rds = world.cloud.client("rds")
    outputs = world.dedicated.outputs
    (database,) = rds.describe_db_instances(DBInstanceIdentifier=outputs["database_id"])[
        "DBInstances"
    ]
    assert database["StorageEncrypted"]
    assert database["KmsKeyId"] == outputs["data_key_arn"]
    assert database["MasterUserSecret"]["SecretArn"] == outputs["database_master_secret_arn"]
    assert database["MasterUserSecret"]["KmsKeyId"] == outputs["secrets_key_arn"]
    assert database["DeletionProtection"]
    assert not database["PubliclyAccessible"]
    assert database["BackupRetentionPeriod"] == 14
    (group,) = database["DBParameterGroups"]
    parameters = rds.describe_db_parameters(DBParameterGroupName=group["DBParameterGroupName"])
    forced = [
        one["ParameterValue"]
        for one in parameters["Parameters"]
        if one["ParameterName"] == "rds.force_ssl"
    ]
    assert forced == ["1"]


def test_log_groups_are_encrypted_and_kept_as_long_as_the_spec_says(world: World) -> None:
    logs = world.cloud.client("logs")
    for prefix, made, number in (
        (f"/tenantplane/{HUB}/", world.hub, 4),  # two of the Hub, one per slice
        (f"/tenantplane/{DEDICATED}/", world.dedicated, 3),
    ):
        groups = logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        assert len(groups) == number
        for group in groups:
            assert group["kmsKeyId"] == made.outputs["logs_key_arn"]
            assert group["retentionInDays"] == 365


def test_secrets_are_shells(world: World) -> None:
    secrets = world.cloud.client("secretsmanager")
    for made in (*world.slices.values(), world.dedicated):
        for arn in made.outputs["secret_arns"].values():
            described = secrets.describe_secret(SecretId=arn)
            assert described["KmsKeyId"] in made.outputs.values()
            with pytest.raises(ClientError, match="ResourceNotFoundException"):
                secrets.get_secret_value(SecretId=arn)


def test_an_application_finds_its_slice_by_parameters(world: World) -> None:
    ssm = world.cloud.client("ssm")
    outputs = world.slices[ACME].outputs
    found = ssm.get_parameters_by_path(Path=outputs["parameter_path"])["Parameters"]
    assert {one["Name"].rsplit("/", 1)[1]: one["Value"] for one in found} == {
        "data-bucket": outputs["data_bucket"],
        "data-prefix": outputs["data_prefix"],
        "table": outputs["table_name"],
        "leading-key": outputs["leading_key"],
        "key-arn": outputs["data_key_arn"],
        "log-group": outputs["app_log_group"],
    }


@pytest.mark.requirement("F-017")
def test_resources_say_whose_they_are(world: World) -> None:
    kms = world.cloud.client("kms")
    iam = world.cloud.client("iam")
    for made, tenant, mode in (
        (world.slices[ACME], "acme", "A"),
        (world.dedicated, "dainese", "B"),
    ):
        key = kms.list_resource_tags(KeyId=made.outputs["data_key_arn"])["Tags"]
        role = made.outputs["app_role_arn"].rsplit("/", 1)[1]
        for tags in (tags_of(key), tags_of(iam.list_role_tags(RoleName=role)["Tags"])):
            assert tags["tenantplane:tenant"] == tenant
            assert tags["tenantplane:mode"] == mode
            assert tags["tenantplane:environment"] == "production"
            assert "tenantplane:data-class" in tags
            assert "Name" in tags


def test_what_holds_data_is_not_destroyed(world: World, tmp_path: Path) -> None:
    """A plan without them is refused; this is an empty program over the same stack."""
    desk = world.dedicated.desk
    empty = replace(desk, source=tree_with_program(tmp_path, EMPTY), program="mode_a.slice")
    empty.spec = sample_specs.PROGRAMS["mode_a.slice"]
    refused = empty.failure("preview")
    assert refused["code"] == "protected"
    assert any("aws:rds/instance:Instance" in urn for urn in refused["data"]["resources"])
    rds = world.cloud.client("rds")
    assert rds.describe_db_instances(DBInstanceIdentifier="dainese-q7w2e4-db")["DBInstances"]
