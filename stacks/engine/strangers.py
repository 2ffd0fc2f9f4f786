"""Things in the cloud that belong to a deployment, by tag or by name, and that its state does not
know: what a dead provider made twice, or somebody by hand.

The tagging service finds by one question most of what carries the deployment's tag. It knows
neither what has no tags nor, among others, roles, endpoints and groups of RDS; those are listed by
their own services; only those services are asked that the state has something of. What was put
into things of the state is looked for in these (``inside.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from stacks.engine.backend import State
from stacks.engine.identities import GOING, Client, listed
from stacks.engine.inside import INSIDE
from stacks.engine.looking_up import DEPLOYMENT_TAG, Cloud
from stacks.engine.things import Fact, Thing, of_arn

if TYPE_CHECKING:
    from stacks.contract import Request

THREADS = 8
TAGGING = "resourcegroupstaggingapi"


@dataclass(frozen=True)
class Owner:
    """Whose things are looked for: ``short`` begins their names, ``logs`` those of log groups."""

    deployment: str
    short: str
    logs: str

    def names(self, name: str) -> bool:
        """Tell whether a name is one of the deployment's."""
        return name == self.short or name.startswith((f"{self.short}-", f"{self.short}/"))


Lister = Callable[[Client, Owner], Iterator[Thing]]


def strangers(request: Request, state: State | None, cloud: Cloud | None = None) -> list[Thing]:
    """Return what belongs to a request's deployment and is not in the state, sorted.

    What AWS creates itself, snapshots and backups, and what is being deleted, is expected. Raises
    botocore's errors when a service does not answer, ``CallFailed`` for a role that cannot be
    assumed.
    """
    cloud = cloud or Cloud(request)
    ours = owner_of(request.spec)
    listers = [_tagged, *(LISTERS[s] for s in sorted(_services(state) & LISTERS.keys()))]
    asked = [partial(lister, cloud.client, ours) for lister in listers]
    asked += [partial(inside, cloud.client, state) for inside in INSIDE]
    known = _known(state)
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        found = pool.map(lambda ask: list(ask()), asked)
        unknown = {
            (thing.kind, thing.id): thing
            for things in found
            for thing in things
            if known.isdisjoint(thing.facts) and not _is_setting(thing, ours)
        }
        there = pool.map(lambda t: (t, is_there(cloud.client, t)), unknown.values())
        return sorted((thing for thing, present in there if present), key=str)


def owner_of(spec: Mapping[str, Any]) -> Owner:
    """Return whose spec it is; the log groups of a slice lie among those of its Hub."""
    owner = spec["owner"]
    short = str(owner["short"])
    hub = spec.get("hub")
    logs = f"{hub['log_group_prefix']}/tenants/{short}/" if hub else f"/tenantplane/{short}/"
    return Owner(deployment=str(owner["deployment"]), short=short, logs=logs)


def _is_setting(thing: Thing, owner: Owner) -> bool:
    """Tell whether a thing is a setting of the application: content, as objects of a bucket are.

    A removal asks for it all the same: nothing may be left then.
    """
    settings = f"/tenantplane/{owner.short}/app/"
    return thing.kind == "ssm:parameter" and thing.id.startswith(settings)


def _services(state: State | None) -> set[str]:
    """Return the services of the types in a state: ``aws:kms/key:Key`` is of ``kms``."""
    types = (str(r["type"]) for r in (state or {}).get("resources") or ())
    return {t.split(":")[1].split("/")[0] for t in types if t.startswith("aws:")}


def _known(state: State | None) -> set[Fact]:
    """Return the facts of what a state holds; all that can be a stranger has an ARN."""
    resources = (r for r in (state or {}).get("resources") or () if r["type"].startswith("aws:"))
    arns = ((r.get("outputs") or {}).get("arn") for r in resources)
    things = (of_arn(arn) for arn in arns if isinstance(arn, str) and arn.startswith("arn:"))
    return {fact for thing in things for fact in thing.facts}


# --- what carries the tag --------------------------------------------------------------------
def _tagged(client: Client, owner: Owner) -> Iterator[Thing]:
    wanted = [{"Key": DEPLOYMENT_TAG, "Values": [owner.deployment]}]
    answer = ("get_resources", "ResourceTagMappingList")
    for each in listed(client, TAGGING, *answer, TagFilters=wanted):
        thing = of_arn(str(each["ResourceARN"]))
        if "snapshot" not in thing.kind and thing.kind != "rds:auto-backup":
            yield thing


def ec2_tagged(client: Client, owner: Owner) -> Iterator[Thing]:
    """Yield what of EC2 carries the deployment's tag."""
    wanted = [
        {"Name": "key", "Values": [DEPLOYMENT_TAG]},
        {"Name": "value", "Values": [owner.deployment]},
    ]
    for tag in listed(client, "ec2", "describe_tags", "Tags", Filters=wanted):
        if tag["ResourceType"] != "snapshot":
            yield Thing(f"ec2:{tag['ResourceType']}", tag["ResourceId"])


# --- what has the name -----------------------------------------------------------------------
def _iam(client: Client, owner: Owner) -> Iterator[Thing]:
    for role in listed(client, "iam", "list_roles", "Roles"):
        if owner.names(role["RoleName"]):
            yield of_arn(role["Arn"])
    for policy in listed(client, "iam", "list_policies", "Policies", Scope="Local"):
        if owner.names(policy["PolicyName"]):
            yield of_arn(policy["Arn"])


def _kms(client: Client, owner: Owner) -> Iterator[Thing]:
    for alias in listed(client, "kms", "list_aliases", "Aliases"):
        if owner.names(alias["AliasName"].removeprefix("alias/")):
            yield of_arn(alias["AliasArn"])


def _s3(client: Client, owner: Owner) -> Iterator[Thing]:
    for bucket in client("s3").list_buckets()["Buckets"]:
        if owner.names(bucket["Name"]):
            yield Thing("s3:bucket", bucket["Name"])


def _cloudwatch(client: Client, owner: Owner) -> Iterator[Thing]:
    groups = ("describe_log_groups", "logGroups")
    for group in listed(client, "logs", *groups, logGroupNamePrefix=owner.logs):
        if group["logGroupName"].removeprefix(owner.logs).startswith("tenants/"):
            continue  # a slice's, among those of its Hub
        yield Thing("logs:log-group", group["logGroupName"])
    alarms = ("describe_alarms", "MetricAlarms")
    for alarm in listed(client, "cloudwatch", *alarms, AlarmNamePrefix=f"{owner.short}-"):
        yield Thing("cloudwatch:alarm", alarm["AlarmName"])


def _secretsmanager(client: Client, owner: Owner) -> Iterator[Thing]:
    wanted = [{"Key": "name", "Values": [f"{owner.short}/"]}]
    for secret in listed(client, "secretsmanager", "list_secrets", "SecretList", Filters=wanted):
        if owner.names(secret["Name"]):
            yield of_arn(secret["ARN"])


def _ssm(client: Client, owner: Owner) -> Iterator[Thing]:
    wanted = [{"Key": "Name", "Option": "BeginsWith", "Values": [f"/tenantplane/{owner.short}/"]}]
    answer = ("describe_parameters", "Parameters")
    for parameter in listed(client, "ssm", *answer, ParameterFilters=wanted):
        yield Thing("ssm:parameter", parameter["Name"])


def _dynamodb(client: Client, owner: Owner) -> Iterator[Thing]:
    for name in listed(client, "dynamodb", "list_tables", "TableNames"):
        if owner.names(name):
            yield Thing("dynamodb:table", name)


def _rds(client: Client, owner: Owner) -> Iterator[Thing]:
    for operation, answer, kind, name in (
        ("describe_db_instances", "DBInstances", "db", "DBInstanceIdentifier"),
        ("describe_db_subnet_groups", "DBSubnetGroups", "subgrp", "DBSubnetGroupName"),
        ("describe_db_parameter_groups", "DBParameterGroups", "pg", "DBParameterGroupName"),
    ):
        for each in listed(client, "rds", operation, answer):
            if owner.names(each[name]) and each.get("DBInstanceStatus") != "deleting":
                yield Thing(f"rds:{kind}", each[name])


LISTERS: Mapping[str, Lister] = {
    "cloudwatch": _cloudwatch,
    "dynamodb": _dynamodb,
    "ec2": ec2_tagged,
    "iam": _iam,
    "kms": _kms,
    "rds": _rds,
    "s3": _s3,
    "secretsmanager": _secretsmanager,
    "ssm": _ssm,
}

# Tags of EC2 outlive what they were on: how to ask for the thing itself.
_EC2_IDS: Mapping[str, tuple[str, str]] = {
    "ec2:elastic-ip": ("describe_addresses", "AllocationIds"),
    "ec2:vpc-elastic-ip": ("describe_addresses", "AllocationIds"),  # the emulated cloud's word
    "ec2:natgateway": ("describe_nat_gateways", "NatGatewayIds"),
    "ec2:route-table": ("describe_route_tables", "RouteTableIds"),
    "ec2:security-group": ("describe_security_groups", "GroupIds"),
    "ec2:security-group-rule": ("describe_security_group_rules", "SecurityGroupRuleIds"),
    "ec2:subnet": ("describe_subnets", "SubnetIds"),
    "ec2:vpc": ("describe_vpcs", "VpcIds"),
    "ec2:vpc-endpoint": ("describe_vpc_endpoints", "VpcEndpointIds"),
    "ec2:flow-logs": ("describe_flow_logs", "FlowLogIds"),  # the emulated cloud's word
    "ec2:vpc-flow-log": ("describe_flow_logs", "FlowLogIds"),
}


def is_there(client: Client, thing: Thing) -> bool:
    """Tell whether something exists and is not being deleted; asked only for strangers."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded by now

    try:
        if thing.kind == "kms:key":
            key = client("kms").describe_key(KeyId=thing.id)["KeyMetadata"]
            return "Deletion" not in str(key["KeyState"])
        if thing.kind == "secretsmanager:secret":
            secret = client("secretsmanager").describe_secret(SecretId=thing.arn)
            return not secret.get("DeletedDate")
        if thing.kind in _EC2_IDS:
            operation, ids = _EC2_IDS[thing.kind]
            answer = getattr(client("ec2"), operation)(**{ids: [thing.id]})
            found = next((v for v in answer.values() if isinstance(v, list)), [])
            return any(str(f.get("State", "")).lower() not in GOING for f in found)
    except ClientError as error:
        if "NotFound" in error.response["Error"]["Code"]:
            return False
        raise
    return True
