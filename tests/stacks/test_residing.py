"""Where everything is: resources, what services copy, and what somebody copied elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stacks.contract import Request
from stacks.engine.looking_up import Cloud
from stacks.engine.residing import COPIES, Places, Store, places
from tests.stacks.cloud_process import REGION
from tests.stacks.made_stacks import ACME, Made, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

ELSEWHERE = "us-east-1"
TAG = "tenantplane:deployment"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the credentials that a runner would have."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def placed(made: Made, **cloud: Any) -> Places:
    request = made.desk.request("look")
    request["cloud"] |= cloud
    request["everywhere"] = True
    asked = Request.model_validate(request)
    return places(asked, made.desk.state(), Cloud(asked))


def elsewhere(made: Made) -> set[tuple[str, str, str]]:
    """Return what is not in the region of the stack: type, what, region."""
    found = placed(made)
    assert found.unanswered == ""
    return {
        (each.type, each.what, each.region)
        for each in found.found
        if each.region not in (REGION, "global")
    }


def test_everything_that_the_programs_make_is_in_its_region_and_iam_is_global(
    world: World,
) -> None:
    for made in world.all:
        found = placed(made)
        assert found.unanswered == ""
        assert {each.region for each in found.found} == {REGION, "global"}
        assert {
            each.type.startswith("aws:iam/") for each in found.found if each.region == "global"
        } == {True}
        custom = {r["urn"] for r in made.desk.state()["resources"] if r["type"].startswith("aws:")}
        assert custom <= {each.subject for each in found.found}


def test_a_slice_lies_in_the_stores_of_its_hub(world: World) -> None:
    shared = {e.type for e in placed(world.slices[ACME]).found if e.what == "shared"}
    assert shared == {
        "aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", "aws:kms/key:Key"
    }  # fmt: skip


@contextmanager
def bucket_replicated(world: World, bucket: str) -> Iterator[None]:
    """Replicate a bucket to another region."""
    s3, target = world.cloud.client("s3"), f"{bucket}-copy"
    there = world.cloud.client("s3", region=ELSEWHERE)
    there.create_bucket(Bucket=target)
    there.put_bucket_versioning(Bucket=target, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_replication(
        Bucket=bucket,
        ReplicationConfiguration={
            "Role": "arn:aws:iam::123456789012:role/replication",
            "Rules": [{"ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
                       "DeleteMarkerReplication": {"Status": "Disabled"},
                       "Destination": {"Bucket": f"arn:aws:s3:::{target}"}}],
        },
    )  # fmt: skip
    try:
        yield
    finally:
        s3.delete_bucket_replication(Bucket=bucket)
        there.delete_bucket(Bucket=target)


def test_a_bucket_that_is_replicated_elsewhere_is_seen(world: World) -> None:
    with bucket_replicated(world, world.dedicated.outputs["data_bucket"]):
        assert elsewhere(world.dedicated) == {("aws:s3/bucket:Bucket", "replica", ELSEWHERE)}
    assert elsewhere(world.dedicated) == set()


def test_a_slice_sees_that_its_hub_is_replicated_elsewhere(world: World) -> None:
    with bucket_replicated(world, world.hub.outputs["data_bucket"]):
        for made in (world.hub, world.slices[ACME]):
            assert elsewhere(made) == {("aws:s3/bucket:Bucket", "replica", ELSEWHERE)}


def test_a_snapshot_that_was_copied_elsewhere_is_seen(world: World) -> None:
    rds, there = world.cloud.client("rds"), world.cloud.client("rds", region=ELSEWHERE)
    name = f"{world.dedicated.short}-db"
    made = rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier="by-hand")
    arn = made["DBSnapshot"]["DBSnapshotArn"]
    at_home = [e for e in placed(world.dedicated).found if e.what == "backup"]
    assert ("rds:snapshot by-hand", REGION) in [(e.subject, e.region) for e in at_home]
    assert all(each.of.endswith("::db") for each in at_home)
    there.copy_db_snapshot(
        SourceDBSnapshotIdentifier=arn, TargetDBSnapshotIdentifier="copied", SourceRegion=REGION
    )
    assert elsewhere(world.dedicated) == {("rds:snapshot", "backup", ELSEWHERE)}
    there.delete_db_snapshot(DBSnapshotIdentifier="copied")
    rds.delete_db_snapshot(DBSnapshotIdentifier="by-hand")
    assert elsewhere(world.dedicated) == set()


class Answers:
    """A service that answers what AWS answers and the emulated cloud cannot (moto 5.2.5)."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **_: self._answers[operation]

    def get_paginator(self, operation: str) -> Any:
        return Answers(paginate=[self._answers.get(operation, {"DBSnapshots": []})])


DATABASE = {
    "ReadReplicaDBInstanceIdentifiers": [
        "near", f"arn:aws:rds:{ELSEWHERE}:123456789012:db:far"
    ],
    "DBInstanceAutomatedBackupsReplications": [
        {"DBInstanceAutomatedBackupsArn":
         f"arn:aws:rds:{ELSEWHERE}:123456789012:auto-backup:ab-1"}
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "answers", "told"),
    [
        (
            "aws:rds/instance:Instance",
            {"describe_db_instances": {"DBInstances": [DATABASE]}},
            {("rds:db far", "replica"), ("rds:auto-backup ab-1", "backup")},
        ),
        (
            "aws:dynamodb/table:Table",
            {"describe_table": {"Table": {"Replicas": [
                {"RegionName": ELSEWHERE}, {"RegionName": REGION}]}}},
            {(f"urn::x in {ELSEWHERE}", "replica")},
        ),
        (
            "aws:kms/key:Key",
            {"describe_key": {"KeyMetadata": {"MultiRegionConfiguration": {
                "PrimaryKey": {"Region": REGION}, "ReplicaKeys": [{"Region": ELSEWHERE}]}}}},
            {(f"urn::x in {ELSEWHERE}", "replica")},
        ),
    ],
)  # fmt: skip
def test_what_a_service_says_of_its_copies_is_read(
    kind: str, answers: dict[str, Any], told: set[tuple[str, str]]
) -> None:
    found = [*COPIES[kind](lambda _: Answers(**answers), REGION, Store("urn::x", kind, "x"))]
    assert {(each.subject, each.what) for each in found} == told
    assert {(each.region, each.of) for each in found} == {(ELSEWHERE, "urn::x")}


def test_a_secret_that_is_replicated_is_seen(world: World) -> None:
    secrets = world.cloud.client("secretsmanager")
    state = world.dedicated.desk.state()["resources"]
    secret = next(r["id"] for r in state if r["type"].endswith(":Secret"))
    secrets.replicate_secret_to_regions(SecretId=secret, AddReplicaRegions=[{"Region": ELSEWHERE}])
    try:
        assert ("aws:secretsmanager/secret:Secret", "replica", ELSEWHERE) in elsewhere(
            world.dedicated
        )
    finally:
        secrets.remove_regions_from_replication(SecretId=secret, RemoveReplicaRegions=[ELSEWHERE])


def test_what_carries_the_tag_in_another_region_is_seen(world: World) -> None:
    kms = world.cloud.client("kms", region=ELSEWHERE)
    owner = world.dedicated.desk.spec["owner"]["deployment"]
    key = kms.create_key(Tags=[{"TagKey": TAG, "TagValue": owner}])["KeyMetadata"]["KeyId"]
    try:
        assert elsewhere(world.dedicated) == {("kms:key", "replica", ELSEWHERE)}
    finally:
        kms.untag_resource(KeyId=key, TagKeys=[TAG])


def test_a_cloud_that_does_not_answer_leaves_the_places_open(world: World) -> None:
    found = placed(world.slices[ACME], endpoint="http://127.0.0.1:1")
    assert "did not say where it is" in found.unanswered
    assert json.dumps([each.model_dump() for each in found.found])
