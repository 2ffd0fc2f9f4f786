"""An upgrade by the real engine, with objects, items, a secret and parameters in real stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.tenant_data.stores import AwsTenantData
from control_plane.domain.deployment import Position
from control_plane.domain.saga import SagaStatus
from control_plane.domain.tenant import TenantStatus
from tests.contracts.engine_bench import pulumi_engine
from tests.scripted_faults import ProcessDied
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.workflows.raised import Raised
from tests.workflows.removed import steps_of
from tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OBJECTS = 50
ITEMS = 30


class InCloud(Raised):
    """A ready tenant whose slice the real engine made, and its application, by boto3 alone."""

    def __init__(self, world: World, cloud: CloudProcess, cli: Path) -> None:
        (world.folder / "state").mkdir()
        world.core = replace(
            world.core,
            engine=pulumi_engine(lambda: cli, cloud.endpoint, world.folder),
            data=AwsTenantData(endpoint=cloud.endpoint, secrets=world.core.secrets),
        )
        self.cloud = cloud
        super().__init__(world, filled=False)
        self.fill()

    def outputs(self, position: Position) -> Any:
        (found,) = [d for d in self.deployments() if d.position is position]
        return found.outputs

    def fill(self) -> None:
        out = self.outputs(Position.CURRENT)
        s3, dynamodb = self.cloud.client("s3"), self.cloud.client("dynamodb")
        for number in range(OBJECTS):
            key = f"{out['data_prefix']}reports/{number:02}.txt"
            s3.put_object(Bucket=out["data_bucket"], Key=key, Body=f"report {number}".encode())
        for number in range(ITEMS):
            item = {"pk": {"S": f"{out['leading_key']}#{number}"}, "sk": {"S": "x"},
                    "n": {"N": str(number)}}  # fmt: skip
            dynamodb.put_item(TableName=out["table_name"], Item=item)
        self.cloud.client("secretsmanager").put_secret_value(
            SecretId=out["secret_names"]["idp"], SecretString="hush"
        )
        for name in ("app/beta", "app/gamma"):
            self.cloud.client("ssm").put_parameter(
                Name=f"{out['parameter_path']}/{name}", Value="on", Type="String"
            )

    def contents(self, out: Any, prefix: str, leading: str, path: str) -> dict[str, Any]:
        """Return what stores hold, by boto3 alone."""
        s3, ssm = self.cloud.client("s3"), self.cloud.client("ssm")
        listed = s3.list_objects_v2(Bucket=out["data_bucket"], Prefix=prefix).get("Contents", ())
        found: dict[str, Any] = {
            each["Key"]: s3.get_object(Bucket=out["data_bucket"], Key=each["Key"])["Body"].read()
            for each in listed
        }
        items = self.cloud.client("dynamodb").scan(TableName=out["table_name"])["Items"]
        found |= {item["pk"]["S"]: item for item in items if item["pk"]["S"].startswith(leading)}
        secret = self.cloud.client("secretsmanager").get_secret_value(
            SecretId=out["secret_names"]["idp"]
        )
        found["idp"] = secret["SecretString"]
        pages = ssm.get_paginator("get_parameters_by_path")
        for page in pages.paginate(Path=f"{path}/app", Recursive=True):
            found |= {each["Name"].removeprefix(path): each["Value"] for each in page["Parameters"]}
        return found


@pytest.fixture
def raised(module_storage: Storage, pulumi_cli: Path) -> Iterator[InCloud]:
    module_storage.empty()
    with CloudProcess() as cloud:
        yield InCloud(World(module_storage), cloud, pulumi_cli)


@pytest.mark.requirement("J-100")
def test_a_tenant_is_moved_with_all_that_it_has_and_its_slice_is_destroyed(
    raised: InCloud,
) -> None:
    slice_ = raised.outputs(Position.CURRENT)
    prefix, leading = slice_["data_prefix"], slice_["leading_key"]
    before = raised.contents(slice_, prefix, leading, slice_["parameter_path"])
    assert len(before) == OBJECTS + ITEMS + 3
    raised.ask()
    with a_worker_that_dies_after_a_copy(raised), pytest.raises(ProcessDied):
        raised.go(until="keep")
    raised.world.clock.advance(minutes=1)  # the watch of its turn finds that nobody has it
    saga = raised.go(until="keep")
    assert saga.step == "keep", saga.error
    out = raised.outputs(Position.CURRENT)
    assert (out["data_prefix"], out["leading_key"]) == (prefix, leading)
    path = out["app_log_group"].removesuffix("/app")
    assert raised.contents(out, prefix, leading, path) == before
    assert (raised.tenant().mode, raised.tenant().status) == ("B", TenantStatus.READY)
    counts = {kind: of["count"] for kind, of in saga.data["evidence"].items()}
    assert counts == {"object": OBJECTS, "item": ITEMS, "secret": 1, "parameter": 2}
    (switch,) = [s for s in steps_of(raised.world, saga.id) if s.name == "switch"]
    assert "frozen_seconds" in switch.result
    iam, role = raised.cloud.client("iam"), slice_["app_role_arn"].rpartition("/")[2]
    assert "frozen" in iam.list_role_policies(RoleName=role)["PolicyNames"]
    versions = raised.cloud.client("s3").list_object_versions(Bucket=out["data_bucket"])
    assert len(versions["Versions"]) == OBJECTS  # none was written twice
    saga = raised.go()
    assert saga.status is SagaStatus.DONE, saga.error
    left = raised.cloud.client("s3").list_object_versions(
        Bucket=slice_["data_bucket"], Prefix=prefix
    )
    assert not left.get("Versions")
    assert role not in [each["RoleName"] for each in iam.list_roles()["Roles"]]
    assert raised.contents(out, prefix, leading, path) == before


@contextmanager
def a_worker_that_dies_after_a_copy(raised: InCloud) -> Iterator[None]:
    """Let the worker die when the objects are copied, and before that is recorded."""
    core = raised.world.core

    class Dying(AwsTenantData):
        """Stores after whose first copy the process is gone."""

        def copy(self, source: Any, target: Any, things: Any) -> Any:
            super().copy(source, target, things)
            raise ProcessDied

    dying = Dying(endpoint=raised.cloud.endpoint, secrets=core.secrets)
    raised.world.core = replace(core, data=dying)
    yield
    raised.world.core = core


def test_withdrawn_under_the_freeze_the_application_writes_again_and_nothing_is_left(
    raised: InCloud,
) -> None:
    slice_ = raised.outputs(Position.CURRENT)
    where = slice_["data_prefix"], slice_["leading_key"], slice_["parameter_path"]
    before = raised.contents(slice_, *where)
    raised.ask()
    data = raised.world.core.data

    class Refusing(AwsTenantData):
        """Stores that fail while both places are compared."""

        def things(self, place: Any, kind: Any) -> Any:
            if raised.saga().step == "compare":
                raise RuntimeError("the process is broken")
            return super().things(place, kind)

    raised.world.core = replace(
        raised.world.core,
        data=Refusing(endpoint=raised.cloud.endpoint, secrets=raised.world.core.secrets),
    )
    with pytest.raises(RuntimeError):
        raised.go()
    raised.world.core = replace(raised.world.core, data=data)
    role = slice_["app_role_arn"].rpartition("/")[2]
    iam = raised.cloud.client("iam")
    assert "frozen" in iam.list_role_policies(RoleName=role)["PolicyNames"]
    raised.withdraw()
    raised.world.clock.advance(minutes=1)
    saga = raised.go()
    assert saga.status is SagaStatus.UNDONE, saga.error
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["hub"]
    assert raised.contents(slice_, *where) == before
    assert raised.tenant().mode == "A"
    target = raised.outputs(Position.FORMER)
    buckets = [b["Name"] for b in raised.cloud.client("s3").list_buckets()["Buckets"]]
    assert target.get("data_bucket") not in buckets
