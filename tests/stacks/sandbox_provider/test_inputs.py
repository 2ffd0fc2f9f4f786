"""Wrong inputs and taken names are refused in words that name them; a missing name is made up."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.sandbox.provider.wire import decode, encode
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider.plugin_process import (
    READ_ALL,
    TRUST,
    Plugin,
    refusal,
)

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
        "forcedestroy is not a known input of the sandbox provider; did you mean forceDestroy?",
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
        "versioningConfiguration.state is not a known input",
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
        "outpostArn is not a known input",
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


def test_a_name_nobody_gave_is_made_up_once_and_marked(plugin: Plugin) -> None:
    first, _ = decode(plugin.check("aws:s3/bucket:Bucket", {}).inputs)
    assert first["bucket"].startswith("one-")
    assert first["__defaults"] == ["bucket"]
    again = plugin.check("aws:s3/bucket:Bucket", {}, olds=encode(first))
    assert decode(again.inputs)[0] == first
    alias, _ = decode(plugin.check("aws:kms/alias:Alias", {"targetKeyId": "k"}).inputs)
    assert alias["name"].startswith("alias/one-")
