"""The two buckets of a Hub, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.dynamodb import Table

from stacks import spec
from stacks.components.bucket import Bucket, BucketConfig, access_log_delivery
from stacks.components.documents import Statement
from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags
from stacks.protection import Protection

_OLD_LOG_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """``data_statements``: more statements for the policy of the data bucket."""

    names: Names
    retention: spec.Retention
    data_key_arn: pulumi.Input[str]
    protection: Protection
    data_statements: Sequence[Statement] = ()


class Storage(pulumi.ComponentResource):
    """Data bucket, the bucket that logs who read it, and the table."""

    data_bucket: str
    log_bucket: str
    table: str

    def __init__(
        self, name: str, config: StorageConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Storage", name, None, opts)
        names = config.names
        self.data_bucket = names.bucket("data")
        self.log_bucket = names.bucket("logs")
        logs = Bucket(
            "logs",
            BucketConfig(
                names=names,
                what="logs",
                data_class=DataClass.OPERATIONAL,
                # S3 delivers access logs only to a bucket with its own keys (SSE-S3), never KMS
                key_arn=None,
                noncurrent_days=_OLD_LOG_DAYS,
                protection=config.protection,
                expire_days=config.retention.log_days,
                statements=[
                    access_log_delivery(names, source=self.data_bucket, target=self.log_bucket)
                ],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        Bucket(
            "data",
            BucketConfig(
                names=names,
                what="data",
                data_class=DataClass.CUSTOMER,
                key_arn=config.data_key_arn,
                noncurrent_days=config.retention.noncurrent_days,
                protection=config.protection,
                statements=config.data_statements,
                access_logs_to=self.log_bucket,
                after=[logs],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.table = names.of("hub")
        self._table(config)
        self.register_outputs({"data_bucket": self.data_bucket, "table": self.table})

    def _table(self, config: StorageConfig) -> None:
        is_kept = config.protection.keeps("table.hub")
        Table(
            "hub",
            name=self.table,
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": config.data_key_arn},
            deletion_protection_enabled=is_kept,
            tags=tags(self.table, DataClass.CUSTOMER),
            opts=pulumi.ResourceOptions(parent=self, protect=is_kept),
        )
