"""The resource types the policies know, one line each.

A type that is not here is refused by the rule ``unknown_resource_type``: adding one means looking
at what each rule has to say about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, kw_only=True)
class TypeFacts:
    """What the rules and front ends must know about a type.

    ``token`` is Pulumi's name of the type, ``names`` the inputs that hold its physical name,
    ``policies`` the inputs that hold policy documents, ``renames`` the inputs whose Pulumi name is
    not Terraform's in camel case (Pulumi's, in snake case, to Terraform's). ``buckets`` are the
    inputs that name a bucket.
    """

    token: str
    taggable: bool = True
    regional: bool = True
    names: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[str, ...] = ()


_NAME: Final = ("name",)
_BUCKET: Final = ("bucket",)


def _aws(module: str, name: str) -> str:
    return f"aws:{module}/{name[0].lower()}{name[1:]}:{name}"


def _bucket_part(name: str, **renames: str) -> TypeFacts:
    return TypeFacts(token=_aws("s3", name), taggable=False, renames=renames, buckets=_BUCKET)


CATALOG: Final[Mapping[str, TypeFacts]] = {
    # network
    "aws_vpc": TypeFacts(token=_aws("ec2", "Vpc")),
    "aws_subnet": TypeFacts(token=_aws("ec2", "Subnet")),
    "aws_route_table": TypeFacts(token=_aws("ec2", "RouteTable"), renames={"routes": "route"}),
    "aws_route": TypeFacts(token=_aws("ec2", "Route"), taggable=False),
    "aws_route_table_association": TypeFacts(
        token=_aws("ec2", "RouteTableAssociation"), taggable=False
    ),
    "aws_default_route_table": TypeFacts(
        token=_aws("ec2", "DefaultRouteTable"), renames={"routes": "route"}
    ),
    "aws_default_network_acl": TypeFacts(token=_aws("ec2", "DefaultNetworkAcl")),
    "aws_vpc_endpoint": TypeFacts(token=_aws("ec2", "VpcEndpoint"), policies=("policy",)),
    "aws_security_group": TypeFacts(token=_aws("ec2", "SecurityGroup"), names=_NAME),
    "aws_default_security_group": TypeFacts(token=_aws("ec2", "DefaultSecurityGroup")),
    "aws_vpc_security_group_ingress_rule": TypeFacts(token=_aws("vpc", "SecurityGroupIngressRule")),
    "aws_vpc_security_group_egress_rule": TypeFacts(token=_aws("vpc", "SecurityGroupEgressRule")),
    "aws_flow_log": TypeFacts(token=_aws("ec2", "FlowLog")),
    "aws_internet_gateway": TypeFacts(token=_aws("ec2", "InternetGateway")),
    "aws_egress_only_internet_gateway": TypeFacts(token=_aws("ec2", "EgressOnlyInternetGateway")),
    "aws_nat_gateway": TypeFacts(token=_aws("ec2", "NatGateway")),
    "aws_eip": TypeFacts(token=_aws("ec2", "Eip")),
    # keys
    "aws_kms_key": TypeFacts(token=_aws("kms", "Key"), policies=("policy",)),
    "aws_kms_key_policy": TypeFacts(
        token=_aws("kms", "KeyPolicy"), taggable=False, policies=("policy",)
    ),
    "aws_kms_alias": TypeFacts(token=_aws("kms", "Alias"), taggable=False, names=_NAME),
    # buckets
    "aws_s3_bucket": TypeFacts(token=_aws("s3", "Bucket"), names=("bucket",)),
    "aws_s3_bucket_versioning": _bucket_part("BucketVersioning"),
    "aws_s3_bucket_server_side_encryption_configuration": _bucket_part(
        "BucketServerSideEncryptionConfiguration", rules="rule"
    ),
    "aws_s3_bucket_public_access_block": _bucket_part("BucketPublicAccessBlock"),
    "aws_s3_bucket_policy": TypeFacts(
        token=_aws("s3", "BucketPolicy"), taggable=False, policies=("policy",), buckets=_BUCKET
    ),
    "aws_s3_bucket_lifecycle_configuration": _bucket_part(
        "BucketLifecycleConfiguration", rules="rule"
    ),
    "aws_s3_bucket_ownership_controls": _bucket_part("BucketOwnershipControls"),
    "aws_s3_bucket_logging": TypeFacts(
        token=_aws("s3", "BucketLogging"), taggable=False, buckets=("bucket", "target_bucket")
    ),
    # data
    "aws_dynamodb_table": TypeFacts(
        token=_aws("dynamodb", "Table"),
        names=_NAME,
        renames={
            "attributes": "attribute",
            "global_secondary_indexes": "global_secondary_index",
            "local_secondary_indexes": "local_secondary_index",
            "replicas": "replica",
        },
    ),
    "aws_db_instance": TypeFacts(token=_aws("rds", "Instance"), names=("identifier",)),
    "aws_db_subnet_group": TypeFacts(token=_aws("rds", "SubnetGroup"), names=_NAME),
    "aws_db_parameter_group": TypeFacts(
        token=_aws("rds", "ParameterGroup"), names=_NAME, renames={"parameters": "parameter"}
    ),
    "aws_secretsmanager_secret": TypeFacts(
        token=_aws("secretsmanager", "Secret"), names=_NAME, policies=("policy",)
    ),
    "aws_secretsmanager_secret_policy": TypeFacts(
        token=_aws("secretsmanager", "SecretPolicy"), taggable=False, policies=("policy",)
    ),
    "aws_ssm_parameter": TypeFacts(token=_aws("ssm", "Parameter"), names=_NAME),
    # logs and alarms
    "aws_cloudwatch_log_group": TypeFacts(token=_aws("cloudwatch", "LogGroup"), names=_NAME),
    "aws_cloudwatch_metric_alarm": TypeFacts(
        token=_aws("cloudwatch", "MetricAlarm"),
        names=("alarm_name",),
        renames={"name": "alarm_name"},
    ),
    # identities; IAM is global
    "aws_iam_role": TypeFacts(
        token=_aws("iam", "Role"),
        regional=False,
        names=_NAME,
        policies=("assume_role_policy", "inline_policy.policy"),
        renames={"inline_policies": "inline_policy"},
    ),
    "aws_iam_role_policy": TypeFacts(
        token=_aws("iam", "RolePolicy"),
        taggable=False,
        regional=False,
        names=_NAME,
        policies=("policy",),
    ),
    "aws_iam_policy": TypeFacts(
        token=_aws("iam", "Policy"), regional=False, names=_NAME, policies=("policy",)
    ),
    "aws_iam_role_policy_attachment": TypeFacts(
        token=_aws("iam", "RolePolicyAttachment"), taggable=False, regional=False
    ),
}

KIND_OF_TOKEN: Final[Mapping[str, str]] = {facts.token: kind for kind, facts in CATALOG.items()}
