"""The resource types that are known, one entry each: everything that lists types reads it here.

A type that is not here is refused by the rule ``unknown_resource_type``: adding one means looking
at what each rule has to say about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from policies.resource_type import DESTROYING, Lookup, Loss, TypeFacts

_NAME: Final = ("name",)
_BUCKET: Final = ("bucket",)
_POLICY: Final = ("policy",)
# What the engine keeps for itself: nothing in a cloud.
_ENGINE: Final = ("pulumi:", "tenantplane:")


def _aws(module: str, name: str) -> str:
    return f"aws:{module}/{name[0].lower()}{name[1:]}:{name}"


def _bucket_part(
    name: str, label: str, losses: Mapping[str, Loss] | None = None, **renames: str
) -> TypeFacts:
    return TypeFacts(
        token=_aws("s3", name),
        label=label,
        taggable=False,
        renames=renames,
        buckets=_BUCKET,
        losses=losses or {},
    )


def _tagged(module: str, name: str, label: str, **more: Any) -> TypeFacts:
    return TypeFacts(token=_aws(module, name), label=label, lookup=Lookup.TAGGED, **more)


def _named(module: str, name: str, label: str, **more: Any) -> TypeFacts:
    facts: dict[str, Any] = {"names": _NAME, "lookup": Lookup.NAMED}
    return TypeFacts(token=_aws(module, name), label=label, **(facts | more))


def _unused(module: str, name: str, label: str, **more: Any) -> TypeFacts:
    """Made by the sandbox or by no program of ours: an interrupted create waits for a person."""
    return TypeFacts(
        token=_aws(module, name),
        label=label,
        lookup=Lookup.NONE,
        **more,
    )


CATALOG: Final[Mapping[str, TypeFacts]] = {
    # network
    "aws_vpc": _tagged("ec2", "Vpc", "network"),
    "aws_subnet": _tagged("ec2", "Subnet", "subnet"),
    "aws_route_table": _tagged("ec2", "RouteTable", "route table", renames={"routes": "route"}),
    "aws_route": _unused("ec2", "Route", "route", taggable=False),
    "aws_route_table_association": _tagged(
        "ec2", "RouteTableAssociation", "subnet's route table",
        taggable=False,
    ),
    "aws_default_route_table": _unused(
        "ec2", "DefaultRouteTable", "default route table", renames={"routes": "route"}
    ),
    "aws_default_network_acl": _unused("ec2", "DefaultNetworkAcl", "default network ACL"),
    "aws_vpc_endpoint": _tagged("ec2", "VpcEndpoint", "private endpoint", policies=_POLICY),
    "aws_security_group": _tagged("ec2", "SecurityGroup", "security group", names=_NAME),
    "aws_default_security_group": TypeFacts(
        token=_aws("ec2", "DefaultSecurityGroup"), label="default security group"
    ),
    "aws_vpc_security_group_ingress_rule": _tagged(
        "vpc", "SecurityGroupIngressRule", "inbound rule"
    ),
    "aws_vpc_security_group_egress_rule": _tagged(
        "vpc", "SecurityGroupEgressRule", "outbound rule"
    ),
    "aws_flow_log": _tagged("ec2", "FlowLog", "flow log"),
    "aws_internet_gateway": _unused("ec2", "InternetGateway", "internet gateway"),
    "aws_egress_only_internet_gateway": _unused(
        "ec2", "EgressOnlyInternetGateway", "outbound IPv6 gateway"
    ),
    "aws_nat_gateway": _unused("ec2", "NatGateway", "NAT gateway"),
    "aws_eip": _unused("ec2", "Eip", "public address"),
    # keys: what is encrypted with one cannot be read without it
    "aws_kms_key": _tagged(
        "kms", "Key", "encryption key",
        policies=_POLICY, holds_data=True, on_removal="scheduled, key_deletion_days",
    ),
    "aws_kms_key_policy": _unused(
        "kms", "KeyPolicy", "policy of a key", taggable=False, policies=_POLICY,
    ),
    "aws_kms_alias": _named("kms", "Alias", "name of a key", taggable=False),
    # buckets
    "aws_s3_bucket": _named(
        "s3", "Bucket", "bucket", names=_BUCKET,
        holds_data=True, encryptable=True, on_removal="refused while it holds objects",
        disarmed=("force_destroy", True), losses={"lifecycle_rule": Loss.ANY},
        renames={"lifecycle_rules": "lifecycle_rule"},
    ),
    "aws_s3_bucket_versioning": _bucket_part("BucketVersioning", "versions of a bucket"),
    "aws_s3_bucket_server_side_encryption_configuration": _bucket_part(
        "BucketServerSideEncryptionConfiguration", "encryption of a bucket", rules="rule"
    ),
    "aws_s3_bucket_public_access_block": _bucket_part(
        "BucketPublicAccessBlock", "public access block of a bucket"
    ),
    "aws_s3_bucket_policy": TypeFacts(
        token=_aws("s3", "BucketPolicy"), label="policy of a bucket", taggable=False,
        policies=_POLICY, buckets=_BUCKET,
    ),
    # a shorter life expires objects that are there
    "aws_s3_bucket_lifecycle_configuration": _bucket_part(
        "BucketLifecycleConfiguration", "lifecycle of a bucket's objects", {"rule": Loss.ANY},
        rules="rule",
    ),
    "aws_s3_bucket_ownership_controls": _bucket_part(
        "BucketOwnershipControls", "ownership of a bucket's objects"
    ),
    "aws_s3_bucket_logging": TypeFacts(
        token=_aws("s3", "BucketLogging"), label="access log of a bucket", taggable=False,
        buckets=("bucket", "target_bucket"),
    ),
    # data
    "aws_dynamodb_table": _named(
        "dynamodb", "Table", "table", holds_data=True, encryptable=True,
        guard="deletion_protection_enabled", on_removal="refused until uninstall = true",
        losses={
            "point_in_time_recovery": Loss.TURNED_OFF, "replica": Loss.ANY, "ttl": Loss.ANY,
        },
        renames={
            "attributes": "attribute",
            "global_secondary_indexes": "global_secondary_index",
            "local_secondary_indexes": "local_secondary_index",
            "replicas": "replica",
        },
    ),
    "aws_db_instance": _named(
        "rds", "Instance", "database", names=("identifier",),
        holds_data=True, encryptable=True, guard="deletion_protection",
        on_removal="refused until uninstall = true; leaves a final snapshot",
        # RDS deletes the backups beyond a shorter life, and no engine goes back to an older version
        losses={"backup_retention_period": Loss.SHRINKS, "engine_version": Loss.ANY},
    ),
    "aws_db_subnet_group": _named("rds", "SubnetGroup", "subnets of a database"),
    "aws_db_parameter_group": _named(
        "rds", "ParameterGroup", "settings of a database", renames={"parameters": "parameter"}
    ),
    "aws_secretsmanager_secret": _named(
        "secretsmanager", "Secret", "secret", policies=_POLICY,
        holds_data=True, encryptable=True, on_removal="scheduled, recovery window",
        disarmed=("recovery_window_in_days", 0), losses={"replica": Loss.ANY},
        renames={"replicas": "replica"},
    ),
    "aws_secretsmanager_secret_policy": _unused(
        "secretsmanager", "SecretPolicy", "policy of a secret", taggable=False, policies=_POLICY
    ),
    # holds no data: every value comes from the spec, so the program makes it again
    "aws_ssm_parameter": _named("ssm", "Parameter", "parameter", encryptable=True),
    # logs and alarms
    "aws_cloudwatch_log_group": _named(
        "cloudwatch", "LogGroup", "log group", holds_data=True, encryptable=True,
        # Its lines end by themselves, and a protected one could not be renamed. That its deletion
        # cannot be undone is shown to whoever decides.
        unprotected_because="its lines expire by themselves after the retention",
        on_removal="deleted with its entries", losses={"retention_in_days": Loss.ENDS_SOONER},
    ),
    "aws_cloudwatch_metric_alarm": TypeFacts(
        token=_aws("cloudwatch", "MetricAlarm"), label="alarm", names=("alarm_name",),
        renames={"name": "alarm_name"},
    ),
    # identities; IAM is global
    "aws_iam_role": _named(
        "iam", "Role", "role", regional=False,
        policies=("assume_role_policy", "inline_policy.policy"),
        renames={"inline_policies": "inline_policy"},
    ),
    "aws_iam_role_policy": TypeFacts(
        token=_aws("iam", "RolePolicy"), label="rights of a role", taggable=False, regional=False,
        names=_NAME, policies=_POLICY,
    ),
    "aws_iam_policy": _named(
        "iam", "Policy", "managed policy", regional=False, policies=_POLICY
    ),
    "aws_iam_role_policy_attachment": TypeFacts(
        token=_aws("iam", "RolePolicyAttachment"), label="managed policy of a role",
        taggable=False, regional=False,
    ),
}  # fmt: skip

KIND_OF_TOKEN: Final[Mapping[str, str]] = {facts.token: kind for kind, facts in CATALOG.items()}


def facts_of(resource_type: str) -> TypeFacts | None:
    """Return what is known of a type by Pulumi's or Terraform's name, None for an unknown one."""
    return CATALOG.get(KIND_OF_TOKEN.get(resource_type, resource_type))


def annotate(
    resource_type: str,
    op: str,
    property_paths: Iterable[str] = (),
    *,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> tuple[bool, bool]:
    """Return whether a resource holds data, and whether an operation on it cannot be undone.

    ``property_paths`` are the inputs that change; ``changes`` has their values before and after,
    where they are known, so that a longer retention is not taken for a shorter one. A type that is
    not in the catalogue counts as one that holds data; the engine's own (components, providers, the
    stack) hold none.
    """
    if resource_type.startswith(_ENGINE):
        return False, False
    facts = facts_of(resource_type)
    if facts is None:
        return True, op in DESTROYING
    destroys = facts.holds_data and op in DESTROYING
    return facts.holds_data, destroys or (
        op == "update" and facts.loses_by(property_paths, changes)
    )
