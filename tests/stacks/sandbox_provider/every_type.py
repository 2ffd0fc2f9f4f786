"""A program with one resource at least of every type of the sandbox provider."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws

REGION = "eu-west-1"
ACCOUNT = "123456789012"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: list[str], resources: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def trust(service: str) -> str:
    principal = {"Service": [service]}
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def keys() -> aws.kms.Key:
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    key = aws.kms.Key(
        "key",
        description="key of everything",
        enable_key_rotation=True,
        rotation_period_in_days=180,
        deletion_window_in_days=7,
        policy=document(allow(["kms:*"], ["*"], Principal=root)),
        tags={"Name": "key"},
    )
    aws.kms.Alias("alias", name="alias/every-type", target_key_id=key.key_id)
    return key


def buckets(key: aws.kms.Key) -> aws.s3.Bucket:
    data = aws.s3.Bucket("data", bucket="every-type-data", tags={"Name": "data"})
    logs = aws.s3.Bucket("logs", bucket="every-type-logs", force_destroy=True)
    aws.s3.BucketVersioning(
        "versions", bucket=data.id, versioning_configuration={"status": "Enabled"}
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        "encryption",
        bucket=data.id,
        rules=[
            {
                "apply_server_side_encryption_by_default": {
                    "sse_algorithm": "aws:kms",
                    "kms_master_key_id": key.arn,
                },
                "bucket_key_enabled": True,
            }
        ],
    )
    closed = aws.s3.BucketPublicAccessBlock(
        "closed",
        bucket=data.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    tls_only = data.arn.apply(
        lambda arn: document(
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        )
    )
    aws.s3.BucketPolicy(
        "tls", bucket=data.id, policy=tls_only, opts=pulumi.ResourceOptions(depends_on=[closed])
    )
    aws.s3.BucketOwnershipControls(
        "owner", bucket=data.id, rule={"object_ownership": "BucketOwnerEnforced"}
    )
    aws.s3.BucketLifecycleConfiguration(
        "lifecycle",
        bucket=data.id,
        rules=[
            {
                "id": "old-versions",
                "status": "Enabled",
                "filter": {},
                "noncurrent_version_expiration": {"noncurrent_days": 90},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            },
            {
                "id": "cheap",
                "status": "Enabled",
                "filter": {"and_": {"prefix": "archive/", "tags": {"cold": "yes", "a": "b"}}},
                "transitions": [{"days": 30, "storage_class": "STANDARD_IA"}],
                "expiration": {"days": 400},
            },
        ],
    )
    delivery = logs.arn.apply(
        lambda arn: document(
            allow(
                ["s3:PutObject"],
                f"{arn}/*",  # the emulator takes no list here
                Principal={"Service": "logging.s3.amazonaws.com"},
            )
        )
    )
    may_deliver = aws.s3.BucketPolicy("delivery", bucket=logs.id, policy=delivery)
    aws.s3.BucketLogging(
        "access-log",
        bucket=data.id,
        target_bucket=logs.id,
        target_prefix="data/",
        opts=pulumi.ResourceOptions(depends_on=[may_deliver]),
    )
    return data


def network() -> tuple[aws.ec2.Vpc, list[aws.ec2.Subnet], aws.ec2.SecurityGroup]:
    vpc = aws.ec2.Vpc(
        "vpc",
        cidr_block="10.20.0.0/16",
        enable_dns_hostnames=True,
        enable_dns_support=True,
        tags={"Name": "vpc"},
    )
    aws.ec2.DefaultSecurityGroup("nobody", vpc_id=vpc.id, tags={"Name": "nobody"})
    table = aws.ec2.RouteTable("table", vpc_id=vpc.id, tags={"Name": "table"})
    subnets = []
    for index, zone in enumerate("ab"):
        subnet = aws.ec2.Subnet(
            f"subnet-{zone}",
            vpc_id=vpc.id,
            cidr_block=f"10.20.{index}.0/24",
            availability_zone=f"{REGION}{zone}",
            tags={"Name": zone},
        )
        aws.ec2.RouteTableAssociation(f"use-{zone}", subnet_id=subnet.id, route_table_id=table.id)
        subnets.append(subnet)
    inline = aws.ec2.SecurityGroup(
        "inline",
        name="every-type-inline",
        description="rules inside",
        vpc_id=vpc.id,
        ingress=[
            {
                "protocol": "tcp",
                "from_port": 443,
                "to_port": 443,
                "cidr_blocks": ["10.20.0.0/16"],
                "description": "https",
            },
            {"protocol": "tcp", "from_port": 8080, "to_port": 8080, "self": True},
        ],
        egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}],
    )
    group = aws.ec2.SecurityGroup(
        "group", name="every-type-group", description="rules outside", vpc_id=vpc.id
    )
    aws.vpc.SecurityGroupIngressRule(
        "in",
        security_group_id=group.id,
        ip_protocol="tcp",
        from_port=5432,
        to_port=5432,
        referenced_security_group_id=inline.id,
        description="from the application",
        tags={"Name": "in"},
    )
    aws.vpc.SecurityGroupEgressRule(
        "out", security_group_id=group.id, ip_protocol="-1", cidr_ipv4="10.20.0.0/16"
    )
    aws.ec2.VpcEndpoint(
        "to-s3",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{REGION}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.id],
        policy=document(allow(["s3:*"], ["*"], Principal="*")),
        tags={"Name": "to-s3"},
    )
    aws.ec2.VpcEndpoint(
        "to-kms",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{REGION}.kms",
        vpc_endpoint_type="Interface",
        subnet_ids=[subnet.id for subnet in subnets],
        security_group_ids=[group.id],
        private_dns_enabled=True,
    )
    return vpc, subnets, group


def identities() -> aws.iam.Role:
    role = aws.iam.Role(
        "role",
        name="every-type-role",
        description="a role",
        assume_role_policy=trust("ecs-tasks.amazonaws.com"),
        permissions_boundary=f"arn:aws:iam::{ACCOUNT}:policy/boundary",
        tags={"Name": "role"},
    )
    aws.iam.RolePolicy(
        "inside",
        name="inside",
        role=role.id,
        policy=document(allow(["s3:GetObject"], ["arn:aws:s3:::every-type-data/*"])),
    )
    policy = aws.iam.Policy(
        "policy",
        name="every-type-policy",
        description="a policy",
        policy=document(allow(["sqs:SendMessage"], ["*"])),
        tags={"Name": "policy"},
    )
    aws.iam.RolePolicyAttachment("attached", role=role.name, policy_arn=policy.arn)
    return role


def database(key: aws.kms.Key, subnets: list[aws.ec2.Subnet], group: aws.ec2.SecurityGroup) -> None:
    places = aws.rds.SubnetGroup(
        "places",
        name="every-type-places",
        description="where it lives",
        subnet_ids=[subnet.id for subnet in subnets],
        tags={"Name": "places"},
    )
    settings = aws.rds.ParameterGroup(
        "settings",
        name="every-type-settings",
        family="postgres16",
        parameters=[
            {"name": "rds.force_ssl", "value": "1"},
            {"name": "max_connections", "value": "200", "apply_method": "pending-reboot"},
        ],
        tags={"Name": "settings"},
    )
    aws.rds.Instance(
        "database",
        identifier="every-type-database",
        engine="postgres",
        engine_version="16.4",
        instance_class="db.t4g.micro",
        allocated_storage=20,
        storage_type="gp3",
        storage_encrypted=True,
        kms_key_id=key.arn,
        db_name="hub",
        username="hub",
        manage_master_user_password=True,
        master_user_secret_kms_key_id=key.arn,
        db_subnet_group_name=places.name,
        vpc_security_group_ids=[group.id],
        parameter_group_name=settings.name,
        backup_retention_period=7,
        copy_tags_to_snapshot=True,
        skip_final_snapshot=True,
        tags={"Name": "database"},
    )
    aws.rds.Instance(
        "second",
        identifier="every-type-second",
        engine="postgres",
        engine_version="16",
        instance_class="db.t4g.micro",
        allocated_storage=20,
        username="hub",
        password=pulumi.Output.secret("correct-horse-1"),
        db_subnet_group_name=places.name,
        skip_final_snapshot=True,
    )


def tables(key: aws.kms.Key) -> None:
    aws.dynamodb.Table(
        "records",
        name="every-type-records",
        billing_mode="PAY_PER_REQUEST",
        hash_key="tenant",
        range_key="record",
        attributes=[
            {"name": "tenant", "type": "S"},
            {"name": "record", "type": "S"},
            {"name": "kind", "type": "S"},
        ],
        global_secondary_indexes=[
            {"name": "by-kind", "hash_key": "kind", "range_key": "record", "projection_type": "ALL"}
        ],
        ttl={"attribute_name": "expires", "enabled": True},
        point_in_time_recovery={"enabled": True},
        server_side_encryption={"enabled": True, "kms_key_arn": key.arn},
        stream_enabled=True,
        stream_view_type="NEW_AND_OLD_IMAGES",
        tags={"Name": "records"},
    )
    aws.dynamodb.Table(
        "counters",
        name="every-type-counters",
        hash_key="id",
        read_capacity=2,
        write_capacity=1,
        attributes=[{"name": "id", "type": "N"}],
    )


def observation(key: aws.kms.Key, vpc: aws.ec2.Vpc, role: aws.iam.Role) -> None:
    logs = aws.cloudwatch.LogGroup(
        "log",
        name="/every-type/log",
        retention_in_days=30,
        kms_key_id=key.arn,
        tags={"Name": "log"},
    )
    aws.ec2.FlowLog(
        "flow",
        vpc_id=vpc.id,
        traffic_type="ALL",
        log_destination=logs.arn,
        iam_role_arn=role.arn,
        max_aggregation_interval=60,
        tags={"Name": "flow"},
    )
    aws.cloudwatch.MetricAlarm(
        "alarm",
        name="every-type-alarm",
        alarm_description="too many errors",
        comparison_operator="GreaterThanThreshold",
        evaluation_periods=2,
        metric_name="Errors",
        namespace="AWS/Lambda",
        period=60,
        statistic="Sum",
        threshold=1.5,
        treat_missing_data="notBreaching",
        dimensions={"FunctionName": "hub"},
        tags={"Name": "alarm"},
    )


def secrets(key: aws.kms.Key, role: aws.iam.Role) -> None:
    aws.secretsmanager.Secret(
        "shell",
        name="every-type/shell",
        description="a secret without a value",
        kms_key_id=key.arn,
        recovery_window_in_days=0,
        policy=role.arn.apply(
            lambda arn: document(
                allow(["secretsmanager:GetSecretValue"], ["*"], Principal={"AWS": arn})
            )
        ),
        tags={"Name": "shell"},
    )
    aws.ssm.Parameter(
        "plain",
        name="/every-type/plain",
        type="String",
        value="visible-value",
        tags={"Name": "plain"},
    )
    aws.ssm.Parameter(
        "hidden",
        name="/every-type/hidden",
        type="SecureString",
        value=pulumi.Output.secret("hunter2-hidden"),
        key_id=key.arn,
    )


def program() -> None:
    """Register all of it."""
    key = keys()
    data = buckets(key)
    vpc, subnets, group = network()
    role = identities()
    database(key, subnets, group)
    tables(key)
    observation(key, vpc, role)
    secrets(key, role)
    pulumi.export("bucket", data.bucket)
