"""Customer managed keys, one per purpose, so that no key opens what another one protects."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws.kms import Alias
from pulumi_aws.kms import Key as KmsKey

from stacks.components.documents import Statement, document, statement
from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags
from stacks.protection import Protection

KEY_USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")

_LOG_SERVICE_USE = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey*",
    "kms:ReEncrypt*",
)


@dataclass(frozen=True, kw_only=True)
class KeyConfig:
    """A key: ``purpose`` ends its alias, ``policy`` is its key policy, a JSON document."""

    names: Names
    purpose: str
    data_class: DataClass
    policy: str
    deletion_days: int
    protection: Protection


class Key(pulumi.ComponentResource):
    """A key that rotates every year, and its alias."""

    arn: pulumi.Output[str]
    alias: str

    def __init__(
        self, name: str, config: KeyConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Key", name, None, opts)
        key = KmsKey(
            name,
            description=f"tenantplane: {config.purpose} of {config.names.short}",
            policy=config.policy,
            enable_key_rotation=True,
            deletion_window_in_days=config.deletion_days,
            tags=tags(config.names.of(config.purpose), config.data_class),
            # a key that is gone takes everything with it that it encrypted
            opts=pulumi.ResourceOptions(
                parent=self, protect=config.protection.keeps(f"key.{name}")
            ),
        )
        self.alias = config.names.key_alias(config.purpose)
        Alias(
            name,
            name=self.alias,
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})


def account_decides(names: Names) -> Statement:
    """Return the statement by which the account decides through IAM who uses a key."""
    return statement(
        "AccountDecidesByIam",
        ["kms:*"],
        ["*"],
        principal={"AWS": names.iam_arn("root")},
    )


def data_key_policy(names: Names) -> str:
    """Return the policy of a key for data or secrets."""
    return document(account_decides(names))


def logs_key_policy(names: Names) -> str:
    """Return the policy of a key for log groups.

    CloudWatch Logs encrypts as itself, not as the caller; it may do so for the log groups of this
    deployment and for no others (encryption context, CloudWatch Logs user guide).
    """
    return document(
        account_decides(names),
        statement(
            "LogGroupsOfThisHub",
            _LOG_SERVICE_USE,
            ["*"],
            principal={"Service": f"logs.{names.region}.amazonaws.com"},
            condition={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": names.log_group_arn(f"{names.path}/*")
                }
            },
        ),
    )
