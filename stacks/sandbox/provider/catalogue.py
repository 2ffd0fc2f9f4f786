"""Which resource types there are, each module loaded when the first of its types is used."""

import importlib
from collections.abc import Iterator
from functools import cache

from stacks.sandbox.provider.resource import ResourceType

_MODULES = {
    "aws:cloudwatch/logGroup:LogGroup": "cloudwatch",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "cloudwatch",
    "aws:dynamodb/table:Table": "dynamodb",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "security_groups",
    "aws:ec2/flowLog:FlowLog": "endpoints",
    "aws:ec2/routeTable:RouteTable": "routes",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "routes",
    "aws:ec2/securityGroup:SecurityGroup": "security_groups",
    "aws:ec2/subnet:Subnet": "network",
    "aws:ec2/vpc:Vpc": "network",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "endpoints",
    "aws:iam/policy:Policy": "iam",
    "aws:iam/role:Role": "iam",
    "aws:iam/rolePolicy:RolePolicy": "iam",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "iam",
    "aws:kms/alias:Alias": "kms",
    "aws:kms/key:Key": "kms",
    "aws:rds/instance:Instance": "rds",
    "aws:rds/parameterGroup:ParameterGroup": "rds_groups",
    "aws:rds/subnetGroup:SubnetGroup": "rds_groups",
    "aws:s3/bucket:Bucket": "s3",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "s3_lifecycle",
    "aws:s3/bucketLogging:BucketLogging": "s3_settings",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "s3_settings",
    "aws:s3/bucketPolicy:BucketPolicy": "s3_settings",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "s3_settings",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "s3_settings"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": "s3_settings",
    "aws:secretsmanager/secret:Secret": "secretsmanager",
    "aws:ssm/parameter:Parameter": "ssm",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "security_group_rules",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "security_group_rules",
}


@cache
def _module_types(module: str) -> dict[str, ResourceType]:
    loaded = importlib.import_module(f"stacks.sandbox.provider.{module}")
    return {known.urn_type: known for known in loaded.TYPES}


def find_type(urn_type: str) -> ResourceType | None:
    """Return the resource type of a Pulumi type name, None when the sandbox does not have it."""
    module = _MODULES.get(urn_type)
    return None if module is None else _module_types(module)[urn_type]


def all_types() -> Iterator[ResourceType]:
    """Yield every type, by name."""
    for urn_type, module in sorted(_MODULES.items()):
        yield _module_types(module)[urn_type]
