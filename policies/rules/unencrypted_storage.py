"""Everything that keeps data is encrypted with a key of the deployment, not with one of AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policies.buckets import is_bucket, parts_by_bucket
from policies.model import (
    UNKNOWN,
    Block,
    Finding,
    Parameters,
    Resource,
    Rule,
    Unknown,
    undecided,
    violated,
)

_SSE: Final = "aws_s3_bucket_server_side_encryption_configuration"
_DEFAULT: Final = "apply_server_side_encryption_by_default"
_KMS: Final = frozenset({"aws:kms", "aws:kms:dsse"})
_KEY_REMEDY: Final = "Set it to the ARN of a KMS key of this deployment."
_CUSTOMER: Final = "customer_key"


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield what is not encrypted, or with a key that is AWS's own or not known."""
    kinds = {resource.address: resource.kind for resource in resources}
    for resource in resources:
        wants_key = parameters.encryption.get(resource.kind, _CUSTOMER) == _CUSTOMER
        match resource.kind:
            case "aws_db_instance":
                yield from _database(resource, wants_key, kinds)
            case "aws_dynamodb_table" if wants_key:
                yield from _switch(resource, "server_side_encryption.enabled")
                yield from _key(resource, "server_side_encryption.kms_key_arn", kinds)
            case "aws_cloudwatch_log_group" | "aws_secretsmanager_secret" if wants_key:
                yield from _key(resource, "kms_key_id", kinds)
            case "aws_ssm_parameter" if wants_key:
                yield from _parameter(resource, kinds)
            case _:
                pass
    yield from _buckets(resources, parameters, kinds)


def _database(resource: Resource, wants_key: bool, kinds: Mapping[str, str]) -> Iterator[Finding]:
    yield from _switch(resource, "storage_encrypted")
    if not wants_key:
        return
    yield from _key(resource, "kms_key_id", kinds)
    for switch, path in (
        ("manage_master_user_password", "master_user_secret_kms_key_id"),
        ("performance_insights_enabled", "performance_insights_kms_key_id"),
    ):
        if resource.value(switch) not in (None, False):
            yield from _key(resource, path, kinds)


def _parameter(resource: Resource, kinds: Mapping[str, str]) -> Iterator[Finding]:
    kind = resource.value("type")
    if kind is UNKNOWN:
        yield undecided(resource, "type", "Set the type to a literal value.")
    elif kind == "SecureString":
        yield from _key(resource, "key_id", kinds)


def _buckets(
    resources: Sequence[Resource], parameters: Parameters, kinds: Mapping[str, str]
) -> Iterator[Finding]:
    loggings = [resource for resource in resources if resource.kind == "aws_s3_bucket_logging"]
    for parts in parts_by_bucket(resources, _SSE):
        bucket = parts.bucket
        takes_logs = any(is_bucket(each, "target_bucket", bucket) for each in loggings)
        wanted = parameters.encryption.get(bucket.kind, _CUSTOMER)
        if takes_logs:
            wanted = parameters.access_log_bucket_encryption
        if not parts.found and parts.maybe_more:
            yield undecided(
                bucket, "bucket", "Set the bucket of the encryption configuration by name."
            )
        elif not parts.found and wanted == _CUSTOMER:
            yield violated(
                bucket,
                "has no encryption configuration with a key",
                f"Add an {_SSE} that names the bucket and a KMS key.",
            )
        for part in parts.found:
            yield from _bucket_rules(part, wanted == _CUSTOMER, kinds)


def _bucket_rules(part: Resource, wants_key: bool, kinds: Mapping[str, str]) -> Iterator[Finding]:
    blocks = part.body.blocks("rule")
    if isinstance(blocks, Unknown):
        yield undecided(part, "rule", _KEY_REMEDY)
        return
    if not blocks and wants_key:
        yield violated(part, "has no rule", _KEY_REMEDY, "rule")
    for block in blocks if wants_key else ():
        yield from _bucket_rule(part, block, kinds)


def _bucket_rule(part: Resource, block: Block, kinds: Mapping[str, str]) -> Iterator[Finding]:
    algorithm = block.value(f"{_DEFAULT}.sse_algorithm")
    if algorithm is UNKNOWN:
        yield undecided(part, f"rule.{_DEFAULT}.sse_algorithm", "Set it to a literal value.")
    elif algorithm not in _KMS:
        yield violated(
            part,
            "encrypts with a key owned by S3",
            'Use "aws:kms" and name a key.',
            "rule.sse_algorithm",
        )
    else:
        key = block.value(f"{_DEFAULT}.kms_master_key_id")
        yield from _judge_key(part, f"rule.{_DEFAULT}.kms_master_key_id", key, kinds)


def _switch(resource: Resource, path: str) -> Iterator[Finding]:
    value = resource.value(path)
    if value is UNKNOWN:
        yield undecided(resource, path, "Set it to a literal value.")
    elif value is not True:
        yield violated(resource, f"does not set {path}", f"Set {path} to true.", path)


def _key(resource: Resource, path: str, kinds: Mapping[str, str]) -> Iterator[Finding]:
    yield from _judge_key(resource, path, resource.value(path), kinds)


def _judge_key(
    resource: Resource, path: str, key: object, kinds: Mapping[str, str]
) -> Iterator[Finding]:
    """Judge a key; one that is made by the same plan is good although its ARN is not known yet."""
    if key is UNKNOWN:
        origins = {kinds.get(address) for address in resource.origins(path)}
        if origins != {"aws_kms_key"}:
            yield undecided(
                resource, path, "It is evaluated again after the apply, when it is known."
            )
    elif not isinstance(key, str) or not key:
        yield violated(resource, f"has no key in {path}", _KEY_REMEDY, path)
    elif key.partition("alias/")[2].startswith("aws/"):
        yield violated(resource, f"has an AWS-managed key in {path}", _KEY_REMEDY, path)


RULE: Final = Rule(
    id="unencrypted_storage",
    title="Data at rest is encrypted with a customer-managed key",
    check=check,
)
