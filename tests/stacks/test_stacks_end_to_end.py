"""Hub, two slices and a dedicated Hub, made by the real engine; asked for with boto3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stacks.contract import PlannedResource
from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.engine_calls import Answer, EngineCalls
from tests.stacks.fidelity.judge import Judge, running_judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HUB, DEDICATED = "hub.eu-west-1.a", "dainese.production.b"
ACME, ZENITH = "acme-a1b2c3", "zenith-d4e5f6"


@dataclass(frozen=True, kw_only=True)
class World:
    """An emulated cloud in which everything has been made once."""

    cloud: CloudProcess
    engine: EngineCalls
    hub: Answer
    slices: dict[str, Answer]
    dedicated: Answer

    def slice_spec(self, short: str) -> dict[str, Any]:
        return sample_specs.slice_of(self.hub.outputs, short.rsplit("-", 1)[0], short)


@pytest.fixture(scope="module")
def world(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with CloudProcess() as cloud:
        root = tmp_path_factory.mktemp("engine")
        engine = EngineCalls(cli=pulumi_cli, root=root, endpoint=cloud.endpoint)
        hub = engine.up("mode_a.hub", HUB, sample_specs.hub())
        slices = {
            short: engine.up(
                "mode_a.slice",
                f"{short}.production.a",
                sample_specs.slice_of(hub.outputs, short.rsplit("-", 1)[0], short),
            )
            for short in (ACME, ZENITH)
        }
        dedicated = engine.up("mode_b", DEDICATED, sample_specs.dedicated())
        yield World(cloud=cloud, engine=engine, hub=hub, slices=slices, dedicated=dedicated)


def tags_of(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {next(iter(pair.values())): list(pair.values())[1] for pair in pairs}


def test_every_check_after_the_apply_holds(world: World) -> None:
    for answer in (world.hub, *world.slices.values(), world.dedicated):
        assert {check["name"] for check in answer.last["checks"] if not check["ok"]} == set()
        assert len(answer.last["checks"]) == 3


@pytest.mark.parametrize("program", ["mode_a.hub", "mode_a.slice", "mode_b"])
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "existing"])
def test_two_previews_have_one_digest_and_an_unchanged_spec_plans_nothing(
    program: str, fresh: bool, world: World
) -> None:
    stack, spec = {
        "mode_a.hub": (HUB, sample_specs.hub()),
        "mode_a.slice": (f"{ACME}.production.a", world.slice_spec(ACME)),
        "mode_b": (DEDICATED, sample_specs.dedicated()),
    }[program]
    name = f"fresh.{stack}" if fresh else stack
    first, second = (world.engine.call("preview", program, name, spec) for _ in range(2))
    assert first.planned is not None, first.last
    assert second.planned is not None, second.last
    assert first.planned["digest"] == second.planned["digest"]
    assert first.planned["parts"] == second.planned["parts"]
    # a second run of an unchanged spec plans nothing
    assert set(second.last["summary"]) == ({"create"} if fresh else {"same"})


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    yield from running_judge({"tenantplane:managed-by": "tenantplane"})


def test_the_real_provider_accepts_what_was_applied(world: World, judge: Judge) -> None:
    applied = []
    for answer in (world.hub, *world.slices.values(), world.dedicated):
        for one in map(PlannedResource.model_validate, answer.last["resources"]):
            # the sandbox adds the tags of the deployment to the inputs, the judge does so itself
            inputs = {key: value for key, value in one.inputs.items() if key != "tagsAll"}
            if one.type.startswith("aws:"):
                applied.append(one.model_copy(update={"inputs": inputs}))
    assert len(applied) > 140
    assert judge.refusals(applied) == []


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_buckets_are_private_versioned_and_encrypted(which: str, world: World) -> None:
    s3 = world.cloud.client("s3")
    answer: Answer = getattr(world, which)
    data = answer.outputs["data_bucket"]
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
        "KMSMasterKeyID": answer.outputs["data_key_arn"],
    }
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_bucket_logging(Bucket=data)["LoggingEnabled"]["TargetBucket"] == logs


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_the_table_is_encrypted_and_cannot_be_lost_by_accident(which: str, world: World) -> None:
    answer: Answer = getattr(world, which)
    dynamodb = world.cloud.client("dynamodb")
    name = answer.outputs["table_name"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["SSEDescription"]["KMSMasterKeyArn"] == answer.outputs["data_key_arn"]
    assert table["DeletionProtectionEnabled"] is True
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize("which", ["hub", "dedicated"])
def test_the_network_has_no_way_out(which: str, world: World) -> None:
    ec2 = world.cloud.client("ec2")
    answer: Answer = getattr(world, which)
    here = [{"Name": "vpc-id", "Values": [answer.outputs["vpc_id"]]}]
    assert (
        ec2.describe_internet_gateways(
            Filters=[{"Name": "attachment.vpc-id", "Values": [answer.outputs["vpc_id"]]}]
        )["InternetGateways"]
        == []
    )
    subnets = ec2.describe_subnets(Filters=here)["Subnets"]
    assert {one["SubnetId"] for one in subnets} == set(answer.outputs["private_subnet_ids"])
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
        Filter=[{"Name": "resource-id", "Values": [answer.outputs["vpc_id"]]}]
    )["FlowLogs"]
    assert [one["TrafficType"] for one in flow] == ["ALL"]


def test_keys_rotate_and_have_the_names_that_policies_use(world: World) -> None:
    kms = world.cloud.client("kms")
    for short, purposes in (
        ("hub-a-k3m9x2", ("data", "logs")),
        (ACME, ("data",)),
        (ZENITH, ("data",)),
        ("dainese-q7w2e4", ("data", "logs", "secrets")),
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
    for prefix, answer, number in (
        ("/tenantplane/hub-a-k3m9x2/", world.hub, 4),  # two of the Hub, one per slice
        ("/tenantplane/dainese-q7w2e4/", world.dedicated, 3),
    ):
        groups = logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        assert len(groups) == number
        for group in groups:
            assert group["kmsKeyId"] == answer.outputs["logs_key_arn"]
            assert group["retentionInDays"] == 365


def test_secrets_are_shells(world: World) -> None:
    secrets = world.cloud.client("secretsmanager")
    for answer in (*world.slices.values(), world.dedicated):
        for arn in answer.outputs["secret_arns"].values():
            described = secrets.describe_secret(SecretId=arn)
            assert described["KmsKeyId"] in answer.outputs.values()
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


def test_resources_say_whose_they_are(world: World) -> None:
    kms = world.cloud.client("kms")
    iam = world.cloud.client("iam")
    for answer, tenant, mode in (
        (world.slices[ACME], "acme", "A"),
        (world.dedicated, "dainese", "B"),
    ):
        key = kms.list_resource_tags(KeyId=answer.outputs["data_key_arn"])["Tags"]
        role = answer.outputs["app_role_arn"].rsplit("/", 1)[1]
        for tags in (tags_of(key), tags_of(iam.list_role_tags(RoleName=role)["Tags"])):
            assert tags["tenantplane:tenant"] == tenant
            assert tags["tenantplane:mode"] == mode
            assert tags["tenantplane:environment"] == "production"
            assert "tenantplane:data-class" in tags
            assert "Name" in tags


def test_what_holds_data_is_not_destroyed(world: World) -> None:
    refused = world.engine.call("destroy", "mode_b", DEDICATED, sample_specs.dedicated())
    assert refused.last["message"] == "failure"
    rds = world.cloud.client("rds")
    assert rds.describe_db_instances(DBInstanceIdentifier="dainese-q7w2e4-db")["DBInstances"]


# --- isolation, with IAM enforced ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A slice with data in it, and a session of its application's role."""

    short: str
    outputs: dict[str, Any]
    ciphertext: bytes
    session: dict[str, str]


Probe = Callable[[Callable[[str], Any], Tenant], object]

PROBES: dict[str, Probe] = {
    "read an object": lambda client, of: client("s3").get_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/contract.txt"
    ),
    "write an object": lambda client, of: client("s3").put_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/new.txt", Body=b"new"
    ),
    "delete an object": lambda client, of: client("s3").delete_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/new.txt"
    ),
    "list objects": lambda client, of: client("s3").list_objects_v2(
        Bucket=of.outputs["data_bucket"], Prefix=f"tenants/{of.short}/"
    ),
    "read an item": lambda client, of: client("dynamodb").get_item(
        TableName=of.outputs["table_name"], Key={"pk": {"S": of.short}, "sk": {"S": "contract"}}
    ),
    "query items": lambda client, of: client("dynamodb").query(
        TableName=of.outputs["table_name"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{of.short}#order"}},
    ),
    "write an item": lambda client, of: client("dynamodb").put_item(
        TableName=of.outputs["table_name"],
        Item={"pk": {"S": f"{of.short}#order"}, "sk": {"S": "1"}},
    ),
    "decrypt": lambda client, of: client("kms").decrypt(CiphertextBlob=of.ciphertext),
    "encrypt": lambda client, of: client("kms").encrypt(
        KeyId=of.outputs["data_key_arn"], Plaintext=b"text"
    ),
    "read a secret": lambda client, of: client("secretsmanager").get_secret_value(
        SecretId=of.outputs["secret_names"]["llm"]
    ),
    "read a parameter": lambda client, of: client("ssm").get_parameter(
        Name=f"{of.outputs['parameter_path']}/key-arn"
    ),
    "write a log line": lambda client, of: client("logs").create_log_stream(
        logGroupName=of.outputs["app_log_group"], logStreamName="main"
    ),
}


def fill(world: World, short: str) -> Tenant:
    """Put something into every store of a slice, and start a session of its role."""
    outputs = world.slices[short].outputs
    world.cloud.client("s3").put_object(
        Bucket=outputs["data_bucket"],
        Key=f"tenants/{short}/contract.txt",
        Body=short.encode(),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=outputs["data_key_arn"],
    )
    world.cloud.client("dynamodb").put_item(
        TableName=outputs["table_name"], Item={"pk": {"S": short}, "sk": {"S": "contract"}}
    )
    world.cloud.client("secretsmanager").put_secret_value(
        SecretId=outputs["secret_names"]["llm"], SecretString=f"secret of {short}"
    )
    sealed = world.cloud.client("kms").encrypt(KeyId=outputs["data_key_arn"], Plaintext=b"text")
    session = world.cloud.client("sts").assume_role(
        RoleArn=outputs["app_role_arn"], RoleSessionName="task"
    )["Credentials"]
    return Tenant(
        short=short,
        outputs=outputs,
        ciphertext=sealed["CiphertextBlob"],
        session={
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        },
    )


@pytest.fixture(scope="module")
def tenants(world: World) -> Iterator[dict[str, Tenant]]:
    """Two slices with data in them, in a cloud whose IAM decides from now on.

    Sessions are started before: the trust of the roles names the container service alone.
    """
    filled = {short: fill(world, short) for short in (ACME, ZENITH)}
    world.cloud.post("/moto-api/reset-auth", "0")
    try:
        yield filled
    finally:
        world.cloud.post("/moto-api/reset-auth", "inf")


def outcome(world: World, probe: Probe, actor: Tenant, owner: Tenant) -> str:
    def client(service: str) -> Any:
        return world.cloud.client(service, **actor.session)

    try:
        probe(client, owner)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@pytest.mark.parametrize("what", PROBES)
def test_a_slice_works_with_its_own_and_never_with_its_neighbours(
    what: str, world: World, tenants: dict[str, Tenant]
) -> None:
    acme, zenith = tenants[ACME], tenants[ZENITH]
    for own, other in ((acme, zenith), (zenith, acme)):
        assert outcome(world, PROBES[what], own, own) == "done"
        refused = outcome(world, PROBES[what], own, other)
        assert refused in {"AccessDenied", "AccessDeniedException"}, refused


def test_a_slice_cannot_scan_list_or_widen_itself(world: World, tenants: dict[str, Tenant]) -> None:
    acme = tenants[ACME]
    attempts: dict[str, Probe] = {
        "scan": lambda client, of: client("dynamodb").scan(TableName=of.outputs["table_name"]),
        "list all": lambda client, of: client("s3").list_objects_v2(
            Bucket=of.outputs["data_bucket"]
        ),
        "list tenants": lambda client, of: client("s3").list_objects_v2(
            Bucket=of.outputs["data_bucket"], Prefix="tenants/"
        ),
        "the Hub's key": lambda client, _: client("kms").encrypt(
            KeyId=world.hub.outputs["data_key_arn"], Plaintext=b"text"
        ),
        "more rights": lambda client, of: client("iam").put_role_policy(
            RoleName=of.outputs["app_role_arn"].rsplit("/", 1)[1],
            PolicyName="more",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
        ),
        "another role": lambda client, _: client("sts").assume_role(
            RoleArn=tenants[ZENITH].outputs["app_role_arn"], RoleSessionName="task"
        ),
    }
    for name, attempt in attempts.items():
        assert outcome(world, attempt, acme, acme) in {"AccessDenied", "AccessDeniedException"}, (
            name
        )
