"""One tenant's slice of a shared Hub: own identity, own key, own data prefix, own secrets.

Two locks on each door. The role reaches only what carries the slice's name: its prefix of the
bucket, its leading keys of the table, its key, secrets, parameters and log group. And the key of
the slice serves its role alone: anyone else who gets at an object or a secret cannot read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from stacks.components.directory import Directory, DirectoryConfig
from stacks.components.documents import Statement, document, service_trust, statement
from stacks.components.freezing import deny_writes
from stacks.components.keys import KEY_USE, Key, KeyConfig
from stacks.components.log_groups import LogGroups, LogGroupsConfig
from stacks.components.naming import Names, names_of
from stacks.components.roles import Role, RoleConfig
from stacks.components.secret_shells import SecretShells, SecretShellsConfig
from stacks.components.statements import (
    ITEM_ACTIONS,
    LOG_ACTIONS,
    OBJECT_ACTIONS,
    PARAMETER_ACTIONS,
    SECRET_ACTIONS,
)
from stacks.components.tags import DataClass
from stacks.spec import SharedHub, SliceSpec

# everything but use: who administers the account does not thereby read the tenant's data
_KEY_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What belongs to one slice, in names that are known before it exists."""

    names: Names
    hub: SharedHub

    @property
    def prefix(self) -> str:
        """The slice's part of the Hub's bucket."""
        return f"tenants/{self.names.short}/"

    @property
    def log_group(self) -> str:
        """The slice's log group; it lies below those that the Hub's key for logs serves."""
        return f"{self.hub.log_group_prefix}/tenants/{self.names.short}/app"

    @property
    def role(self) -> str:
        """Name of the role of the tenant's application."""
        return self.names.of("app")


def build(spec: SliceSpec, provider: aws.Provider) -> Mapping[str, pulumi.Input[Any]]:
    """Register the slice; return what the application needs to find its tenant."""
    part = Slice(names=names_of(spec), hub=spec.hub)
    names = part.names
    opts = pulumi.ResourceOptions(providers=[provider])
    key = Key(
        "data",
        KeyConfig(
            names=names,
            purpose="data",
            data_class=DataClass.CUSTOMER,
            policy=document(*key_statements(part), *transfer_statements(spec, names)),
            deletion_days=spec.retention.key_deletion_days,
            protection=spec.protection,
        ),
        opts,
    )
    role = Role(
        "app",
        RoleConfig(
            names=names,
            what="app",
            description="The application's tasks of one tenant.",
            trust=service_trust(
                "ecs-tasks.amazonaws.com",
                account_id=names.account_id,
                source_arn=names.arn("ecs", "*"),
            ),
            policy=document(*role_statements(part)),
            boundary_arn=spec.hub.boundary_arn,
        ),
        opts,
    )
    if spec.transfer is not None and spec.transfer.frozen:
        deny_writes(role, provider)
    shells = SecretShells(
        "secrets",
        SecretShellsConfig(names=names, key_arn=key.arn, protection=spec.protection),
        opts,
    )
    LogGroups(
        "log-groups",
        LogGroupsConfig(
            groups={"app": part.log_group},
            key_arn=spec.hub.logs_key_arn,
            days=spec.retention.log_days,
        ),
        opts,
    )
    Directory(
        "directory",
        DirectoryConfig(
            names=names,
            entries={
                "data-bucket": spec.hub.data_bucket,
                "data-prefix": part.prefix,
                "table": spec.hub.table_name,
                "leading-key": names.short,
                "key-arn": key.arn,
                "log-group": part.log_group,
            },
        ),
        opts,
    )
    return {
        "hub_id": spec.hub.hub_id,
        "region": spec.region,
        "app_role_arn": role.arn,
        "data_bucket": spec.hub.data_bucket,
        "data_prefix": part.prefix,
        "table_name": spec.hub.table_name,
        "leading_key": names.short,
        "data_key_arn": key.arn,
        "data_key_alias": key.alias,
        "secret_names": dict(shells.names),
        "secret_arns": dict(shells.arns),
        "app_log_group": part.log_group,
        "parameter_path": names.path,
    }


def role_statements(part: Slice) -> tuple[Statement, ...]:
    """Return what the application of the tenant may do: everything it names carries ``short``.

    ``dynamodb:LeadingKeys`` is absent from requests that name no partition key, and
    ``ForAllValues`` is then true, hence the test for presence (IAM user guide, multivalued keys).
    """
    names, hub = part.names, part.hub
    return (
        statement("Objects", OBJECT_ACTIONS, [f"{hub.data_bucket_arn}/{part.prefix}*"]),
        statement(
            "ListObjects",
            ["s3:ListBucket"],
            [hub.data_bucket_arn],
            condition={"StringLike": {"s3:prefix": [f"{part.prefix}*"]}},
        ),
        statement(
            "Items",
            ITEM_ACTIONS,
            [hub.table_arn],
            condition={
                "ForAllValues:StringLike": {
                    "dynamodb:LeadingKeys": [names.short, f"{names.short}#*"]
                },
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        ),
        # the id of a key that is still to be made is unknown; its alias is not
        statement(
            "OwnKey",
            KEY_USE,
            [names.arn("kms", "key/*")],
            condition={
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": [names.key_alias("data")]}
            },
        ),
        statement(
            "Secrets", SECRET_ACTIONS, [names.arn("secretsmanager", f"secret:{names.short}/*")]
        ),
        statement(
            "Parameters",
            PARAMETER_ACTIONS,
            [
                names.arn("ssm", f"parameter{names.path}"),
                names.arn("ssm", f"parameter{names.path}/*"),
            ],
        ),
        statement("Logs", LOG_ACTIONS, [f"{names.log_group_arn(part.log_group)}:*"]),
    )


def key_statements(part: Slice) -> tuple[Statement, ...]:
    """Return who may do what with the slice's key.

    The account administers it. Its use is for the slice's role, and, for those who store the values
    of the slice's secrets, through Secrets Manager and for those secrets alone.
    """
    names = part.names
    account = {"AWS": names.iam_arn("root")}
    return (
        statement("AccountAdministers", _KEY_ADMINISTRATION, ["*"], principal=account),
        statement(
            "SliceUses",
            KEY_USE,
            ["*"],
            principal=account,
            condition={"ArnEquals": {"aws:PrincipalArn": names.iam_arn(f"role/{part.role}")}},
        ),
        statement(
            "SecretsAreStored",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            ["*"],
            principal=account,
            condition={
                "StringEquals": {"kms:ViaService": f"secretsmanager.{names.region}.amazonaws.com"},
                "ArnLike": {
                    "kms:EncryptionContext:SecretARN": names.arn(
                        "secretsmanager", f"secret:{names.short}/*"
                    )
                },
            },
        ),
    )


def transfer_statements(spec: SliceSpec, names: Names) -> tuple[Statement, ...]:
    """Return who may read the slice's objects while its data is moved to another deployment."""
    if spec.transfer is None or spec.transfer.reader_arn is None:
        return ()
    return (
        statement(
            "TransferReads",
            ["kms:Decrypt"],
            ["*"],
            principal={"AWS": names.iam_arn("root")},
            condition={
                "ArnEquals": {"aws:PrincipalArn": spec.transfer.reader_arn},
                "StringEquals": {"kms:ViaService": f"s3.{names.region}.amazonaws.com"},
            },
        ),
    )
