"""Removals by the real engine on the emulated cloud; what is left is asked with boto3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.engine.erasing import ITEMS, OBJECTS
from stacks.engine.identities import GOING
from stacks.protection import PROTECTED
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.made_stacks import Made, World, make_world
from tests.stacks.runner_calls import (
    Desk,
    Message,
    begun,
    gone,
    kill_everything,
    phase_begins,
    take_over,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NOTHING = dict.fromkeys(("nothing_in_state", "nothing_by_tag", "nothing_by_name"), True)
MANY = 1005  # more than a page


@pytest.fixture(scope="module")
def removal_world(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud in which everything has been made, for the tests of this module to remove."""
    with CloudProcess() as cloud:
        yield make_world(cloud=cloud, cli=pulumi_cli, root=tmp_path_factory.mktemp("removal"))


def bare(desk: Desk, names: tuple[str, ...] | None = None) -> Message:
    """Take the protection of everything away, and return the end of that call."""
    desk.spec = {**desk.spec, "unprotect": list(names or PROTECTED[desk.program])}
    return desk.result("up", has_state=True)


def removed(desk: Desk, **changes: Any) -> Message:
    return desk.result("up", desired="absent", has_state=True, compare=True, **changes)


def checks(last: Message) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in last["look"]["checks"]}


def names_there(cloud: CloudProcess, short: str) -> set[str]:
    """Everything in the cloud that is called so, asked service by service."""
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    found = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    found |= {p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"]}
    found |= {b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"]}
    found |= set(cloud.client("dynamodb").list_tables()["TableNames"])
    found |= {a["AliasName"][6:] for a in cloud.client("kms").list_aliases()["Aliases"]}
    logs = cloud.client("logs").describe_log_groups()["logGroups"]
    found |= {part for g in logs for part in g["logGroupName"].split("/")}
    parameters = cloud.client("ssm").get_paginator("describe_parameters").paginate()
    found |= {p["Name"].split("/")[2] for page in parameters for p in page["Parameters"]}
    rds = cloud.client("rds")
    found |= {d["DBInstanceIdentifier"] for d in rds.describe_db_instances()["DBInstances"]}
    found |= {g["DBSubnetGroupName"] for g in rds.describe_db_subnet_groups()["DBSubnetGroups"]}
    secrets = cloud.client("secretsmanager").list_secrets()["SecretList"]
    found |= {s["Name"].split("/")[0] for s in secrets}
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found |= {alarm["AlarmName"] for alarm in alarms}
    every = [*ec2.describe_vpcs()["Vpcs"], *ec2.describe_subnets()["Subnets"],
             *ec2.describe_vpc_endpoints()["VpcEndpoints"],
             *ec2.describe_security_groups()["SecurityGroups"]]  # fmt: skip
    living = [e for e in every if str(e.get("State", "")).lower() not in GOING]
    found |= {t["Value"] for e in living for t in e.get("Tags", ()) if t["Key"] == "Name"}
    return {name for name in found if name == short or name.startswith(f"{short}-")}


def fill(cloud: CloudProcess, made: Made, *, prefix: str, key: str, objects: int = 3) -> None:
    """Put objects, one of them twice, and items into the stores of a Hub."""
    s3, bucket = cloud.client("s3"), made.outputs["data_bucket"]
    for number in (*range(objects), 0):
        s3.put_object(Bucket=bucket, Key=f"{prefix}{number}", Body=b"data")
    s3.delete_object(Bucket=bucket, Key=f"{prefix}0")
    dynamodb = cloud.client("dynamodb")
    for number in range(30):
        pk = key if number < 10 else f"{key}#{number}"
        item = {"pk": {"S": pk}, "sk": {"S": str(number)}}
        dynamodb.put_item(TableName=made.outputs["table_name"], Item=item)


def versions(cloud: CloudProcess, bucket: str, prefix: str) -> int:
    pages = cloud.client("s3").get_paginator("list_object_versions")
    return sum(
        len(page.get(kind, ()))
        for page in pages.paginate(Bucket=bucket, Prefix=prefix)
        for kind in ("Versions", "DeleteMarkers")
    )


def items(cloud: CloudProcess, table: str, key: str) -> int:
    found = cloud.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    return len([i for i in found if i["pk"]["S"].split("#")[0] == key])


def test_a_slice_is_removed_with_its_part_of_the_hub_and_no_other(removal_world: World) -> None:
    cloud, hub = removal_world.cloud, removal_world.hub
    acme, zenith = removal_world.slices.values()
    bucket, table = hub.outputs["data_bucket"], hub.outputs["table_name"]
    for each, objects in ((acme, MANY), (zenith, 2)):
        fill(cloud, hub, prefix=f"tenants/{each.short}/", key=each.short, objects=objects)
    held = {(s["type"], s["name"]): s for s in acme.desk.result("contents")["stores"]}
    stored = held["aws:s3/bucket:Bucket", "data"]
    assert (stored["items"], stored["bytes"]) == (MANY + 1, 4 * (MANY + 1))
    assert stored["place"] == f"{bucket}/tenants/{acme.short}/"
    assert held["aws:dynamodb/table:Table", "hub"]["items"] == 30
    assert held["aws:ssm/parameter:Parameter", "parameters"]["items"] == 0

    last = bare(acme.desk)
    assert last["changed"]
    approved = acme.desk.plan(desired="absent", has_state=True)
    erased = {o["name"]: o for o in approved["operations"] if o["type"] in (OBJECTS, ITEMS)}
    assert set(erased) == {"objects", "items"}
    assert all(o["irreversible"] and acme.short in o["on_removal"] for o in erased.values())
    outcome = acme.desk.call("up", desired="absent", has_state=True, compare=True)
    assert outcome.planned is not None
    assert (outcome.planned["digest"], outcome.planned["differences"]) == (approved["digest"], [])
    assert outcome.last["outcome"] == "applied", outcome.last
    assert checks(outcome.last) == NOTHING, outcome.last["look"]["checks"]
    told = [e["body"] for e in outcome.events if e["kind"] == "resource"]
    done = {e["urn"] for e in told if (e["phase"], e["status"]) == ("apply", "done")}
    assert {o["urn"] for o in erased.values()} <= done
    assert names_there(cloud, acme.short) == set()
    assert (versions(cloud, bucket, f"tenants/{acme.short}/"), items(cloud, table, acme.short)) == (
        0, 0,
    )  # fmt: skip
    assert versions(cloud, bucket, f"tenants/{zenith.short}/") == 4
    assert items(cloud, table, zenith.short) == 30
    assert acme.desk.state()["resources"] == []
    kinds = [each["kind"] for each in outcome.last["look"]["remaining"]]
    assert kinds == ["kms:key", *["secretsmanager:secret"] * 3]
    assert set(checks(zenith.desk.result("look", has_state=True)).values()) == {True}


def test_a_dedicated_hub_is_removed_with_what_it_holds(removal_world: World) -> None:
    cloud, made = removal_world.cloud, removal_world.dedicated
    fill(cloud, made, prefix="", key="any")
    held = {(s["type"], s["name"]): s for s in made.desk.result("contents")["stores"]}
    assert held["aws:s3/bucket:Bucket", "data"]["items"] == 4
    assert held["aws:s3/bucket:Bucket", "logs"]["data_class"] == "operational"
    assert held["aws:dynamodb/table:Table", "hub"]["items"] == 30
    database = held["aws:rds/instance:Instance", "db"]
    assert (database["countable"], database["items"], database["bytes"]) == (
        False, None, 50 << 30,
    )  # fmt: skip
    refused = made.desk.failure("up", desired="absent", has_state=True)
    assert (refused["code"], refused["changed"]) == ("protected", False)
    assert refused["data"]["names"] == sorted(PROTECTED["mode_b"])
    outcome = made.desk.call("up", has_state=True, **bare_request(made.desk))
    assert outcome.planned is not None
    changing = {
        f"{o['type'].rpartition(':')[2].lower()}.{o['name']}": (o["options"], sorted(o["diffs"]))
        for o in outcome.planned["operations"]
        if o["op"] != "same" or o["options"]
    }
    assert set(changing) == set(PROTECTED["mode_b"])
    assert {tuple(options) for options, _ in changing.values()} == {("protect",)}
    assert {name: diffs for name, (_, diffs) in changing.items() if diffs} == {
        "bucket.data": ["forceDestroy"],
        "bucket.logs": ["forceDestroy"],
        "instance.db": ["deletionProtection"],
        "table.hub": ["deletionProtectionEnabled"],
    }
    assert outcome.last["outcome"] == "applied", outcome.last
    last = removed(made.desk)
    assert checks(last) == NOTHING, last["look"]["checks"]
    assert names_there(cloud, made.short) == set()
    remaining = {(r["kind"], r["id"]): r for r in last["look"]["remaining"]}
    snapshot = remaining["rds:snapshot", f"{made.short}-db-final"]
    assert snapshot["until"] is None
    assert sorted(kind for kind, _ in remaining) == [
        *["kms:key"] * 3, "rds:snapshot", *["secretsmanager:secret"] * 3
    ]  # fmt: skip
    again = made.desk.result("look", desired="absent", has_state=True)
    assert again["look"] == last["look"]


def bare_request(desk: Desk) -> Message:
    desk.spec = {**desk.spec, "unprotect": list(PROTECTED[desk.program])}
    return {"spec": desk.spec}


def test_a_hub_is_removed_after_a_delete_that_the_cloud_refused(removal_world: World) -> None:
    cloud, hub = removal_world.cloud, removal_world.hub
    (zenith,) = [s for s in removal_world.slices.values() if s.short.startswith("zenith")]
    bare(zenith.desk)
    assert checks(removed(zenith.desk)) == NOTHING
    bare(hub.desk)
    dynamodb, table = cloud.client("dynamodb"), hub.outputs["table_name"]
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True)
    outcome = hub.desk.call("up", desired="absent", has_state=True, compare=True)
    assert outcome.planned is not None
    (moved,) = outcome.planned["differences"]
    assert (moved["path"], moved["in_cloud"]) == ("deletionProtectionEnabled", True)
    assert (outcome.last["code"], outcome.last["changed"]) == ("provider", True)
    assert outcome.last["data"]["name"] == "hub"
    assert table in names_there(cloud, hub.short)
    left = hub.desk.result("look", desired="absent", has_state=True)
    assert not any(checks(left).values())
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    hub.desk.result("resolve", desired="absent", has_state=True)
    last = removed(hub.desk)
    assert checks(last) == NOTHING, last["look"]["checks"]
    assert names_there(cloud, hub.short) == set()
    assert {r["kind"] for r in last["look"]["remaining"]} == {"kms:key"}


@pytest.mark.parametrize(
    "kind", ["aws:ssm/", "aws:iam/role:", "aws:secretsmanager/", "aws:kms/key:", "pulumi:providers"]
)
def test_a_removal_that_lost_power_is_settled_by_what_is_there(
    desk: Desk, runner_cloud: CloudProcess, kind: str
) -> None:
    desk.result("up")
    bare(desk)
    with desk.start("up", desired="absent", has_state=True) as running:
        running.until(lambda message: begun(message, kind))
        kill_everything(running.call_id)
        assert gone(running.call_id, within_seconds=20)
        take_over(desk, running)
    settled = desk.result("resolve", desired="absent", has_state=True)
    assert {r["resolution"] for r in settled["resolved"]} <= {"cleared"}
    last = removed(desk)
    assert checks(last) == NOTHING, last["look"]["checks"]
    assert names_there(runner_cloud, desk.spec["owner"]["short"]) == set()
    kinds = [each["kind"] for each in last["look"]["remaining"]]
    assert kinds == ["kms:key", *["secretsmanager:secret"] * 3]


def test_what_a_slice_has_in_its_hub_is_erased_by_the_next_removal_too(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    short = desk.spec["owner"]["short"]
    bucket, table = f"hub-{short}-data", f"hub-{short}-hub"
    stores = {"data_bucket": bucket, "table_name": table}
    desk.spec = {**desk.spec, "hub": {**desk.spec["hub"], **stores}}
    place = {"LocationConstraint": "eu-west-1"}
    s3, dynamodb = runner_cloud.client("s3"), runner_cloud.client("dynamodb")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    types = {"pk": "HASH", "sk": "RANGE"}
    dynamodb.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": n, "KeyType": t} for n, t in types.items()],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in types],
    )  # fmt: skip
    s3.put_object(Bucket=bucket, Key=f"tenants/{short}/1", Body=b"x")
    dynamodb.put_item(TableName=table, Item={"pk": {"S": short}, "sk": {"S": "1"}})
    desk.result("up")
    bare(desk)
    with desk.start("up", desired="absent", has_state=True) as running:
        running.until(lambda message: phase_begins(message, "erase"))
        kill_everything(running.call_id)
        assert gone(running.call_id, within_seconds=20)
        take_over(desk, running)
    assert desk.state()["resources"] == []
    s3.put_object(Bucket=bucket, Key=f"tenants/{short}/2", Body=b"what the dead call left")
    desk.result("resolve", desired="absent", has_state=True)
    outcome = desk.call("up", desired="absent", has_state=True)
    assert outcome.planned is not None
    assert {o["type"] for o in outcome.planned["operations"]} <= {OBJECTS, ITEMS}
    assert (outcome.last["outcome"], outcome.last["changed"]) == ("applied", True)
    assert checks(outcome.last) == NOTHING
    assert (versions(runner_cloud, bucket, ""), items(runner_cloud, table, short)) == (0, 0)
    dynamodb.put_item(TableName=table, Item={"pk": {"S": short}, "sk": {"S": "1"}})
    dynamodb.delete_table(TableName=table)
    assert desk.plan(desired="absent", has_state=True)["operations"] == []
