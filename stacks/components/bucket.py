"""Buckets: versioned, encrypted, for TLS only, never public."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.s3 import Bucket as S3Bucket
from pulumi_aws.s3 import (
    BucketLifecycleConfiguration,
    BucketLifecycleConfigurationRuleArgsDict,
    BucketLogging,
    BucketOwnershipControls,
    BucketPolicy,
    BucketPublicAccessBlock,
    BucketServerSideEncryptionConfiguration,
    BucketServerSideEncryptionConfigurationRuleArgsDict,
    BucketVersioning,
)

from stacks.components.documents import EVERYBODY, Statement, document, statement
from stacks.components.naming import Names, bucket_arn
from stacks.components.tags import DataClass, tags
from stacks.protection import Protection

ACCESS_LOG_PREFIX = "s3-access/"

_ABORT_UPLOAD_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class BucketConfig:
    """A bucket. ``key_arn``: None for SSE-S3. ``expire_days``: None keeps current versions.

    ``statements`` of the bucket policy come on top of the refusal of everything without TLS.
    ``access_logs_to``: name of the bucket that records who read and wrote, written after
    ``after`` exist.
    """

    names: Names
    what: str
    data_class: DataClass
    key_arn: pulumi.Input[str] | None
    noncurrent_days: int
    protection: Protection
    expire_days: int | None = None
    statements: Sequence[Statement] = ()
    access_logs_to: str | None = None
    after: Sequence[pulumi.Resource] = ()


class Bucket(pulumi.ComponentResource):
    """A bucket with everything that S3 makes a resource of its own."""

    name: str

    def __init__(
        self, name: str, config: BucketConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Bucket", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.name = config.names.bucket(config.what)
        is_kept = config.protection.keeps(f"bucket.{name}")
        bucket = S3Bucket(
            name,
            bucket=self.name,
            force_destroy=not is_kept,
            tags=tags(self.name, config.data_class),
            opts=pulumi.ResourceOptions(parent=self, protect=is_kept),
        )
        BucketOwnershipControls(
            name, bucket=bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        block = BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        policy = BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=document(tls_only(self.name), *config.statements),
            # S3 refuses two changes of a bucket's access at once
            opts=pulumi.ResourceOptions(parent=self, depends_on=[block]),
        )
        self._keep_versions(name, config, bucket)
        BucketServerSideEncryptionConfiguration(
            name, bucket=bucket.bucket, rules=[encryption(config.key_arn)], opts=child
        )
        if config.access_logs_to is not None:
            BucketLogging(
                name,
                bucket=bucket.bucket,
                target_bucket=config.access_logs_to,
                target_prefix=ACCESS_LOG_PREFIX,
                # S3 checks at once whether it may write there
                opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, *config.after]),
            )
        self.register_outputs({"name": self.name})

    def _keep_versions(self, name: str, config: BucketConfig, bucket: S3Bucket) -> None:
        versioning = BucketVersioning(
            name,
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        rule: BucketLifecycleConfigurationRuleArgsDict = {
            "id": "old-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": _ABORT_UPLOAD_DAYS},
            "noncurrent_version_expiration": {"noncurrent_days": config.noncurrent_days},
        }
        if config.expire_days is not None:
            rule["expiration"] = {"days": config.expire_days}
        BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[rule],
            # a rule on old versions means nothing before there are versions
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )


def encryption(
    key_arn: pulumi.Input[str] | None,
) -> BucketServerSideEncryptionConfigurationRuleArgsDict:
    """Return how objects are encrypted that name no key themselves."""
    if key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": key_arn,
        },
        "bucket_key_enabled": True,
    }


def tls_only(bucket: str) -> Statement:
    """Return the statement that refuses every request without TLS."""
    arn = bucket_arn(bucket)
    return statement(
        "TlsOnly",
        ["s3:*"],
        [arn, f"{arn}/*"],
        effect="Deny",
        principal=EVERYBODY,
        condition={"Bool": {"aws:SecureTransport": "false"}},
    )


def access_log_delivery(names: Names, *, source: str, target: str) -> Statement:
    """Return the statement that lets S3 write the access logs of bucket ``source``."""
    return statement(
        "AccessLogsOfTheDataBucket",
        ["s3:PutObject"],
        [f"{bucket_arn(target)}/{ACCESS_LOG_PREFIX}*"],
        principal={"Service": "logging.s3.amazonaws.com"},
        condition={
            "ArnLike": {"aws:SourceArn": bucket_arn(source)},
            "StringEquals": {"aws:SourceAccount": names.account_id},
        },
    )
