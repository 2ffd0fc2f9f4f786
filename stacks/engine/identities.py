"""Where an interrupted create is looked up in the cloud: one entry per resource type.

Three kinds. *Named*: the physical name is an input; the thing of that name is ours if it carries
the deployment's tag, or none at all where the service cannot tag at creation. *Tagged*: AWS gives
the id; ours is what carries all the tags of the inputs and is not in the state already. *Settings*:
creating them writes over what is there, so doing it again is harmless.

Ids are those of a state (pulumi_aws 7): what is found is written there and then read by a refresh,
which does not know the other forms that an import takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.catalog import CATALOG
from policies.resource_type import Lookup as Way
from stacks.contract import UNKNOWN

Inputs = Mapping[str, Any]
Client = Callable[[str], Any]  # service name -> boto3 client
Tags = Mapping[str, str]

SETTINGS = frozenset(facts.token for facts in CATALOG.values() if facts.lookup is Way.SETTING)


@dataclass(frozen=True)
class Found:
    """Something in the cloud that may be what a create made. ``tags`` None: it cannot have any."""

    id: str
    tags: Tags | None


class Unknowable(Exception):
    """An input by which a thing is found depends on what does not exist yet."""


Lookup = Callable[[Client, Inputs], Iterator[Found]]


def listed(
    client: Client, service: str, operation: str, answer: str, **query: Any
) -> Iterator[Any]:
    """Yield what a service lists under ``answer``, over all pages."""
    for page in client(service).get_paginator(operation).paginate(**query):
        yield from page[answer]


# --- named -----------------------------------------------------------------------------------
def _bucket(client: Client, inputs: Inputs) -> Iterator[Found]:
    s3, name = client("s3"), inputs["bucket"]
    if name not in {b["Name"] for b in s3.list_buckets()["Buckets"]}:
        return
    try:
        pairs = s3.get_bucket_tagging(Bucket=name)["TagSet"]
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        pairs = []
    # A bucket is tagged after its creation: without tags it is the one of this name, of our own
    # account, that was being made.
    yield Found(id=name, tags=_tags(pairs) or None)


def _role(client: Client, inputs: Inputs) -> Iterator[Found]:
    iam = client("iam")
    try:
        role = iam.get_role(RoleName=inputs["name"])["Role"]
    except iam.exceptions.NoSuchEntityException:
        return
    yield Found(id=role["RoleName"], tags=_tags(role.get("Tags", [])))


def _policy(client: Client, inputs: Inputs) -> Iterator[Found]:
    for policy in listed(client, "iam", "list_policies", "Policies", Scope="Local"):
        if policy["PolicyName"] == inputs["name"]:
            tags = client("iam").list_policy_tags(PolicyArn=policy["Arn"])["Tags"]
            yield Found(id=policy["Arn"], tags=_tags(tags))


def _alias(client: Client, inputs: Inputs) -> Iterator[Found]:
    target_key = _known(inputs, "targetKeyId")
    for alias in listed(client, "kms", "list_aliases", "Aliases"):
        if alias["AliasName"] == inputs["name"]:
            ours = target_key.endswith(str(alias.get("TargetKeyId")))
            yield Found(id=alias["AliasName"], tags=None if ours else {})


def _secret(client: Client, inputs: Inputs) -> Iterator[Found]:
    manager = client("secretsmanager")
    try:
        secret = manager.describe_secret(SecretId=inputs["name"])
    except manager.exceptions.ResourceNotFoundException:
        return
    if not secret.get("DeletedDate"):
        yield Found(id=secret["ARN"], tags=_tags(secret.get("Tags", [])))


def _parameter(client: Client, inputs: Inputs) -> Iterator[Found]:
    ssm, name = client("ssm"), inputs["name"]
    try:
        ssm.get_parameter(Name=name)
    except ssm.exceptions.ParameterNotFound:
        return
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    yield Found(id=name, tags=_tags(tags))


def _log_group(client: Client, inputs: Inputs) -> Iterator[Found]:
    logs, name = client("logs"), inputs["name"]
    groups = listed(client, "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    for group in groups:
        if group["logGroupName"] == name:
            arn = group["arn"].removesuffix(":*")
            yield Found(id=name, tags=logs.list_tags_for_resource(resourceArn=arn)["tags"])


def _table(client: Client, inputs: Inputs) -> Iterator[Found]:
    dynamodb = client("dynamodb")
    try:
        table = dynamodb.describe_table(TableName=inputs["name"])["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return
    tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    yield Found(id=table["TableName"], tags=_tags(tags))


def _database(client: Client, inputs: Inputs) -> Iterator[Found]:
    rds = client("rds")
    try:
        found = rds.describe_db_instances(DBInstanceIdentifier=inputs["identifier"])
    except rds.exceptions.DBInstanceNotFoundFault:
        return
    for database in found["DBInstances"]:
        yield Found(id=database["DbiResourceId"], tags=_tags(database.get("TagList", [])))


def _database_group(operation: str, kind: str) -> Lookup:
    """Return the lookup of a kind of group of RDS, such as ``DBSubnetGroup``."""

    def look(client: Client, inputs: Inputs) -> Iterator[Found]:
        rds = client("rds")
        try:
            found = getattr(rds, operation)(**{f"{kind}Name": inputs["name"]})
        except getattr(rds.exceptions, f"{kind}NotFoundFault"):
            return
        for group in found[f"{kind}s"]:
            tags = rds.list_tags_for_resource(ResourceName=group[f"{kind}Arn"])["TagList"]
            yield Found(id=group[f"{kind}Name"], tags=_tags(tags))

    return look


# --- tagged ----------------------------------------------------------------------------------
def _key(client: Client, _inputs: Inputs) -> Iterator[Found]:
    kms = client("kms")
    for key in listed(client, "kms", "list_keys", "Keys"):
        described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if described["KeyManager"] != "CUSTOMER" or "Deletion" in described["KeyState"]:
            continue
        pairs = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
        yield Found(id=key["KeyId"], tags={p["TagKey"]: p["TagValue"] for p in pairs})


def _ec2(
    operation: str, answer: str, identity: str, **filters: str
) -> Callable[[Client, Inputs], Iterator[Found]]:
    """Return the lookup of an EC2 type; ``filters`` are filter name (``_`` for ``-``) -> input."""

    def look(client: Client, inputs: Inputs) -> Iterator[Found]:
        wanted = [
            {"Name": name.replace("_", "-"), "Values": [str(inputs[key])]}
            for name, key in filters.items()
            if inputs.get(key) and inputs[key] != UNKNOWN
        ]
        for thing in listed(client, "ec2", operation, answer, Filters=wanted):
            if str(thing.get("State", "")).lower() not in GOING:
                yield Found(id=thing[identity], tags=_tags(thing.get("Tags", [])))

    return look


GOING = ("deleting", "deleted")


def _rule(*, egress: bool) -> Lookup:
    """Return the lookup of rules of a security group, several may have equal tags."""

    def look(client: Client, inputs: Inputs) -> Iterator[Found]:
        group = _known(inputs, "securityGroupId")
        wanted = [{"Name": "group-id", "Values": [group]}]
        answer = ("describe_security_group_rules", "SecurityGroupRules")
        for rule in listed(client, "ec2", *answer, Filters=wanted):
            if rule["IsEgress"] is egress and _same_rule(rule, inputs):
                yield Found(id=rule["SecurityGroupRuleId"], tags=_tags(rule.get("Tags", [])))

    return look


def _same_rule(rule: Mapping[str, Any], inputs: Inputs) -> bool:
    """Tell whether a rule lets through what the inputs say; unknown inputs fit anything."""
    referenced = rule.get("ReferencedGroupInfo") or {}
    told = {
        "ipProtocol": rule.get("IpProtocol"),
        "fromPort": rule.get("FromPort"),
        "toPort": rule.get("ToPort"),
        "cidrIpv4": rule.get("CidrIpv4"),
        "cidrIpv6": rule.get("CidrIpv6"),
        "prefixListId": rule.get("PrefixListId"),
        "referencedSecurityGroupId": referenced.get("GroupId"),
    }
    return all(
        inputs.get(key) in (None, UNKNOWN) or str(inputs[key]) == str(value)
        for key, value in told.items()
    )


def _known(inputs: Inputs, name: str) -> str:
    value = inputs[name]
    if value == UNKNOWN:
        raise Unknowable
    return str(value)


def _association(client: Client, inputs: Inputs) -> Iterator[Found]:
    subnet = _known(inputs, "subnetId")
    wanted = [{"Name": "association.subnet-id", "Values": [subnet]}]
    for table in client("ec2").describe_route_tables(Filters=wanted)["RouteTables"]:
        for association in table["Associations"]:
            if association.get("SubnetId") == subnet:
                ours = table["RouteTableId"] == inputs.get("routeTableId")
                identity = association["RouteTableAssociationId"]
                yield Found(id=identity, tags=None if ours else {})


LOOKUPS: Mapping[str, Lookup] = {
    "aws:s3/bucket:Bucket": _bucket,
    "aws:iam/role:Role": _role,
    "aws:iam/policy:Policy": _policy,
    "aws:kms/alias:Alias": _alias,
    "aws:kms/key:Key": _key,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:ssm/parameter:Parameter": _parameter,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:dynamodb/table:Table": _table,
    "aws:rds/instance:Instance": _database,
    "aws:rds/subnetGroup:SubnetGroup": _database_group(
        "describe_db_subnet_groups", "DBSubnetGroup"
    ),
    "aws:rds/parameterGroup:ParameterGroup": _database_group(
        "describe_db_parameter_groups", "DBParameterGroup"
    ),
    "aws:ec2/vpc:Vpc": _ec2("describe_vpcs", "Vpcs", "VpcId"),
    "aws:ec2/subnet:Subnet": _ec2("describe_subnets", "Subnets", "SubnetId", vpc_id="vpcId"),
    "aws:ec2/routeTable:RouteTable": _ec2(
        "describe_route_tables", "RouteTables", "RouteTableId", vpc_id="vpcId"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _association,
    "aws:ec2/securityGroup:SecurityGroup": _ec2(
        "describe_security_groups", "SecurityGroups", "GroupId", vpc_id="vpcId", group_name="name"
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2(
        "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId",
        vpc_id="vpcId", service_name="serviceName",
    ),
    "aws:ec2/flowLog:FlowLog": _ec2(
        "describe_flow_logs", "FlowLogs", "FlowLogId", resource_id="vpcId"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule(egress=False),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule(egress=True),
}  # fmt: skip


def _tags(pairs: list[Mapping[str, str]]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in pairs}
