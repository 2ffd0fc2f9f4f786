"""After a provider or an engine that was killed: what it made is found, adopted and never doubled.

An engine whose provider dies believes that nothing was made, so no trace of it is in the state.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import (
    Desk,
    RunnerCall,
    begun,
    gone,
    is_provider,
    processes_of,
    take_over,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]


def dedicated_desk(make_desk: MakeDesk, short: str) -> Desk:
    """Return a desk for a dedicated Hub of its own."""
    owner = sample_specs.owner(short, f"{short}-q7w2e4", mode="B", deployment=f"dep_{short}")
    desk = make_desk(stack=f"{short}.production.b", spec=sample_specs.dedicated(owner=owner))
    desk.program = "mode_b"
    return desk


def killed(running: RunnerCall, victim: Callable[[psutil.Process], bool], *, after: int) -> Any:
    """Kill the victims when so many creates have begun; return the last line."""
    for _ in range(after):
        running.until(begun)
    time.sleep(0.02)  # into the request
    for process in processes_of(running.call_id):
        if victim(process):
            process.kill()
    last = running.finish().last
    assert gone(running.call_id, within_seconds=60)
    return last


def is_engine(process: psutil.Process) -> bool:
    return process.name() == "pulumi"


def things(cloud: CloudProcess, deployment: str, short: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name of everything that belongs to a deployment, asked service by service."""
    ec2, kms = cloud.client("ec2"), cloud.client("kms")
    ours = [{"Name": "tag:tenantplane:deployment", "Values": [deployment]}]
    for operation, answer in (
        ("describe_vpcs", "Vpcs"), ("describe_subnets", "Subnets"),
        ("describe_vpc_endpoints", "VpcEndpoints"), ("describe_route_tables", "RouteTables"),
        ("describe_security_groups", "SecurityGroups"),
    ):  # fmt: skip
        for each in ec2.get_paginator(operation).paginate(Filters=ours).build_full_result()[answer]:
            yield answer, name_in(each["Tags"])
    for flow in ec2.describe_flow_logs(Filters=ours)["FlowLogs"]:
        yield "FlowLogs", name_in(flow["Tags"])
    for key in kms.list_keys(Limit=1000)["Keys"]:
        pairs = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
        tags = {p["TagKey"]: p["TagValue"] for p in pairs}
        if tags.get("tenantplane:deployment") == deployment:
            yield "Keys", tags["Name"]
    for bucket in cloud.client("s3").list_buckets()["Buckets"]:
        if bucket["Name"].startswith(short):
            yield "Buckets", bucket["Name"]
    for role in (
        cloud.client("iam").get_paginator("list_roles").paginate().build_full_result()["Roles"]
    ):
        if role["RoleName"].startswith(short):
            yield "Roles", role["RoleName"]


KINDS = {
    "Vpcs": "aws:ec2/vpc:Vpc",
    "Subnets": "aws:ec2/subnet:Subnet",
    "VpcEndpoints": "aws:ec2/vpcEndpoint:VpcEndpoint",
    "RouteTables": "aws:ec2/routeTable:RouteTable",
    "SecurityGroups": "aws:ec2/securityGroup:SecurityGroup",
    "FlowLogs": "aws:ec2/flowLog:FlowLog",
    "Keys": "aws:kms/key:Key",
    "Buckets": "aws:s3/bucket:Bucket",
    "Roles": "aws:iam/role:Role",
}


def name_in(tags: list[dict[str, str]]) -> str:
    return next(t["Value"] for t in tags if t["Key"] == "Name")


def unknown_to_the_state(desk: Desk, cloud: CloudProcess) -> dict[str, int]:
    """Return how many things of each type the cloud has and the state has not.

    Without security groups: the default one is there before anybody makes anything of it.
    """
    owner = desk.spec["owner"]
    made = Counter(KINDS[kind] for kind, _ in things(cloud, owner["deployment"], owner["short"]))
    del made[KINDS["SecurityGroups"]]
    return dict(made - Counter(r["type"] for r in desk.state()["resources"]))


def check_whole(desk: Desk, cloud: CloudProcess) -> None:
    """Check that the stack is whole and that the cloud has exactly what its state has."""
    done = desk.result("up")
    assert [c for c in done["look"]["checks"] if not c["ok"]] == []
    owner = desk.spec["owner"]
    found = Counter(things(cloud, owner["deployment"], owner["short"]))
    assert {thing: n for thing, n in found.items() if n > 1} == {}
    kinds = Counter(r["type"] for r in done["look"]["resources"])
    kinds[KINDS["SecurityGroups"]] += kinds["aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"]
    assert Counter(kind for kind, _ in found) == {k: kinds[t] for k, t in KINDS.items()}
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


@pytest.mark.parametrize("after", [1, 9, 24])
def test_what_a_killed_provider_made_is_adopted_and_nothing_exists_twice(
    make_desk: MakeDesk, runner_cloud: CloudProcess, after: int
) -> None:
    desk = dedicated_desk(make_desk, f"prov{after}")
    with desk.start("up") as running:
        last = killed(running, is_provider, after=after)
    assert (last["message"], last["code"]) == ("failure", "provider_died"), (last, running.noise())
    assert last["changed"]
    take_over(desk, running)
    lost = unknown_to_the_state(desk, runner_cloud)
    resolved = desk.result("resolve")["resolved"]
    adopted = Counter(r["type"] for r in resolved if r["resolution"] == "adopted")
    del adopted[KINDS["SecurityGroups"]]
    assert {kind: n for kind, n in adopted.items() if kind in KINDS.values()} == lost
    assert [r for r in resolved if not r["proof"]] == []
    assert desk.result("inspect")["written_by"] is not None
    check_whole(desk, runner_cloud)


@pytest.mark.parametrize("after", [5, 30])
def test_what_a_killed_engine_made_is_settled_and_nothing_exists_twice(
    make_desk: MakeDesk, runner_cloud: CloudProcess, after: int
) -> None:
    desk = dedicated_desk(make_desk, f"eng{after}")
    with desk.start("up") as running:
        last = killed(running, is_engine, after=after)
    assert (last["message"], last["code"]) == ("failure", "engine_died"), last
    assert last["changed"]
    assert last["state_digest"]
    left = desk.result("inspect")
    assert (left["locks"], left["written_by"]) == ([], running.call_id)  # the keeper saw to it
    take_over(desk, running)
    desk.result("resolve")
    check_whole(desk, runner_cloud)
