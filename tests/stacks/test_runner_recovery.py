"""After a crash: interrupted creates are imported or cleared with proof, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stacks.contract import UNKNOWN
from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk, begun, gone, kill_everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]


def crash(desk: Desk, *, dies: str, after: int, **changes: Any) -> None:
    """Kill the runner, or everything, when so many creates of cloud resources have begun."""
    with desk.start("up", deadlines={"stop_seconds": 20.0}, **changes) as running:
        for _ in range(after):
            running.until(begun)
        if dies == "everything":
            kill_everything(running.call_id)
        running.process.kill()
        assert gone(running.call_id, within_seconds=60)
    locks = desk.locks()
    desk.result("clean_up", break_locks=locks, end_calls=[running.call_id])


@pytest.mark.parametrize(
    ("dies", "after"),
    [("everything", 3), ("everything", 9), ("everything", 20), ("runner", 6), ("runner", 14)],
)
def test_a_crashed_hub_goes_on_inside_its_plan_and_nothing_exists_twice(
    make_desk: MakeDesk, runner_cloud: CloudProcess, dies: str, after: int
) -> None:
    short = f"hub-{dies[:3]}-{after}"
    deployment = f"dep_{short}"
    spec = sample_specs.hub(
        owner=sample_specs.owner("platform", short, mode="A", deployment=deployment)
    )
    desk = make_desk(program=None, spec=spec, stack=f"hub.eu-west-1.{dies[:3]}{after}")
    desk.program = "mode_a.hub"
    approved = desk.plan()
    crash(desk, dies=dies, after=after, saved_plan=approved["saved_plan"])
    pending = desk.result("export")["pending"]
    if pending:
        assert desk.failure("up")["code"] == "pending_unresolved"
        resolved = desk.result("resolve_pending")
        assert {r["urn"] for r in resolved["resolved"]} == {
            p["urn"] for p in pending if p["operation"] == "creating"
        }
        assert all(r["proof"] for r in resolved["resolved"])
        assert desk.result("export")["pending"] == []
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        assert running.planned is not None
        check_inside(running.planned, approved)
        finished = running.finish().last
    assert finished["message"] == "result", finished
    assert [c for c in finished["checks"] if not c["ok"]] == []
    ec2 = runner_cloud.client("ec2")
    ours = [{"Name": "tag:tenantplane:deployment", "Values": [deployment]}]
    assert len(ec2.describe_vpcs(Filters=ours)["Vpcs"]) == 1
    subnets = ec2.describe_subnets(Filters=ours)["Subnets"]
    endpoints = ec2.describe_vpc_endpoints(Filters=ours)["VpcEndpoints"]
    assert len(subnets) == number(finished, "aws:ec2/subnet:Subnet")
    assert len(endpoints) == number(finished, "aws:ec2/vpcEndpoint:VpcEndpoint")
    keys = [k for k in all_keys(runner_cloud) if deployment in json.dumps(k)]
    assert len(keys) == number(finished, "aws:kms/key:Key")


def check_inside(planned: dict[str, Any], approved: dict[str, Any]) -> None:
    """Check that what remains are creates of the plan, or the completion of what they began."""
    allowed = {o["urn"] for o in approved["operations"] if o["op"] == "create"}
    wanted = {r["urn"]: r["inputs"] for r in approved["resources"]}
    inputs = {r["urn"]: r["inputs"] for r in planned["resources"]}
    for operation in planned["operations"]:
        assert operation["op"] in ("same", "create", "update")
        urn = operation["urn"]
        assert urn in allowed
        for name, value in wanted[urn].items():
            if operation["op"] == "update" and UNKNOWN not in json.dumps(value):
                assert inputs[urn][name] == value, (urn, name)


def all_keys(cloud: CloudProcess) -> list[Any]:
    """Return the tags of every key."""
    kms = cloud.client("kms")
    pages = kms.get_paginator("list_keys").paginate()
    return [kms.list_resource_tags(KeyId=k["KeyId"])["Tags"] for p in pages for k in p["Keys"]]


def number(result: dict[str, Any], kind: str) -> int:
    return len([r for r in result["resources"] if r["type"] == kind])


KINDS = {
    "ssm/parameter:Parameter": 'ssm.Parameter("x", name=f"/{spec.owner.short}/x", type="String", '
    'value="1", opts=opts)',
    "iam/role:Role": 'iam.Role("x", name=f"{spec.owner.short}-x", assume_role_policy=\'{"Version":'
    '"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":'
    '{"Service":"ecs-tasks.amazonaws.com"}}]}\', opts=opts)',
    "s3/bucket:Bucket": 's3.Bucket("x", bucket=f"{spec.owner.short}-x", opts=opts)',
    "kms/key:Key": 'kms.Key("x", description="x", opts=opts)',
    "secretsmanager/secret:Secret": 'secretsmanager.Secret("x", name=f"{spec.owner.short}/x", '
    "opts=opts)",
    "cloudwatch/logGroup:LogGroup": 'cloudwatch.LogGroup("x", name=f"/{spec.owner.short}/x", '
    "opts=opts)",
    "dynamodb/table:Table": 'dynamodb.Table("x", name=f"{spec.owner.short}-x", hash_key="k", '
    'billing_mode="PAY_PER_REQUEST", attributes=[{"name": "k", "type": "S"}], opts=opts)',
    "ec2/vpc:Vpc": 'ec2.Vpc("x", cidr_block="10.9.0.0/16", opts=opts)',
}


def program_of(*kinds: str) -> str:
    """Return a program with one resource of each kind."""
    made = "".join(f"    aws.{KINDS[kind]}\n" for kind in kinds)
    return f"""
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    opts = pulumi.ResourceOptions(provider=provider)
{made}    return {{"region": spec.region}}
"""


def make_pending(desk: Desk) -> list[dict[str, Any]]:
    """Turn the stack's cloud resources into interrupted creates, in its state file."""
    path = desk.backend / ".pulumi" / "stacks" / "tenantplane" / f"{desk.stack}.json"
    document = json.loads(path.read_text())
    latest = document["checkpoint"]["latest"]
    mine = [r for r in latest["resources"] if r["type"].startswith("aws:")]
    latest["resources"] = [r for r in latest["resources"] if r not in mine]
    unknown = ("id", "outputs", "created", "modified")
    latest["pending_operations"] = [
        {"resource": {k: v for k, v in each.items() if k not in unknown}, "type": "creating"}
        for each in mine
    ]
    path.write_text(json.dumps(document))
    return mine


def test_interrupted_creates_that_happened_are_imported(make_desk: MakeDesk) -> None:
    desk = make_desk(program=program_of(*KINDS))
    desk.result("up", verify=False)
    lost = make_pending(desk)
    assert {r["type"] for r in lost} == {f"aws:{kind}" for kind in KINDS}
    resolved = desk.result("resolve_pending")
    assert {r["urn"]: r["resolution"] for r in resolved["resolved"]} == {
        r["urn"]: "imported" for r in lost
    }
    assert {r["urn"] for r in lost} <= {r["urn"] for r in resolved["resources"]}
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def test_an_interrupted_create_that_did_not_happen_is_cleared(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("ssm/parameter:Parameter"))
    desk.result("up", verify=False)
    (lost,) = make_pending(desk)
    runner_cloud.client("ssm").delete_parameter(Name=lost["inputs"]["name"])
    resolved = desk.result("resolve_pending")["resolved"]
    assert [r["resolution"] for r in resolved] == ["cleared"]
    assert lost["inputs"]["name"] in resolved[0]["proof"]
    assert {o["op"] for o in desk.plan()["operations"]} == {"same", "create"}


def test_what_is_not_ours_is_left_for_people(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("iam/role:Role"))
    desk.result("up", verify=False)
    (lost,) = make_pending(desk)
    before = desk.result("export")["state_digest"]
    iam, name = runner_cloud.client("iam"), lost["inputs"]["name"]
    iam.untag_role(RoleName=name, TagKeys=["tenantplane:deployment"])
    refused = desk.failure("resolve_pending")
    assert refused["code"] == "pending_unresolved"
    assert refused["data"]["resources"][0]["urn"] == lost["urn"]
    assert desk.result("export")["state_digest"] == before
    assert iam.get_role(RoleName=name)["Role"]["RoleName"] == name


def test_two_that_may_be_ours_are_left_for_people(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("ec2/vpc:Vpc"))
    desk.result("up", verify=False)
    (lost,) = make_pending(desk)
    tags = [{"Key": k, "Value": v} for k, v in lost["inputs"]["tagsAll"].items()]
    runner_cloud.client("ec2").create_vpc(
        CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )
    refused = desk.failure("resolve_pending")
    assert refused["code"] == "pending_unresolved"
    assert "more than one" in refused["text"]


def test_nothing_pending_is_nothing_to_do(desk: Desk) -> None:
    desk.result("up", verify=False)
    # what the engine writes in place is torn by its death and then stops every later one
    assert not list(desk.backend.rglob("*.attrs"))
    before = desk.result("export")
    assert desk.result("resolve_pending")["resolved"] == []
    assert desk.result("export")["history_digest"] == before["history_digest"]


def test_an_update_that_no_call_of_ours_made_is_seen(desk: Desk) -> None:
    made = desk.call("up", call_id="run_x.1")
    assert made.last["message"] == "result"
    assert desk.result("export")["written_by"] == "run_x.1"
    path = desk.backend / ".pulumi" / "stacks" / "tenantplane" / f"{desk.stack}.json"
    path.write_text(path.read_text().replace("tenants/", "elsewhere/"))
    exported = desk.result("export")
    assert exported["written_by"] is None
    assert exported["state_digest"] != made.last["state_digest"]
