"""What belongs to a deployment and is in no state is found, by tag or by name; nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stacks.contract import Request
from stacks.engine.identities import LOOKUPS, SETTINGS
from stacks.engine.strangers import strangers
from tests.stacks.cloud_process import REGION, CloudProcess
from tests.stacks.made_stacks import Made, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TAG = "tenantplane:deployment"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the credentials that a runner would have."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def found(made: Made, *, without: str = "") -> list[str]:
    """Return the strangers, the state being without the resources of a type."""
    request = Request.model_validate(made.desk.request("look"))
    state = made.desk.state()
    state["resources"] = [r for r in state["resources"] if r["type"] != without]
    return [*map(str, strangers(request, state))]


def test_every_type_that_the_programs_make_can_be_looked_up(world: World) -> None:
    made = {r["type"] for each in world.all for r in each.desk.state()["resources"]}
    kinds = {kind for kind in made if kind.startswith("aws:")}
    assert kinds - LOOKUPS.keys() - SETTINGS == set()
    assert len(kinds) > 20


def test_a_lookup_gives_the_id_that_the_state_has(world: World) -> None:
    for made in world.all:
        for each in made.desk.state()["resources"]:
            lookup = LOOKUPS.get(each["type"])
            if lookup is not None:
                ids = {found.id for found in lookup(world.cloud.client, each["inputs"])}
                assert each["id"] in ids, each["urn"]


def test_what_the_programs_make_is_no_stranger(world: World) -> None:
    for made in world.all:
        assert found(made) == [], made.short


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("aws:rds/instance:Instance", "rds:db"),
        ("aws:rds/subnetGroup:SubnetGroup", "rds:subgrp"),
        ("aws:iam/role:Role", "iam:role"),
        ("aws:kms/alias:Alias", "kms:alias"),
    ],
)
def test_a_known_thing_of_the_same_name_makes_no_other_known(
    world: World, kind: str, told: str
) -> None:
    made = world.dedicated
    lost = [r for r in made.desk.state()["resources"] if r["type"] == kind]
    assert lost
    strange = found(made, without=kind)
    assert [each.split()[0] for each in strange] == [told] * len(lost)


def vpc(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    del made
    ec2 = cloud.client("ec2")
    identity = ec2.create_vpc(
        CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]["VpcId"]
    return identity, lambda: ec2.delete_vpc(VpcId=identity)


def endpoint(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    ec2 = cloud.client("ec2")
    identity = ec2.create_vpc_endpoint(
        VpcId=made.outputs["vpc_id"], VpcEndpointType="Gateway",
        ServiceName=f"com.amazonaws.{REGION}.s3",
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags}],
    )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
    return identity, lambda: ec2.delete_vpc_endpoints(VpcEndpointIds=[identity])


def address(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    del made
    ec2 = cloud.client("ec2")
    identity = ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )["AllocationId"]
    return identity, lambda: ec2.release_address(AllocationId=identity)


def key(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    del made
    kms = cloud.client("kms")
    pairs = [{"TagKey": t["Key"], "TagValue": t["Value"]} for t in tags]
    identity = kms.create_key(Tags=pairs)["KeyMetadata"]["KeyId"]
    return identity, lambda: kms.schedule_key_deletion(KeyId=identity, PendingWindowInDays=7)


def bucket(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    s3, name = cloud.client("s3"), f"{made.short}-more"  # it cannot be tagged at its creation
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name, lambda: s3.delete_bucket(Bucket=name)


def role(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    iam, name = cloud.client("iam"), f"{made.short}-more"
    trust = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
        ' "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}'
    )
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags)
    return name, lambda: iam.delete_role(RoleName=name)


def secret(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    manager, name = cloud.client("secretsmanager"), f"{made.short}/more"
    manager.create_secret(Name=name, SecretString="x", Tags=tags)
    return name, lambda: manager.delete_secret(SecretId=name, RecoveryWindowInDays=7)


def log_group(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    hub = made.desk.spec.get("hub")
    folder = f"{hub['log_group_prefix']}/tenants" if hub else "/tenantplane"
    logs, name = cloud.client("logs"), f"{folder}/{made.short}/more"
    logs.create_log_group(logGroupName=name)
    return name, lambda: logs.delete_log_group(logGroupName=name)


def parameter(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    ssm, name = cloud.client("ssm"), f"/tenantplane/{made.short}/more"
    ssm.put_parameter(Name=name, Value="1", Type="String")
    return name, lambda: ssm.delete_parameter(Name=name)


def subnet_group(cloud: CloudProcess, made: Made, tags: list[dict[str, str]]) -> tuple[str, Any]:
    rds, name = cloud.client("rds"), f"{made.short}-more"
    subnets = list(made.outputs["private_subnet_ids"])
    rds.create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=subnets, Tags=tags
    )
    return name, lambda: rds.delete_db_subnet_group(DBSubnetGroupName=name)


def alias(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    kms, name = cloud.client("kms"), f"{made.short}-more"
    any_key = kms.list_keys()["Keys"][0]["KeyId"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=any_key)
    return name, lambda: kms.delete_alias(AliasName=f"alias/{name}")


def rule(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    ec2, group = cloud.client("ec2"), made.outputs["app_security_group_id"]
    opened = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                        "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )  # fmt: skip
    identity = opened["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    return identity, lambda: ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[identity]
    )


def default_rule(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    """Open the group that AWS makes with a network."""
    ec2 = cloud.client("ec2")
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [made.outputs["vpc_id"]]},
                 {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]  # fmt: skip
    group = groups[0]["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    opened = ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everything)
    identity = opened["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    return identity, lambda: ec2.revoke_security_group_egress(
        GroupId=group, SecurityGroupRuleIds=[identity]
    )


def route(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    ec2, vpc_id = cloud.client("ec2"), made.outputs["vpc_id"]
    tables = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]},
                 {"Name": "tag:tenantplane:deployment",
                  "Values": [made.desk.spec["owner"]["deployment"]]}]
    )["RouteTables"]  # fmt: skip
    table = tables[0]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    way_out = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**way_out, GatewayId=gateway)

    def remove() -> None:
        ec2.delete_route(**way_out)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)

    return f"{table}/0.0.0.0/0", remove


def role_policy(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    iam, role = cloud.client("iam"), _role_of(made)
    anything = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*",'
        ' "Resource": "*"}]}'
    )
    iam.put_role_policy(RoleName=role, PolicyName="by-hand", PolicyDocument=anything)
    return f"{role}:by-hand", lambda: iam.delete_role_policy(RoleName=role, PolicyName="by-hand")


def attachment(cloud: CloudProcess, made: Made, _tags: list[dict[str, str]]) -> tuple[str, Any]:
    iam, role = cloud.client("iam"), _role_of(made)
    arn = made.outputs["boundary_arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    return f"{role}/{arn}", lambda: iam.detach_role_policy(RoleName=role, PolicyArn=arn)


def _role_of(made: Made) -> str:
    return str(made.outputs["app_role_arn"]).rpartition("/")[2]


@pytest.mark.parametrize(
    "make",
    [
        vpc,
        endpoint,
        address,
        key,
        bucket,
        role,
        secret,
        log_group,
        subnet_group,
        alias,
        rule,
        default_rule,
        route,
        role_policy,
        attachment,
    ],
    ids=lambda make: str(make.__name__),
)
def test_a_stranger_is_named_until_it_is_gone(
    world: World, make: Callable[..., tuple[str, Callable[[], Any]]]
) -> None:
    made = world.dedicated
    with stranger(world.cloud, made, make) as name:
        (told,) = found(made)
        assert name in told
        assert found(world.hub) == []
    assert found(made) == []


@pytest.mark.parametrize("make", [key, role, secret, parameter, log_group, alias])
def test_a_stranger_of_a_slice_is_not_one_of_its_neighbour(
    world: World, make: Callable[..., tuple[str, Callable[[], Any]]]
) -> None:
    first, second = world.slices.values()
    with stranger(world.cloud, first, make) as name:
        (told,) = found(first)
        assert name in told
        assert found(second) == []
        assert found(world.hub) == []
    assert found(first) == []


@contextmanager
def stranger(
    cloud: CloudProcess, made: Made, make: Callable[..., tuple[str, Callable[[], Any]]]
) -> Iterator[str]:
    """Make something that belongs to a deployment beside its stack, and remove it again."""
    deployment = made.desk.spec["owner"]["deployment"]
    name, remove = make(cloud, made, [{"Key": TAG, "Value": deployment}])
    try:
        yield name
    finally:
        remove()
