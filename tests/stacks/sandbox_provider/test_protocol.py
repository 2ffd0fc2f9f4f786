"""The provider's process as the engine sees it, without an engine: its messages and its end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from stacks.sandbox.provider import sdk_version, write_plugin
from stacks.sandbox.provider.catalogue import all_types
from stacks.sandbox.provider.wire import UNKNOWN, decode, encode
from tests.stacks.cloud_process import CloudProcess, ended

REGION = "eu-west-1"
ACCOUNT = "123456789012"
OTHER_ACCOUNT = "222222222222"
CONFIG = {"region": REGION, "allowedAccountIds": json.dumps([ACCOUNT])}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
READ_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
    }
)


def urn(kind: str, name: str = "one") -> str:
    return f"urn:pulumi:stack::project::{kind}::{name}"


class Plugin:
    """A plugin process and the calls an engine makes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def configure(self, **arguments: Any) -> None:
        request = provider_pb2.ConfigureRequest(args=encode(arguments), acceptSecrets=True)
        self.stub.Configure(request, timeout=30)

    def check(self, kind: str, inputs: Mapping[str, Any], **more: Any) -> Any:
        request = provider_pb2.CheckRequest(
            urn=urn(kind), news=encode(inputs), randomSeed=b"seed", **more
        )
        return self.stub.Check(request, timeout=30)

    def create(self, kind: str, inputs: Mapping[str, Any], *, preview: bool = False) -> Any:
        checked = self.check(kind, inputs)
        assert not checked.failures, checked.failures
        request = provider_pb2.CreateRequest(
            urn=urn(kind), properties=checked.inputs, preview=preview
        )
        return self.stub.Create(request, timeout=60)

    def diff(self, kind: str, old: Mapping[str, Any], new: Mapping[str, Any], **more: Any) -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn(kind), id="id", olds=encode(old), news=encode(new), **more
        )
        return self.stub.Diff(request, timeout=30)

    def diff_config(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn("pulumi:providers:aws"), olds=encode(old), news=encode(new)
        )
        return self.stub.DiffConfig(request, timeout=30)

    def delete(self, kind: str, identity: str, state: struct_pb2.Struct) -> None:
        request = provider_pb2.DeleteRequest(urn=urn(kind), id=identity, properties=state)
        self.stub.Delete(request, timeout=60)


@contextmanager
def started(folder: Path, environment: Mapping[str, str]) -> Iterator[Plugin]:
    launcher = write_plugin(folder)
    process = subprocess.Popen(
        [str(launcher), "--logtostderr", ""],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        plugin = Plugin(process, int(process.stdout.readline()))
        yield plugin
        plugin.close()
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def keys(cloud: CloudProcess) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


@pytest.fixture(scope="module")
def plugin(cloud: CloudProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    with started(tmp_path_factory.mktemp("a folder with spaces"), keys(cloud)) as running:
        running.configure(**CONFIG)
        yield running


def refusal(act: Callable[[], Any]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        act()
    return caught.value


def test_it_introduces_itself(plugin: Plugin) -> None:
    hello = plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest(), timeout=10)
    assert (hello.accept_secrets, hello.accept_resources, hello.accept_outputs) == (True,) * 3
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty(), timeout=10).version == sdk_version()
    schema = json.loads(plugin.stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=10).schema)
    assert (schema["name"], schema["version"]) == ("aws", sdk_version())
    assert schema["resources"].keys() == {kind.urn_type for kind in all_types()}


def test_it_answers_who_one_is_and_nothing_else(plugin: Plugin) -> None:
    name = "aws:index/getCallerIdentity:getCallerIdentity"
    answer = plugin.stub.Invoke(provider_pb2.InvokeRequest(tok=name), timeout=30)
    assert decode(getattr(answer, "return"))[0]["accountId"] == ACCOUNT
    name = "aws:ec2/getVpc:getVpc"
    refused = refusal(lambda: plugin.stub.Invoke(provider_pb2.InvokeRequest(tok=name), timeout=30))
    assert refused.details() == f"the sandbox provider has no function {name}"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "aws:s3/bucket:Bucket",
        {"bucket": "data", "region": "eu-west-2"},
        "region is refused: the sandbox serves one region per provider",
    ),
    ("aws:s3/bucket:Bucket", {"bucket": "Upper"}, "bucket must be 3 to 63 lower-case letters"),
    (
        "aws:s3/bucket:Bucket",
        {"bucket": "data", "forcedestroy": True},
        "forcedestroy is no input the sandbox provider knows; did you mean forceDestroy?",
    ),
    (
        "aws:s3/bucket:Bucket",
        {"bucket": "data", "tags": {"a": 1}},
        "tags.a must be a string, got integer",
    ),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        {"name": "log", "retentionInDays": 31},
        "retentionInDays must be one of 0, 1, 3, 5, 7, 14, 30, 60, 90",
    ),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        {"name": "log", "retentionInDays": "30"},
        "retentionInDays must be an integer, got string",
    ),
    (
        "aws:s3/bucketVersioning:BucketVersioning",
        {"bucket": "data", "versioningConfiguration": {"status": True}},
        "versioningConfiguration.status must be a string, got boolean",
    ),
    (
        "aws:s3/bucketVersioning:BucketVersioning",
        {"bucket": "data", "versioningConfiguration": {"state": "Enabled"}},
        "versioningConfiguration.state is no input",
    ),
    (
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        {"bucket": "data", "rules": [{"id": "a", "status": "Enabled"}]},
        "rules[0] must have one of",
    ),
    (
        "aws:iam/role:Role",
        {"name": "role", "assumeRolePolicy": '{"Version": "2012-10-17"}'},
        "assumeRolePolicy must be a JSON policy document with a Statement",
    ),
    (
        "aws:iam/role:Role",
        {"name": "a/b", "assumeRolePolicy": TRUST},
        "name must be 1 to 64 letters",
    ),
    ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/33"}, "cidrBlock must be an IPv4 CIDR block"),
    ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.1/16"}, "cidrBlock must be an IPv4 CIDR block"),
    (
        "aws:ec2/subnet:Subnet",
        {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24", "outpostArn": "arn"},
        "outpostArn is no input",
    ),
    (
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        {"vpcId": "vpc-1", "serviceName": "s3", "subnetIds": ["subnet-1"]},
        "subnetIds is not for endpoints of type Gateway",
    ),
    (
        "aws:ec2/flowLog:FlowLog",
        {"vpcId": "vpc-1", "trafficType": "ALL", "logDestination": "arn:aws:s3:::logs"},
        "iamRoleArn is required when the log goes to CloudWatch",
    ),
    (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {"securityGroupId": "sg-1", "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8"},
        "fromPort and toPort are required unless ipProtocol is -1",
    ),
    (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        {"securityGroupId": "sg-1", "ipProtocol": "-1"},
        "exactly one of cidrIpv4, cidrIpv6, prefixListId, referencedSecurityGroupId is required",
    ),
    (
        "aws:kms/key:Key",
        {"deletionWindowInDays": 3},
        "deletionWindowInDays must be between 7 and 30",
    ),
    (
        "aws:dynamodb/table:Table",
        {"name": "table", "hashKey": "a", "attributes": [{"name": "b", "type": "S"}]},
        "attributes lack a, which is a key",
    ),
    (
        "aws:dynamodb/table:Table",
        {"name": "table", "hashKey": "a", "attributes": [{"name": "a", "type": "S"}]},
        "readCapacity must be at least 1 unless billingMode is PAY_PER_REQUEST",
    ),
    (
        "aws:ssm/parameter:Parameter",
        {"name": "/p", "type": "SecureString", "insecureValue": "v"},
        "insecureValue is not for the type SecureString",
    ),
    (
        "aws:secretsmanager/secret:Secret",
        {"name": "secret", "recoveryWindowInDays": 3},
        "recoveryWindowInDays must be 0 or between 7 and 30",
    ),
    (
        "aws:rds/instance:Instance",
        {
            "identifier": "db",
            "engine": "postgres",
            "instanceClass": "db.t4g.micro",
            "allocatedStorage": 20,
            "username": "hub",
            "password": "long-enough",
            "manageMasterUserPassword": True,
        },
        "manageMasterUserPassword conflicts with a password",
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "sentence"), REFUSED)
def test_wrong_inputs_are_refused_by_name(
    plugin: Plugin, kind: str, inputs: dict[str, Any], sentence: str
) -> None:
    reasons = [failure.reason for failure in plugin.check(kind, inputs).failures]
    assert [reason for reason in reasons if reason.startswith(sentence)], reasons


def test_an_unknown_type_is_refused_by_name(plugin: Plugin) -> None:
    refused = refusal(lambda: plugin.check("aws:sqs/queue:Queue", {}))
    assert refused.details() == "the sandbox provider has no resource type aws:sqs/queue:Queue"


TAKEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "aws:iam/role:Role",
        {"name": "taken", "assumeRolePolicy": TRUST},
        "creating IAM Role (taken): CreateRole: EntityAlreadyExists: ",
    ),
    (
        "aws:iam/policy:Policy",
        {"name": "taken", "policy": READ_ALL},
        "creating IAM Policy (taken): CreatePolicy: EntityAlreadyExists: ",
    ),
    (
        "aws:s3/bucket:Bucket",
        {"bucket": "taken-bucket"},
        "creating S3 Bucket (taken-bucket): CreateBucket: BucketAlreadyOwnedByYou: ",
    ),
    (
        "aws:secretsmanager/secret:Secret",
        {"name": "taken"},
        "creating Secrets Manager Secret (taken): CreateSecret: ResourceExistsException: ",
    ),
    (
        "aws:ssm/parameter:Parameter",
        {"name": "/taken", "type": "String", "value": "v"},
        "creating SSM Parameter (/taken): PutParameter: ParameterAlreadyExists: ",
    ),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        {"name": "/taken"},
        (
            "creating CloudWatch Logs Log Group (/taken): CreateLogGroup: "
            "ResourceAlreadyExistsException: "
        ),
    ),
    (
        "aws:dynamodb/table:Table",
        {
            "name": "taken",
            "billingMode": "PAY_PER_REQUEST",
            "hashKey": "k",
            "attributes": [{"name": "k", "type": "S"}],
        },
        "creating DynamoDB Table (taken): CreateTable: ResourceInUseException: ",
    ),
    (
        "aws:rds/parameterGroup:ParameterGroup",
        {"name": "taken", "family": "postgres16"},
        (
            "creating RDS DB Parameter Group (taken): CreateDBParameterGroup: "
            "DBParameterGroupAlreadyExists: "
        ),
    ),
    (
        "aws:ec2/securityGroup:SecurityGroup",
        {"name": "taken", "description": "taken"},
        "creating EC2 Security Group (taken): CreateSecurityGroup: InvalidGroup.Duplicate: ",
    ),
    (
        "aws:rds/instance:Instance",
        {
            "identifier": "taken",
            "engine": "postgres",
            "instanceClass": "db.t4g.micro",
            "allocatedStorage": 20,
            "username": "hub",
            "manageMasterUserPassword": True,
            "skipFinalSnapshot": True,
        },
        "creating RDS DB Instance (taken): CreateDBInstance: DBInstanceAlreadyExists: ",
    ),
]


@pytest.mark.parametrize(
    ("kind", "inputs", "sentence"), TAKEN, ids=[kind.rpartition(":")[2] for kind, _, _ in TAKEN]
)
def test_a_name_that_is_taken_is_refused_in_the_words_of_aws(
    plugin: Plugin, kind: str, inputs: dict[str, Any], sentence: str
) -> None:
    made = plugin.create(kind, inputs)
    try:
        refused = refusal(lambda: plugin.create(kind, inputs))
        assert (refused.details() or "").startswith(sentence), refused.details()
    finally:
        plugin.delete(kind, made.id, made.properties)
        plugin.delete(kind, made.id, made.properties)  # what is gone is deleted


def test_names_that_the_emulator_would_give_twice_are_refused_as_aws_does(
    plugin: Plugin, cloud: CloudProcess
) -> None:
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    ids = [subnet["SubnetId"] for subnet in subnets]
    kind = "aws:rds/subnetGroup:SubnetGroup"
    made = plugin.create(kind, {"name": "taken", "subnetIds": ids})
    refused = refusal(lambda: plugin.create(kind, {"name": "taken", "subnetIds": ids}))
    assert "CreateDBSubnetGroup: DBSubnetGroupAlreadyExists" in (refused.details() or "")
    refused = refusal(lambda: plugin.create(kind, {"name": "narrow", "subnetIds": ids[:1]}))
    assert "DBSubnetGroupDoesNotCoverEnoughAZs" in (refused.details() or "")
    plugin.delete(kind, made.id, made.properties)

    kind = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    vpc = subnets[0]["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    inputs = {"subnetId": ids[0], "routeTableId": table}
    made = plugin.create(kind, inputs)
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "AssociateRouteTable: Resource.AlreadyAssociated" in (refused.details() or "")
    plugin.delete(kind, made.id, made.properties)
    ec2.delete_route_table(RouteTableId=table)


def test_a_creation_that_fails_half_way_reports_what_exists(
    plugin: Plugin, cloud: CloudProcess
) -> None:
    kind = "aws:ec2/securityGroup:SecurityGroup"
    nowhere = {"protocol": "tcp", "fromPort": 1, "toPort": 1, "securityGroups": ["sg-00000000"]}
    inputs = {"name": "half", "description": "half", "ingress": [nowhere]}
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "AuthorizeSecurityGroupIngress: InvalidGroup.NotFound" in (refused.details() or "")
    metadata = {entry.key: entry.value for entry in refused.trailing_metadata() or ()}
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    state, _ = decode(detail.properties)
    assert state["ingress"] == []
    (found,) = cloud.client("ec2").describe_security_groups(GroupIds=[detail.id])["SecurityGroups"]
    assert found["GroupName"] == "half"

    # the same inputs are then an update of what exists
    changes = plugin.diff(kind, state, {**inputs, "tagsAll": {}})
    assert list(changes.diffs) == ["ingress"]
    assert not changes.replaces
    plugin.delete(kind, detail.id, detail.properties)


def test_an_update_that_fails_half_way_reports_what_became_of_it(
    plugin: Plugin, cloud: CloudProcess
) -> None:
    kind = "aws:cloudwatch/logGroup:LogGroup"
    made = plugin.create(kind, {"name": "/half-way", "retentionInDays": 7})
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/none"
    news = encode({"name": "/half-way", "retentionInDays": 30, "kmsKeyId": key, "tagsAll": {}})
    request = provider_pb2.UpdateRequest(urn=urn(kind), id=made.id, olds=made.properties, news=news)
    refused = refusal(lambda: plugin.stub.Update(request, timeout=30))  # the emulator lacks keys
    assert "updating CloudWatch Logs Log Group (/half-way): AssociateKmsKey" in (
        refused.details() or ""
    )
    metadata = {entry.key: entry.value for entry in refused.trailing_metadata() or ()}
    detail = provider_pb2.ErrorResourceInitFailed()
    status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(detail)
    state, _ = decode(detail.properties)
    assert (state["retentionInDays"], state.get("kmsKeyId")) == (30, None)
    plugin.delete(kind, made.id, made.properties)


def test_a_preview_of_a_creation_calls_nothing(plugin: Plugin, cloud: CloudProcess) -> None:
    planned = plugin.create(
        "aws:s3/bucket:Bucket", {"bucket": "only-planned", "tags": {"a": "b"}}, preview=True
    )
    assert planned.id == ""
    outputs, _ = decode(planned.properties)
    assert outputs["arn"] is UNKNOWN
    assert (outputs["bucket"], outputs["region"]) == ("only-planned", REGION)
    assert outputs["tagsAll"] == {"a": "b"}
    assert "only-planned" not in [
        bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]
    ]


def test_a_name_nobody_gave_is_made_up_once_and_marked(plugin: Plugin) -> None:
    first, _ = decode(plugin.check("aws:s3/bucket:Bucket", {}).inputs)
    assert first["bucket"].startswith("one-")
    assert first["__defaults"] == ["bucket"]
    again = plugin.check("aws:s3/bucket:Bucket", {}, olds=encode(first))
    assert decode(again.inputs)[0] == first
    alias, _ = decode(plugin.check("aws:kms/alias:Alias", {"targetKeyId": "k"}).inputs)
    assert alias["name"].startswith("alias/one-")


def test_secret_inputs_come_back_secret(plugin: Plugin) -> None:
    kind = "aws:cloudwatch/logGroup:LogGroup"
    wrapped = encode({"name": "/secret-tag", "tags": {"token": "s3cret!"}}, {("tags", "token")})
    checked = plugin.stub.Check(provider_pb2.CheckRequest(urn=urn(kind), news=wrapped), timeout=30)
    made = plugin.stub.Create(
        provider_pb2.CreateRequest(urn=urn(kind), properties=checked.inputs), timeout=30
    )
    _, secrets = decode(made.properties)
    assert secrets == {("tags", "token"), ("tagsAll", "token")}
    read = plugin.stub.Read(
        provider_pb2.ReadRequest(
            urn=urn(kind), id=made.id, properties=made.properties, inputs=checked.inputs
        ),
        timeout=30,
    )
    for part in (read.properties, read.inputs):
        assert decode(part)[1] == {("tags", "token"), ("tagsAll", "token")}
    plugin.delete(kind, made.id, made.properties)


def test_secret_values_are_kept_out_of_messages(plugin: Plugin) -> None:
    kind = "aws:ssm/parameter:Parameter"
    inputs = {"name": "/ssm/forbidden", "type": "SecureString", "value": "/ssm/forbidden"}
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "PutParameter: ValidationException" in (refused.details() or "")
    assert "/ssm/forbidden" not in (refused.details() or "")


def test_what_was_deleted_reads_as_gone(plugin: Plugin, cloud: CloudProcess) -> None:
    for kind, identity in (
        ("aws:s3/bucket:Bucket", "no-such-bucket"),
        ("aws:s3/bucketPolicy:BucketPolicy", "no-such-bucket"),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "no-role/arn:aws:iam::aws:policy/X"),
        ("aws:ec2/vpc:Vpc", "vpc-00000000"),
        ("aws:rds/instance:Instance", "no-such-instance"),
        ("aws:dynamodb/table:Table", "no-such-table"),
    ):
        answer = plugin.stub.Read(provider_pb2.ReadRequest(urn=urn(kind), id=identity), timeout=30)
        assert answer.id == "", kind

    key = plugin.create("aws:kms/key:Key", {"deletionWindowInDays": 7})
    plugin.delete("aws:kms/key:Key", key.id, key.properties)
    state = cloud.client("kms").describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"
    request = provider_pb2.ReadRequest(urn=urn("aws:kms/key:Key"), id=key.id)
    assert plugin.stub.Read(request, timeout=30).id == ""


def test_a_secret_that_waits_for_its_end_keeps_its_name(plugin: Plugin) -> None:
    kind, inputs = "aws:secretsmanager/secret:Secret", {"name": "waiting"}
    made = plugin.create(kind, {**inputs, "recoveryWindowInDays": 7})
    plugin.delete(kind, made.id, made.properties)
    request = provider_pb2.ReadRequest(urn=urn(kind), id=made.id)
    assert plugin.stub.Read(request, timeout=30).id == ""
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "CreateSecret: InvalidRequestException" in (refused.details() or "")


# The provider's own arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"region": "nowhere"}, "region must be an AWS region, got 'nowhere'"),
        ({}, "region is required and missing"),
        ({"region": REGION, "insecure": "true"}, "insecure is no input"),
        (
            {"region": REGION, "endpoints": '[{"s3": "http://localhost"}]'},
            "endpoints is refused: the environment names it",
        ),
        (
            {"region": REGION, "allowedAccountIds": '["12"]'},
            "allowedAccountIds[0] must be an account id of 12 digits",
        ),
        ({"region": REGION, "accessKey": "a"}, "secretKey and accessKey go together"),
        (
            {"region": REGION, "assumeRoles": '[{"roleArn": "admin"}]'},
            "assumeRoles[0].roleArn must be the ARN of a role",
        ),
        (
            {"region": REGION, "defaultTags": '{"tags": {"a": 1}}'},
            "defaultTags.tags.a must be a string, got integer",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    plugin: Plugin, arguments: dict[str, Any], sentence: str
) -> None:
    request = provider_pb2.CheckRequest(
        urn=urn("pulumi:providers:aws"), news=encode({"version": sdk_version(), **arguments})
    )
    failures = plugin.stub.CheckConfig(request, timeout=10).failures
    assert failures[0].reason.startswith(sentence)


def test_another_region_or_account_is_another_provider(plugin: Plugin) -> None:
    moved = plugin.diff_config(CONFIG, {**CONFIG, "region": "eu-central-1"})
    assert list(moved.replaces) == ["region"]
    other = {**CONFIG, "allowedAccountIds": json.dumps([OTHER_ACCOUNT])}
    assert list(plugin.diff_config(CONFIG, other).replaces) == ["allowedAccountIds"]
    role = {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}])}
    elsewhere = {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{OTHER_ACCOUNT}:role/a"}])}
    assert list(plugin.diff_config({**CONFIG, **role}, {**CONFIG, **elsewhere}).replaces) == [
        "assumeRoles"
    ]


def test_default_tags_and_credentials_are_an_update_of_the_provider(plugin: Plugin) -> None:
    for more in (
        {"defaultTags": json.dumps({"tags": {"a": "b"}})},
        {"accessKey": "a", "secretKey": "b"},
        {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}])},
    ):
        changed = plugin.diff_config(CONFIG, {**CONFIG, **more})
        assert set(changed.diffs) == more.keys()
        assert not changed.replaces
    same = plugin.diff_config(CONFIG, {**CONFIG, "skipCredentialsValidation": "false"})
    assert not same.diffs


def test_a_wrong_account_is_refused_before_anything_is_done(
    cloud: CloudProcess, tmp_path: Path
) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        wrong = {"region": REGION, "allowedAccountIds": json.dumps([OTHER_ACCOUNT])}
        refused = refusal(lambda: fresh.configure(**wrong))
        told = f"the AWS account {ACCOUNT} is not allowed by the provider"
        assert refused.details() == f"configuring the AWS provider: {told}"
        refused = refusal(lambda: fresh.create("aws:s3/bucket:Bucket", {"bucket": "elsewhere"}))
        assert refused.details() == "the AWS provider has not been configured"


def test_the_role_that_is_given_is_assumed(cloud: CloudProcess, tmp_path: Path) -> None:
    role = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/vendor", "externalId": "42"}
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.configure(**CONFIG, assumeRoles=json.dumps([{**role, "duration": "30m"}]))
        request = provider_pb2.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity")
        answer = fresh.stub.Invoke(request, timeout=30)
        caller, _ = decode(getattr(answer, "return"))
        assert caller["arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/vendor/")


def test_an_api_that_does_not_answer_is_named(tmp_path: Path) -> None:
    environment = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with started(tmp_path, environment) as fresh:
        refused = refusal(lambda: fresh.configure(**CONFIG))
        assert "GetCallerIdentity: the AWS API cannot be reached" in (refused.details() or "")


# Its end


def test_it_ends_when_asked(cloud: CloudProcess, tmp_path: Path) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.process.terminate()
        assert fresh.process.wait(timeout=10) == 0


def test_it_stays_small(cloud: CloudProcess, tmp_path: Path) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.configure(**CONFIG)
        made = fresh.create("aws:s3/bucket:Bucket", {"bucket": "small-one"})
        fresh.delete("aws:s3/bucket:Bucket", made.id, made.properties)
        status = Path(f"/proc/{fresh.process.pid}/status")
        if not status.exists():
            pytest.skip("memory is read from /proc, which this system does not have")
        resident_kb = int(status.read_text().split("VmRSS:")[1].split()[0])
        assert resident_kb < 80 * 1024


def test_it_ends_with_its_parent(cloud: CloudProcess, tmp_path: Path) -> None:
    launcher = write_plugin(tmp_path)
    script = f"'{launcher}' & echo $!; wait"
    parent = subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, env={**os.environ, **keys(cloud)}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert int(parent.stdout.readline()) > 0  # its port
    parent.kill()
    parent.wait(timeout=10)
    assert ended(pid, within_seconds=10)
    parent.stdout.close()
