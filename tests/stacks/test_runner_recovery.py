"""After a crash: interrupted creates are imported or cleared with proof, and the run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from stacks.contract import UNKNOWN
from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess, silent
from tests.stacks.runner_calls import Desk, begun, gone, kill_everything, phase_begins, take_over

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
    take_over(desk, running)


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
    crash(desk, dies=dies, after=after)
    pending = desk.result("inspect")["pending"]
    if pending:
        assert desk.failure("up")["code"] == "pending_unresolved"
    resolved = desk.result("resolve")["resolved"]
    settled = [r["urn"] for r in resolved if r["resolution"] != "adopted"]
    assert sorted(settled) == sorted(p["urn"] for p in pending)
    assert all(r["proof"] for r in resolved)
    assert desk.result("inspect")["pending"] == []
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        assert running.planned is not None
        check_inside(running.planned, approved)
        finished = running.finish().last
    assert finished["message"] == "result", finished
    assert [c for c in finished["look"]["checks"] if not c["ok"]] == []
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
    return len([r for r in result["look"]["resources"] if r["type"] == kind])


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
    """Turn the stack's cloud resources into interrupted creates, in its state."""
    state = desk.state()
    mine = [r for r in state["resources"] if r["type"].startswith("aws:")]
    state["resources"] = [r for r in state["resources"] if r not in mine]
    unknown = ("id", "outputs", "created", "modified")
    state["pending_operations"] = [
        {"resource": {k: v for k, v in each.items() if k not in unknown}, "type": "creating"}
        for each in mine
    ]
    desk.write_state(state)
    return mine


NESTED = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    opts = pulumi.ResourceOptions(provider=provider)
    vpc = aws.ec2.Vpc("v", cidr_block="10.9.0.0/16", tags={"Name": "v"}, opts=opts)
    subnet = aws.ec2.Subnet("s", vpc_id=vpc.id, cidr_block="10.9.1.0/24",
                            availability_zone=f"{spec.region}a", tags={"Name": "s"}, opts=opts)
    table = aws.ec2.RouteTable("t", vpc_id=vpc.id, tags={"Name": "t"}, opts=opts)
    aws.ec2.RouteTableAssociation("a", subnet_id=subnet.id, route_table_id=table.id, opts=opts)
    group = aws.ec2.SecurityGroup("g", name=f"{spec.owner.short}-g", description="g",
                                  vpc_id=vpc.id, tags={"Name": "g"}, opts=opts)
    for number, cidr in enumerate(("10.1.0.0/16", "10.2.0.0/16")):
        aws.vpc.SecurityGroupIngressRule(f"r{number}", security_group_id=group.id, cidr_ipv4=cidr,
                                         ip_protocol="tcp", from_port=443, to_port=443,
                                         description="r", tags={"Name": "r"}, opts=opts)
    key = aws.kms.Key("k", description="k", tags={"Name": "k"}, opts=opts)
    aws.kms.Alias("k", name=f"alias/{spec.owner.short}-k", target_key_id=key.key_id, opts=opts)
    return {"region": spec.region}
"""


@pytest.mark.parametrize("program", [program_of(*KINDS), NESTED], ids=["single", "nested"])
def test_interrupted_creates_that_happened_are_imported(make_desk: MakeDesk, program: str) -> None:
    desk = make_desk(program=program)
    desk.result("up", verify=False)
    lost = {r["urn"]: r["id"] for r in make_pending(desk)}
    resolved = desk.result("resolve")["resolved"]
    assert {r["urn"]: r["resolution"] for r in resolved} == dict.fromkeys(lost, "imported")
    assert {r["urn"]: r["id"] for r in desk.state()["resources"] if r["urn"] in lost} == lost
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def forget(desk: Desk) -> list[dict[str, Any]]:
    """Take the stack's cloud resources out of its state, as if their answers had been lost."""
    state = desk.state()
    mine = [r for r in state["resources"] if r["type"].startswith("aws:")]
    desk.write_state({**state, "resources": [r for r in state["resources"] if r not in mine]})
    return mine


def test_what_was_made_and_never_answered_for_is_adopted(make_desk: MakeDesk) -> None:
    desk = make_desk(program=program_of(*KINDS))
    desk.result("up", verify=False)
    lost = {r["urn"]: r["id"] for r in forget(desk)}
    resolved = desk.call("resolve", call_id="run_a.1").last["resolved"]
    assert {r["urn"]: r["resolution"] for r in resolved} == dict.fromkeys(lost, "adopted")
    assert {r["urn"]: r["id"] for r in desk.state()["resources"] if r["urn"] in lost} == lost
    assert desk.result("inspect")["written_by"] == "run_a.1"
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}
    assert desk.result("resolve")["resolved"] == []


def test_what_belongs_to_what_was_lost_is_adopted_with_it(make_desk: MakeDesk) -> None:
    desk = make_desk(program=NESTED)
    desk.result("up", verify=False)
    lost = {r["urn"]: r["id"] for r in forget(desk)}
    resolved = desk.result("resolve")["resolved"]
    assert {r["urn"] for r in resolved} == set(lost)
    assert {r["urn"]: r["id"] for r in desk.state()["resources"] if r["urn"] in lost} == lost
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def test_what_was_lost_and_may_be_somebody_elses_is_named_and_left(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("iam/role:Role", "ec2/vpc:Vpc"))
    desk.result("up", verify=False)
    role = next(r for r in forget(desk) if "iam" in r["type"])
    before = desk.state()
    runner_cloud.client("iam").untag_role(
        RoleName=role["inputs"]["name"], TagKeys=["tenantplane:deployment"]
    )
    refused = desk.failure("resolve")
    assert refused["code"] == "pending_unresolved"
    assert [r["urn"] for r in refused["data"]["resources"]] == [role["urn"]]
    assert role["inputs"]["name"] in refused["text"]
    assert desk.state() == before


def fail_half_way(desk: Desk) -> list[dict[str, Any]]:
    """Put the stack's cloud resources into its state as a provider that was canceled left them."""
    state = desk.state()
    mine = [r for r in state["resources"] if r["type"].startswith("aws:")]
    for resource in mine:
        resource["initErrors"] = ["canceled"]
    desk.write_state(state)
    return mine


GROUP = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    opts = pulumi.ResourceOptions(provider=provider)
    vpc = aws.ec2.Vpc("v", cidr_block="10.9.0.0/16", opts=opts)
    aws.ec2.SecurityGroup("g", name=f"{spec.owner.short}-g", vpc_id=vpc.id, opts=opts)
    aws.ec2.DefaultSecurityGroup("d", vpc_id=vpc.id, opts=opts)
    return {"region": spec.region}
"""


@pytest.mark.parametrize(
    ("lose", "kind"),
    [
        (make_pending, "SecurityGroup"),
        (forget, "SecurityGroup"),
        (fail_half_way, "SecurityGroup"),
        (fail_half_way, "DefaultSecurityGroup"),  # lost, it is simply taken over once more
    ],
)
def test_a_group_that_was_half_made_lets_nothing_out(
    make_desk: MakeDesk,
    runner_cloud: CloudProcess,
    lose: Callable[[Desk], list[dict[str, Any]]],
    kind: str,
) -> None:
    desk = make_desk(program=GROUP)
    desk.result("up", verify=False)
    group = next(r["id"] for r in lose(desk) if r["type"].endswith(f":{kind}"))
    ec2 = runner_cloud.client("ec2")
    ec2.authorize_security_group_egress(  # as AWS makes a group
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    if kind == "DefaultSecurityGroup":
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}],
        )
    ec2.authorize_security_group_egress(  # and what somebody added
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
             "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )  # fmt: skip
    resolved = desk.result("resolve")["resolved"]
    proof = next(r["proof"] for r in resolved if r["type"].endswith(f":{kind}"))
    assert "was taken away" in proof
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    assert [r["FromPort"] for r in rules["SecurityGroupRules"]] == [443]
    planned = {o["op"] for o in desk.plan()["operations"] if o["type"].endswith(f":{kind}")}
    assert planned == {"same"}


REPLACED = """
import pulumi
import pulumi_aws as aws


def build(spec, provider):
    opts = pulumi.ResourceOptions(provider=provider)
    aws.cloudwatch.LogGroup("x", name=f"/{spec.owner.short}/{spec.retention.log_days}", opts=opts)
    return {"region": spec.region}
"""


def test_a_lost_replacement_takes_the_place_of_the_old_thing_which_is_deleted(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=REPLACED)
    desk.result("up", verify=False)
    short = desk.spec["owner"]["short"]
    old, new = f"/{short}/365", f"/{short}/30"
    desk.spec = {**desk.spec, "retention": {**desk.spec["retention"], "log_days": 30}}
    logs = runner_cloud.client("logs")
    (lost,) = [r for r in desk.state()["resources"] if r["type"].startswith("aws:")]
    logs.create_log_group(logGroupName=new, tags=lost["inputs"]["tagsAll"])
    resolved = desk.result("resolve")["resolved"]
    assert [(r["urn"], r["resolution"]) for r in resolved] == [(lost["urn"], "adopted")]
    desk.result("up", verify=False)
    found = logs.describe_log_groups(logGroupNamePrefix=f"/{short}/")["logGroups"]
    assert [g["logGroupName"] for g in found] == [new], old
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def test_other_interrupted_operations_are_settled_by_reading_again(make_desk: MakeDesk) -> None:
    desk = make_desk(program=program_of(*KINDS))
    desk.result("up", verify=False)
    state = desk.state()
    of = {r["type"].rsplit(":", 1)[1]: r for r in state["resources"]}
    unknown = ("id", "outputs", "created", "modified")
    state["resources"].remove(of["Vpc"])
    interrupted = {"updating": "Parameter", "deleting": "Bucket", "importing": "LogGroup",
                   "reading": "Table"}  # fmt: skip
    state["pending_operations"] = [
        *({"resource": of[name], "type": kind} for kind, name in interrupted.items()),
        {"resource": {k: v for k, v in of["Vpc"].items() if k not in unknown}, "type": "creating"},
    ]
    desk.write_state(state)
    assert desk.failure("up")["code"] == "pending_unresolved"
    resolved = desk.result("resolve")["resolved"]
    assert {r["urn"]: r["resolution"] for r in resolved} == {
        **{of[name]["urn"]: "cleared" for name in interrupted.values()},
        of["Vpc"]["urn"]: "imported",
    }
    assert desk.result("inspect")["pending"] == []
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def test_a_resolution_that_dies_can_be_told_and_made_again(make_desk: MakeDesk) -> None:
    desk = make_desk(program=program_of(*KINDS))
    desk.result("up", verify=False)
    lost = make_pending(desk)
    with desk.start("resolve") as running:
        running.until(lambda m: phase_begins(m, "refresh"))
        kill_everything(running.call_id)
        running.process.kill()
        assert gone(running.call_id, within_seconds=60)
    left = desk.result("inspect")
    held = {lock["call_id"] for lock in left["locks"]}
    assert held == {running.call_id} or left["written_by"] == running.call_id
    take_over(desk, running)
    desk.result("resolve")
    assert {r["urn"] for r in lost} <= {r["urn"] for r in desk.state()["resources"]}
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}


def records(desk: Desk) -> dict[str, bytes]:
    """Return everything that the backend has of the stack."""
    return {path.name: path.read_bytes() for path in desk.records.iterdir()}


@pytest.mark.parametrize("asked", ["cancel", "hang_up", "deadline"])
def test_a_look_up_that_gets_no_answer_hears_that_it_is_to_stop(
    make_desk: MakeDesk, runner_cloud: CloudProcess, asked: str
) -> None:
    desk = make_desk(program=program_of("ssm/parameter:Parameter"))
    desk.result("up", verify=False)
    make_pending(desk)
    before = records(desk)
    seconds = {"plan_seconds": 2.0, "verify_seconds": 1.0} if asked == "deadline" else {}
    with silent(runner_cloud), desk.start("resolve", deadlines=seconds) as running:
        running.until(lambda m: phase_begins(m, "look_up"))
        began = time.monotonic()
        if asked == "cancel":
            running.send("cancel")
        elif asked == "hang_up":
            running.hang_up()
        last = running.finish().last
        assert time.monotonic() - began < 20
    reasons = {"cancel": "canceled", "hang_up": "parent_gone", "deadline": "deadline"}
    assert (last["code"], last["data"]["phase"]) == (reasons[asked], "look_up")
    assert records(desk) == before
    assert gone(running.call_id, within_seconds=60)


def test_an_interrupted_create_that_did_not_happen_is_cleared(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("ssm/parameter:Parameter"))
    desk.result("up", verify=False)
    (lost,) = make_pending(desk)
    runner_cloud.client("ssm").delete_parameter(Name=lost["inputs"]["name"])
    resolved = desk.result("resolve")["resolved"]
    assert [r["resolution"] for r in resolved] == ["cleared"]
    assert lost["inputs"]["name"] in resolved[0]["proof"]
    assert {o["op"] for o in desk.plan()["operations"]} == {"same", "create"}


def test_what_is_not_ours_is_left_for_people(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=program_of("iam/role:Role"))
    desk.result("up", verify=False)
    (lost,) = make_pending(desk)
    before = desk.result("inspect")["state_digest"]
    iam, name = runner_cloud.client("iam"), lost["inputs"]["name"]
    iam.untag_role(RoleName=name, TagKeys=["tenantplane:deployment"])
    refused = desk.failure("resolve")
    assert refused["code"] == "pending_unresolved"
    assert refused["data"]["resources"][0]["urn"] == lost["urn"]
    assert desk.result("inspect")["state_digest"] == before
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
    refused = desk.failure("resolve")
    assert refused["code"] == "pending_unresolved"
    assert "several resources carry its tags" in refused["text"]


def test_where_nothing_is_pending_the_cloud_is_read_again_and_the_state_stays(desk: Desk) -> None:
    desk.result("up", verify=False)
    before = desk.state_digest()
    resolved = desk.call("resolve", call_id="run_a.1").last
    assert (resolved["resolved"], resolved["changed"]) == ([], False)
    after = desk.result("inspect")
    assert (after["state_digest"], after["written_by"]) == (before, "run_a.1")


def test_a_resolution_of_a_stack_that_was_never_applied_changes_nothing(desk: Desk) -> None:
    for _ in range(2):
        resolved = desk.result("resolve")
        assert (resolved["resolved"], resolved["changed"]) == ([], False)
        assert (resolved["state_digest"], resolved["history_digest"]) == (None, None)
        desk.plan()  # which leaves no stack behind


def test_what_somebody_deleted_or_changed_is_planned_again_after_a_resolution(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    desk.result("up", verify=False)
    folder = f"/tenantplane/{desk.spec['owner']['short']}"
    ssm = runner_cloud.client("ssm")
    ssm.delete_parameter(Name=f"{folder}/table")
    ssm.put_parameter(Name=f"{folder}/data-bucket", Value="by hand", Overwrite=True)
    assert {o["op"] for o in desk.plan()["operations"]} == {"same"}  # the state does not know yet
    resolved = desk.result("resolve")
    assert (resolved["resolved"], resolved["changed"]) == ([], True)
    changes = [o for o in desk.plan()["operations"] if o["op"] != "same"]
    assert {o["name"]: (o["op"], o["diffs"]) for o in changes} == {
        "data-bucket": ("update", {"insecureValue": "update"}),
        "table": ("create", {}),
    }
    desk.result("up", verify=False)
    found = ssm.get_parameters(Names=[f"{folder}/table", f"{folder}/data-bucket"])["Parameters"]
    hub = desk.spec["hub"]
    assert {p["Name"].rsplit("/", 1)[1]: p["Value"] for p in found} == {
        "data-bucket": hub["data_bucket"],
        "table": hub["table_name"],
    }


def test_what_is_gone_with_all_that_depends_on_it_is_planned_again_after_a_resolution(
    make_desk: MakeDesk, runner_cloud: CloudProcess
) -> None:
    desk = make_desk(program=NESTED)
    desk.result("up", verify=False)
    ids = {r["urn"].rsplit("::", 1)[1]: r["id"] for r in desk.state()["resources"] if r["custom"]}
    ec2 = runner_cloud.client("ec2")
    ec2.disassociate_route_table(AssociationId=ids["a"])
    ec2.delete_route_table(RouteTableId=ids["t"])
    ec2.delete_subnet(SubnetId=ids["s"])
    desk.result("resolve")
    changes = {(o["name"], o["op"]) for o in desk.plan()["operations"] if o["op"] != "same"}
    assert changes == {("a", "create"), ("s", "create"), ("t", "create")}
    again = desk.result("up")["look"]
    assert [c for c in again["checks"] if not c["ok"]] == []
    assert desk.result("resolve")["changed"] is False
