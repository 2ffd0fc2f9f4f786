"""Changes that somebody makes in the cloud past every engine, and takes back; for tests only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Client = Callable[[str], Any]  # service -> a boto3 client
Resource = Mapping[str, Any]  # of a state: id, inputs, outputs
Undo = Callable[[], object]

_TAG = {"Key": "byHand", "Value": "yes"}
_DENY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "sqs:SendMessage", "Resource": "*"}],
    }
)


@contextmanager
def changed(client: Client, resource: Resource) -> Iterator[str]:
    """Change a resource; gives the property in which it differs meanwhile."""
    name, change = CHANGES[resource["type"]]
    undo = change(client, resource)
    try:
        yield name
    finally:
        undo()


def _ec2_tag(client: Client, resource: Resource) -> Undo:
    ec2, ids = client("ec2"), [resource["id"]]
    ec2.create_tags(Resources=ids, Tags=[_TAG])
    return lambda: ec2.delete_tags(Resources=ids, Tags=[{"Key": _TAG["Key"]}])


def _rds_tag(client: Client, resource: Resource) -> Undo:
    rds, arn = client("rds"), resource["outputs"]["arn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[_TAG])
    return lambda: rds.remove_tags_from_resource(ResourceName=arn, TagKeys=[_TAG["Key"]])


def _secret_tag(client: Client, resource: Resource) -> Undo:
    secrets = client("secretsmanager")
    secrets.tag_resource(SecretId=resource["id"], Tags=[_TAG])
    return lambda: secrets.untag_resource(SecretId=resource["id"], TagKeys=[_TAG["Key"]])


def _bucket_tag(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["id"]
    before = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [*before, _TAG]})
    return lambda: s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": before})


def _log_days(client: Client, resource: Resource) -> Undo:
    logs, name = client("logs"), resource["id"]
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    days = resource["inputs"]["retentionInDays"]
    return lambda: logs.put_retention_policy(logGroupName=name, retentionInDays=days)


def _silent_alarm(client: Client, resource: Resource) -> Undo:
    cloudwatch, names = client("cloudwatch"), [resource["id"]]
    cloudwatch.disable_alarm_actions(AlarmNames=names)
    return lambda: cloudwatch.enable_alarm_actions(AlarmNames=names)


def _unprotected_table(client: Client, resource: Resource) -> Undo:
    dynamodb, name = client("dynamodb"), resource["id"]
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    return lambda: dynamodb.update_table(TableName=name, DeletionProtectionEnabled=True)


def _no_dns_names(client: Client, resource: Resource) -> Undo:
    ec2, vpc = client("ec2"), resource["id"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    return lambda: ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})


def _public_subnet(client: Client, resource: Resource) -> Undo:
    ec2, subnet = client("ec2"), resource["id"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    return lambda: ec2.modify_subnet_attribute(
        SubnetId=subnet, MapPublicIpOnLaunch={"Value": False}
    )


def _other_policy(client: Client, resource: Resource) -> Undo:
    iam, arn = client("iam"), resource["id"]
    before = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=_DENY, SetAsDefault=True)

    def undo() -> None:
        iam.set_default_policy_version(PolicyArn=arn, VersionId=before)
        made = version["PolicyVersion"]["VersionId"]
        iam.delete_policy_version(PolicyArn=arn, VersionId=made)

    return undo


def _other_inline_policy(client: Client, resource: Resource) -> Undo:
    iam, inputs = client("iam"), resource["inputs"]
    named = {"RoleName": inputs["role"], "PolicyName": inputs["name"]}
    iam.put_role_policy(**named, PolicyDocument=_DENY)
    return lambda: iam.put_role_policy(**named, PolicyDocument=inputs["policy"])


def _described_role(client: Client, resource: Resource) -> Undo:
    iam, inputs = client("iam"), resource["inputs"]
    iam.update_role(RoleName=inputs["name"], Description="by hand")
    return lambda: iam.update_role(RoleName=inputs["name"], Description=inputs["description"])


def _no_rotation(client: Client, resource: Resource) -> Undo:
    kms, key = client("kms"), resource["id"]
    kms.disable_key_rotation(KeyId=key)
    return lambda: kms.enable_key_rotation(KeyId=key)


def _few_backups(client: Client, resource: Resource) -> Undo:
    rds, inputs = client("rds"), resource["inputs"]

    def keep(days: int) -> None:
        rds.modify_db_instance(
            DBInstanceIdentifier=inputs["identifier"],
            BackupRetentionPeriod=days,
            ApplyImmediately=True,
        )

    keep(1)
    return lambda: keep(inputs["backupRetentionPeriod"])


def _public_bucket(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]

    def block(*, policies: bool) -> None:
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "BlockPublicPolicy": policies,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        )

    block(policies=False)
    return lambda: block(policies=True)


def _other_table(client: Client, resource: Resource) -> Undo:
    """Detach a subnet from its route table; what the resource is, is gone then."""
    ec2, inputs = client("ec2"), resource["inputs"]
    ec2.disassociate_route_table(AssociationId=resource["id"])

    def undo() -> None:
        ec2.associate_route_table(RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"])

    return undo


def _other_target(client: Client, resource: Resource) -> Undo:
    kms, alias = client("kms"), resource["inputs"]["name"]
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=key)

    def undo() -> None:
        kms.update_alias(AliasName=alias, TargetKeyId=resource["inputs"]["targetKeyId"])
        kms.schedule_key_deletion(KeyId=key)

    return undo


def _no_lifecycle(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]
    before = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    rules = [{**rule, "Status": "Disabled"} for rule in before]
    put = s3.put_bucket_lifecycle_configuration
    put(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    return lambda: put(Bucket=bucket, LifecycleConfiguration={"Rules": before})


def _not_logged(client: Client, resource: Resource) -> Undo:
    """Turn the access log off; what the resource is, is gone then."""
    s3, bucket = client("s3"), resource["inputs"]["bucket"]
    before = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    return lambda: s3.put_bucket_logging(
        Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": before}
    )


def _other_ownership(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]

    def put(ownership: str) -> None:
        rules = {"Rules": [{"ObjectOwnership": ownership}]}
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)

    put("ObjectWriter")
    return lambda: put(resource["inputs"]["rule"]["objectOwnership"])


def _open_bucket(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]
    before = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    document = json.loads(before)
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject",
                 "Resource": f"arn:aws:s3:::{bucket}/*"}  # fmt: skip
    document["Statement"] = [*document["Statement"], statement]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    return lambda: s3.put_bucket_policy(Bucket=bucket, Policy=before)


def _other_cipher(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]
    before = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    (rule,) = before["Rules"]
    now = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
    other = {"SSEAlgorithm": "AES256" if now != "AES256" else "aws:kms"}

    def put(rules: list[Any]) -> None:
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})

    put([{"ApplyServerSideEncryptionByDefault": other}])
    return lambda: put(before["Rules"])


def _no_versions(client: Client, resource: Resource) -> Undo:
    s3, bucket = client("s3"), resource["inputs"]["bucket"]

    def put(status: str) -> None:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    put("Suspended")
    return lambda: put("Enabled")


def _other_value(client: Client, resource: Resource) -> Undo:
    ssm, name = client("ssm"), resource["inputs"]["name"]
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]

    def put(value: str) -> None:
        ssm.put_parameter(Name=name, Value=value, Overwrite=True)

    put("by hand")
    return lambda: put(before)


# type -> the property that differs then, empty where it is gone, and what changes it
CHANGES: Mapping[str, tuple[str, Callable[[Client, Resource], Undo]]] = {
    "aws:cloudwatch/logGroup:LogGroup": ("retentionInDays", _log_days),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("actionsEnabled", _silent_alarm),
    "aws:dynamodb/table:Table": ("deletionProtectionEnabled", _unprotected_table),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": ("tags", _ec2_tag),
    "aws:ec2/flowLog:FlowLog": ("tags", _ec2_tag),
    "aws:ec2/routeTable:RouteTable": ("tags", _ec2_tag),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("", _other_table),
    "aws:ec2/securityGroup:SecurityGroup": ("tags", _ec2_tag),
    "aws:ec2/subnet:Subnet": ("mapPublicIpOnLaunch", _public_subnet),
    "aws:ec2/vpc:Vpc": ("enableDnsHostnames", _no_dns_names),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("tags", _ec2_tag),
    "aws:iam/policy:Policy": ("policy", _other_policy),
    "aws:iam/role:Role": ("description", _described_role),
    "aws:iam/rolePolicy:RolePolicy": ("policy", _other_inline_policy),
    "aws:kms/alias:Alias": ("targetKeyId", _other_target),
    "aws:kms/key:Key": ("enableKeyRotation", _no_rotation),
    "aws:rds/instance:Instance": ("backupRetentionPeriod", _few_backups),
    "aws:rds/parameterGroup:ParameterGroup": ("tags", _rds_tag),
    "aws:rds/subnetGroup:SubnetGroup": ("tags", _rds_tag),  # moto fails to modify one
    "aws:s3/bucket:Bucket": ("tags", _bucket_tag),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": ("rules", _no_lifecycle),
    "aws:s3/bucketLogging:BucketLogging": ("", _not_logged),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": ("rule", _other_ownership),
    "aws:s3/bucketPolicy:BucketPolicy": ("policy", _open_bucket),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": ("blockPublicPolicy", _public_bucket),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "rules",
        _other_cipher,
    ),
    "aws:s3/bucketVersioning:BucketVersioning": ("versioningConfiguration", _no_versions),
    "aws:secretsmanager/secret:Secret": ("tags", _secret_tag),
    "aws:ssm/parameter:Parameter": ("insecureValue", _other_value),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": ("tags", _ec2_tag),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ("tags", _ec2_tag),
}
