"""The shared Hub of one region and cell: what all its slices have in common.

Nothing here knows a tenant. What separates the slices is in each slice (``slice.py``); the Hub adds
a ceiling for their roles and refuses what would undo the separation, such as an object in a
tenant's prefix that is not encrypted by KMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from stacks.components.documents import EVERYBODY, Statement, document, statement
from stacks.components.flow_log import FlowLog, FlowLogConfig
from stacks.components.hub_version import hub_version
from stacks.components.keys import KEY_USE, Key, KeyConfig, account_decides, logs_key_policy
from stacks.components.log_groups import LogGroups, LogGroupsConfig
from stacks.components.naming import Names, bucket_arn, names_of
from stacks.components.private_network import PrivateNetwork, PrivateNetworkConfig
from stacks.components.roles import Boundary, BoundaryConfig, never_rights
from stacks.components.statements import (
    ITEM_ACTIONS,
    LOG_ACTIONS,
    OBJECT_ACTIONS,
    PARAMETER_ACTIONS,
    SECRET_ACTIONS,
)
from stacks.components.storage import Storage, StorageConfig
from stacks.components.tags import DataClass
from stacks.spec import HubSpec

TENANT_PREFIX = "tenants/"


def build(spec: HubSpec, provider: aws.Provider) -> Mapping[str, pulumi.Input[Any]]:
    """Register the shared Hub; return the fields of ``spec.HubOutputs``."""
    names = names_of(spec)
    opts = pulumi.ResourceOptions(providers=[provider])
    data_key = Key(
        "data",
        KeyConfig(
            names=names,
            purpose="data",
            data_class=DataClass.CUSTOMER,
            policy=data_key_policy(names),
            deletion_days=spec.retention.key_deletion_days,
            protection=spec.protection,
        ),
        opts,
    )
    logs_key = Key(
        "logs",
        KeyConfig(
            names=names,
            purpose="logs",
            data_class=DataClass.OPERATIONAL,
            policy=logs_key_policy(names),
            deletion_days=spec.retention.key_deletion_days,
            protection=spec.protection,
        ),
        opts,
    )
    boundary = Boundary(
        "boundary",
        BoundaryConfig(
            names=names,
            description="Ceiling of every role of this Hub and of its slices.",
            policy=document(*boundary_statements(names)),
        ),
        opts,
    )
    network = PrivateNetwork(
        "network", PrivateNetworkConfig(names=names, network=spec.network), opts
    )
    log_groups = LogGroups(
        "log-groups",
        LogGroupsConfig(
            groups={"app": f"{names.path}/app", "flow": f"{names.path}/flow"},
            key_arn=logs_key.arn,
            days=spec.retention.log_days,
        ),
        opts,
    )
    FlowLog(
        "flow",
        FlowLogConfig(
            names=names,
            vpc_id=network.vpc_id,
            log_group=f"{names.path}/flow",
            log_group_arn=log_groups.arns["flow"],
            boundary=boundary,
        ),
        opts,
    )
    storage = Storage(
        "storage",
        StorageConfig(
            names=names,
            retention=spec.retention,
            data_key_arn=data_key.arn,
            protection=spec.protection,
            data_statements=[kms_only(names.bucket("data"))],
        ),
        opts,
    )
    hub_version(names, spec.version, opts)
    return {
        "vpc_id": network.vpc_id,
        "private_subnet_ids": list(network.subnet_ids),
        "app_security_group_id": network.app_group_id,
        "data_bucket": storage.data_bucket,
        "data_bucket_arn": bucket_arn(storage.data_bucket),
        "table_name": storage.table,
        "table_arn": names.arn("dynamodb", f"table/{storage.table}"),
        "data_key_arn": data_key.arn,
        "logs_key_arn": logs_key.arn,
        "boundary_arn": boundary.arn,
        "log_group_prefix": names.path,
    }


def data_key_policy(names: Names) -> str:
    """Return the policy of the Hub's key for data.

    Who may read an item may have the table opened for it, and the key is of no other use to a
    slice: no identity policy of one names it. It is the rule of the key that AWS keeps for
    DynamoDB (DynamoDB developer guide, "Encryption at rest: usage notes"), bound to this table.
    """
    return document(
        account_decides(names),
        statement(
            "TableThroughDynamoDb",
            ["kms:Decrypt", "kms:DescribeKey"],
            ["*"],
            principal=EVERYBODY,
            condition={
                "StringEquals": {
                    "kms:CallerAccount": names.account_id,
                    "kms:ViaService": f"dynamodb.{names.region}.amazonaws.com",
                    "kms:EncryptionContext:aws:dynamodb:tableName": names.of("hub"),
                }
            },
        ),
    )


def kms_only(bucket: str) -> Statement:
    """Return the statement that refuses an object which asks for another encryption than KMS.

    An object that asks for none gets the bucket's; a slice may not use that key, so its objects
    are under its own key or are not written.
    """
    header = "s3:x-amz-server-side-encryption"
    return statement(
        "KmsOnly",
        ["s3:PutObject"],
        [f"{bucket_arn(bucket)}/*"],
        effect="Deny",
        principal=EVERYBODY,
        condition={"StringNotEquals": {header: "aws:kms"}, "Null": {header: "false"}},
    )


def boundary_statements(names: Names) -> tuple[Statement, ...]:
    """Return the most that any role of this Hub may do.

    Keys and secrets of the slices carry the tag of their mode: those of a dedicated Hub that
    shares the account do not.
    """
    bucket = bucket_arn(names.bucket("data"))
    mode_a: Mapping[str, Mapping[str, str | list[str]]] = {
        "StringEquals": {"aws:ResourceTag/tenantplane:mode": "A"}
    }
    return (
        statement("Objects", OBJECT_ACTIONS, [f"{bucket}/{TENANT_PREFIX}*"]),
        statement(
            "ListObjects",
            ["s3:ListBucket"],
            [bucket],
            condition={"StringLike": {"s3:prefix": [f"{TENANT_PREFIX}*"]}},
        ),
        statement("Items", ITEM_ACTIONS, [names.arn("dynamodb", f"table/{names.of('hub')}")]),
        statement("Keys", KEY_USE, [names.arn("kms", "key/*")], condition=mode_a),
        statement(
            "Secrets", SECRET_ACTIONS, [names.arn("secretsmanager", "secret:*")], condition=mode_a
        ),
        statement("Parameters", PARAMETER_ACTIONS, [names.arn("ssm", "parameter/tenantplane/*")]),
        statement("Logs", LOG_ACTIONS, [names.log_group_arn(f"{names.path}/*")]),
        statement("FindLogGroups", ["logs:DescribeLogGroups"], [names.log_group_arn("*")]),
        *never_rights(names),
    )
