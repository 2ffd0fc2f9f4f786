"""Every implementation of ``TenantData`` copies the same: each thing once, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.adapters.tenant_data.stores import AwsTenantData
from control_plane.domain.errors import DataDiffers, DataUnreadable, Unavailable
from control_plane.domain.transfer import (
    KINDS,
    Copied,
    Kind,
    Place,
    Thing,
    delta,
    require_equal,
    totals,
)
from control_plane.ports.tenant_data import TenantData
from tests.scripted_data import ScriptedData
from tests.stacks.cloud_process import REGION, CloudProcess

ACCOUNT = "123456789012"


def place_of(name: str, bucket: str, table: str) -> Place:
    return Place(
        deployment_id=f"dep_{name}", region=REGION, account_id=ACCOUNT, role_arn=None,
        external_id=None, bucket=bucket, prefix="tenants/acme/", table=table, leading_key="acme",
        secrets={what: f"{name}/{what}" for what in ("app", "idp")},
        parameters=f"/tenantplane/{name}", data_key_arn="alias/aws/ssm",
    )  # fmt: skip


@dataclass
class Stores:
    """Two places, and who writes into the first as its application does."""

    data: TenantData
    source: Place
    target: Place
    put: Callable[[Kind, str, str], None]
    take: Callable[[Kind, str], None]
    read: Callable[[Kind, str], str]  # in the target
    writes: Callable[[Kind, str], int]  # how often it was written there

    def fill(self) -> None:
        for number in range(7):
            self.put(Kind.OBJECT, f"tenants/acme/{number}/a b+ü.txt", f"object {number}")
            self.put(Kind.ITEM, f'["acme#{number}", "x"]', f"item {number}")
        self.put(Kind.ITEM, '["acme", "own"]', "item")
        self.put(Kind.SECRET, "idp", "hush")
        self.put(Kind.PARAMETER, "app/beta", "on")

    def copy(self, kind: Kind, known: dict[str, Copied] | None = None) -> dict[str, Copied]:
        known = dict(known or {})
        left = delta(self.data.things(self.source, kind), known)
        known |= {one.name: one for one in self.data.copy(self.source, self.target, left.changed)}
        self.data.remove(self.target, kind, left.gone)
        return {name: one for name, one in known.items() if name not in left.gone}

    def compare(self, kind: Kind, known: dict[str, Copied]) -> None:
        there = self.data.things(self.target, kind)
        require_equal(kind, self.data.things(self.source, kind), there, known)


def scripted_stores() -> Stores:
    data = ScriptedData()
    source, target = place_of("a", "hub", "hub"), place_of("b", "own", "own")
    own, there = source.deployment_id, target.deployment_id
    return Stores(
        data=data, source=source, target=target,
        put=lambda kind, name, content: data.put(own, kind, name, content),
        take=lambda kind, name: data.remove(source, kind, [name]),
        read=lambda kind, name: data.store(there, kind)[name][1],
        writes=lambda kind, name: data.writes.count((kind, name)),
    )  # fmt: skip


class InCloud:
    """What an application does with its stores, by boto3 alone."""

    def __init__(self, cloud: CloudProcess, number: int) -> None:
        self.s3, self.dynamodb = cloud.client("s3"), cloud.client("dynamodb")
        self.secrets, self.ssm = cloud.client("secretsmanager"), cloud.client("ssm")
        self.source = place_of(f"a{number}", f"hub-{number}", f"hub-{number}")
        self.target = place_of(f"b{number}", f"own-{number}", f"own-{number}")
        for place in (self.source, self.target):
            where = {"LocationConstraint": REGION}
            self.s3.create_bucket(Bucket=place.bucket, CreateBucketConfiguration=where)
            self.s3.put_bucket_versioning(
                Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"}
            )
            self.dynamodb.create_table(
                TableName=place.table, BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"},
                           {"AttributeName": "sk", "KeyType": "RANGE"}],
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"}
                                      for n in ("pk", "sk")],
            )  # fmt: skip
            for name in place.secrets.values():
                self.secrets.create_secret(Name=name)
        self.of_others()

    def of_others(self) -> None:
        """Write what is another tenant's, and what the programs write."""
        bucket, table = self.source.bucket, self.source.table
        self.s3.put_object(Bucket=bucket, Key="tenants/acme-2/x", Body=b"others")
        other = {"pk": {"S": "acme-2#x"}, "sk": {"S": "x"}}
        self.dynamodb.put_item(TableName=table, Item=other)
        path = f"{self.source.parameters}/data-bucket"
        self.ssm.put_parameter(Name=path, Value=bucket, Type="String")

    def put(self, kind: Kind, name: str, content: str) -> None:
        match kind:
            case Kind.OBJECT:
                self.s3.put_object(
                    Bucket=self.source.bucket, Key=name, Body=content.encode(),
                    ContentType="text/x", Metadata={"of": "acme"}, Tagging="class=internal",
                )  # fmt: skip
            case Kind.ITEM:
                pk, sk = name.strip('[]"').split('", "')
                self.dynamodb.put_item(TableName=self.source.table, Item={
                    "pk": {"S": pk}, "sk": {"S": sk}, "text": {"S": content},
                    "blob": {"B": b"\x00\xff"}, "many": {"SS": ["b", "a"]},
                    "deep": {"M": {"n": {"N": "1.50"}, "l": {"L": [{"BOOL": True}]}}},
                })  # fmt: skip
            case Kind.SECRET:
                secret = self.source.secrets[name]
                self.secrets.put_secret_value(SecretId=secret, SecretString=content)
            case Kind.PARAMETER:
                self.ssm.put_parameter(
                    Name=f"{self.source.parameters}/{name}", Value=content, Type="SecureString",
                    Overwrite=True,
                )  # fmt: skip

    def take(self, kind: Kind, name: str) -> None:
        match kind:
            case Kind.OBJECT:
                self.s3.delete_object(Bucket=self.source.bucket, Key=name)
            case Kind.ITEM:
                pk, sk = name.strip('[]"').split('", "')
                key = {"pk": {"S": pk}, "sk": {"S": sk}}
                self.dynamodb.delete_item(TableName=self.source.table, Key=key)
            case Kind.PARAMETER:
                self.ssm.delete_parameter(Name=f"{self.source.parameters}/{name}")
            case Kind.SECRET:
                raise NotImplementedError("nobody takes the value of a secret away")

    def read(self, kind: Kind, name: str) -> str:
        match kind:
            case Kind.OBJECT:
                found = self.s3.get_object(Bucket=self.target.bucket, Key=name)
                assert (found["ContentType"], found["Metadata"]) == ("text/x", {"of": "acme"})
                tags = self.s3.get_object_tagging(Bucket=self.target.bucket, Key=name)["TagSet"]
                assert tags == [{"Key": "class", "Value": "internal"}]
                return str(found["Body"].read().decode())
            case Kind.ITEM:
                pk, sk = name.strip('[]"').split('", "')
                key = {"pk": {"S": pk}, "sk": {"S": sk}}
                item = self.dynamodb.get_item(TableName=self.target.table, Key=key)["Item"]
                assert item["blob"] == {"B": b"\x00\xff"}
                assert item["deep"]["M"]["l"] == {"L": [{"BOOL": True}]}
                return str(item["text"]["S"])
            case Kind.SECRET:
                secret = self.target.secrets[name]
                return str(self.secrets.get_secret_value(SecretId=secret)["SecretString"])
            case Kind.PARAMETER:
                path = f"{self.target.parameters}/{name}"
                found = self.ssm.get_parameter(Name=path, WithDecryption=True)["Parameter"]
                assert found["Type"] == "SecureString"
                return str(found["Value"])

    def writes(self, kind: Kind, name: str) -> int:
        match kind:
            case Kind.OBJECT:
                answer = self.s3.list_object_versions(Bucket=self.target.bucket, Prefix=name)
                return len(answer.get("Versions", ()))
            case Kind.SECRET:
                secret = self.target.secrets[name]
                answer = self.secrets.list_secret_version_ids(SecretId=secret)
                return len(answer["Versions"])
            case Kind.PARAMETER:
                path = f"{self.target.parameters}/{name}"
                return int(self.ssm.get_parameter(Name=path)["Parameter"]["Version"])
            case Kind.ITEM:
                return 1  # an item is there once, however often it is written


@pytest.fixture(scope="module")
def cloud() -> Iterator[CloudProcess]:
    with CloudProcess() as process:
        yield process


@pytest.fixture(params=["scripted", "aws"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    if request.param == "scripted":
        return scripted_stores()
    cloud = request.getfixturevalue("cloud")
    InNumbers.last += 1
    there = InCloud(cloud, InNumbers.last)
    return Stores(
        data=data_at(cloud.endpoint, tmp_path), source=there.source, target=there.target,
        put=there.put, take=there.take, read=there.read, writes=there.writes,
    )  # fmt: skip


class InNumbers:
    """The places of one cloud have names of their own."""

    last = 0


def data_at(endpoint: str, folder: Path) -> AwsTenantData:
    create_secret(folder / "master.key")
    return AwsTenantData(endpoint=endpoint, secrets=FileSecretStore(folder / "master.key"))


def test_all_of_a_tenant_and_nothing_of_others_is_copied(stores: Stores) -> None:
    stores.fill()
    copied = {kind: stores.copy(kind) for kind in KINDS}
    assert {kind: len(found) for kind, found in copied.items()} == {
        Kind.OBJECT: 7, Kind.ITEM: 8, Kind.SECRET: 1, Kind.PARAMETER: 1
    }  # fmt: skip
    for kind in KINDS:
        stores.compare(kind, copied[kind])
        assert totals(copied[kind].values()).count == len(copied[kind])
    assert stores.read(Kind.OBJECT, "tenants/acme/3/a b+ü.txt") == "object 3"
    assert stores.read(Kind.ITEM, '["acme#4", "x"]') == "item 4"
    assert stores.read(Kind.SECRET, "idp") == "hush"
    assert stores.read(Kind.PARAMETER, "app/beta") == "on"


def test_what_was_copied_and_not_recorded_is_not_written_again(stores: Stores) -> None:
    stores.fill()
    for kind in KINDS:
        first, second = stores.copy(kind), stores.copy(kind)
        assert first == second
        assert {stores.writes(kind, name) for name in second} == {1}


def test_a_delta_has_what_changed_and_what_is_gone(stores: Stores) -> None:
    stores.fill()
    known = {kind: stores.copy(kind) for kind in KINDS}
    changed = {
        Kind.OBJECT: "tenants/acme/1/a b+ü.txt", Kind.ITEM: '["acme#1", "x"]',
        Kind.SECRET: "idp", Kind.PARAMETER: "app/beta",
    }  # fmt: skip
    for kind, name in changed.items():
        stores.put(kind, name, "changed")
    stores.put(Kind.PARAMETER, "app/new", "one")
    stores.take(Kind.OBJECT, "tenants/acme/2/a b+ü.txt")
    stores.take(Kind.ITEM, '["acme", "own"]')
    for kind in KINDS:
        with pytest.raises(DataDiffers):
            stores.compare(kind, known[kind])
        left = delta(stores.data.things(stores.source, kind), known[kind])
        assert changed[kind] in [thing.name for thing in left.changed]
        known[kind] = stores.copy(kind, known[kind])
        stores.compare(kind, known[kind])
        assert stores.read(kind, changed[kind]) == "changed"
    assert "tenants/acme/2/a b+ü.txt" not in known[Kind.OBJECT]
    assert '["acme", "own"]' not in known[Kind.ITEM]


def test_what_was_removed_is_gone_and_leaves_nothing(stores: Stores) -> None:
    stores.fill()
    for kind in KINDS:
        stores.data.remove(stores.target, kind, list(stores.copy(kind)))
        assert list(stores.data.things(stores.target, kind)) == []
        assert list(stores.data.things(stores.source, kind)) != []


def test_a_thing_that_is_gone_meanwhile_is_left_out(stores: Stores) -> None:
    stores.fill()
    name = "tenants/acme/2/a b+ü.txt"
    found = list(stores.data.things(stores.source, Kind.OBJECT))
    stores.take(Kind.OBJECT, name)
    copied = stores.data.copy(stores.source, stores.target, found)
    if isinstance(stores.data, ScriptedData):  # a bucket with versions still has the one asked for
        assert name not in [one.name for one in copied]
    known = {one.name: one for one in copied}
    assert name not in stores.copy(Kind.OBJECT, known)


def test_a_thing_more_or_less_in_the_target_is_a_difference(stores: Stores) -> None:
    stores.fill()
    known = stores.copy(Kind.OBJECT)
    first = next(iter(known))
    stores.data.remove(stores.target, Kind.OBJECT, [first])
    with pytest.raises(DataDiffers) as lost:
        stores.compare(Kind.OBJECT, known)
    assert lost.value.data["lost"] == 1
    with pytest.raises(DataDiffers):
        stores.compare(Kind.OBJECT, {name: known[name] for name in known if name != first})


def test_a_store_that_does_not_answer_or_refuses_says_so(
    cloud: CloudProcess, tmp_path: Path
) -> None:
    source = place_of("none", "no-such-bucket", "none")
    nowhere = data_at("http://127.0.0.1:1", tmp_path)
    with pytest.raises(Unavailable):
        list(nowhere.things(source, Kind.ITEM))
    data = AwsTenantData(endpoint=cloud.endpoint, secrets=FileSecretStore(tmp_path / "master.key"))
    for kind in (Kind.OBJECT, Kind.ITEM, Kind.SECRET):
        with pytest.raises(DataUnreadable):
            list(data.things(source, kind))


def test_no_value_of_a_secret_is_in_what_is_kept(stores: Stores) -> None:
    stores.fill()
    kept: list[Any] = [stores.copy(Kind.SECRET), stores.copy(Kind.PARAMETER)]
    kept.append([thing for kind in KINDS for thing in stores.data.things(stores.source, kind)])
    if not isinstance(stores.data, ScriptedData):
        assert "hush" not in repr(kept)
    other = replace(stores.target, deployment_id="dep_other")
    thing = Thing(kind=Kind.SECRET, name="idp", version="")
    assert thing.content is None
    assert other.secrets == stores.target.secrets


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_described_has_digests_without_a_key_and_none_of_secrets(
    stores: Stores, kind: Kind
) -> None:
    stores.fill()
    listed = list(stores.data.things(stores.source, kind))
    described = stores.data.describe(stores.source, listed)
    assert [one.name for one in described] == [thing.name for thing in listed]
    assert {one.name: one.version for one in described} == {t.name: t.version for t in listed}
    for one in described:
        assert "hush" not in repr(one)
        assert not one.digest.startswith("hmac")
        if kind is Kind.SECRET:
            assert (one.digest, one.size) == ("", 0)

    stores.copy(kind)
    again = stores.data.describe(stores.target, list(stores.data.things(stores.target, kind)))
    kept = {one.name: one.digest for one in described}
    assert {one.name: one.digest for one in again}.items() <= kept.items()
