"""A slice that is frozen, made by the real engine in a cloud that enforces IAM: no write passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHORT = "acme-a1b2c3"
READER = "arn:aws:iam::123456789012:role/provisioner"


class Frozen:
    """A slice, a session of its application, and its stack."""

    def __init__(self, cloud: CloudProcess, cli: Path, root: Path) -> None:
        self.cloud = cloud
        hub = self._desk(cli, root, "mode_a.hub", "hub.eu-west-1.a", sample_specs.hub())
        outputs = hub.call("up").last["look"]["outputs"]
        self.spec = sample_specs.slice_of(outputs, "acme", SHORT)
        self.desk = self._desk(cli, root, "mode_a.slice", "acme.production.a", self.spec)
        self.outputs = self.up()["look"]["outputs"]
        given = cloud.client("sts").assume_role(
            RoleArn=self.outputs["app_role_arn"], RoleSessionName="task"
        )["Credentials"]
        self.session = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    def _desk(self, cli: Path, root: Path, program: str, stack: str, spec: Any) -> Desk:
        return Desk(
            root=root, cli=cli, endpoint=self.cloud.endpoint, program=program, stack=stack,
            spec=spec,
        )  # fmt: skip

    def up(self, **transfer: Any) -> Any:
        self.desk.spec = {**self.spec, "transfer": transfer} if transfer else self.spec
        last = self.desk.call("up").last
        assert last["message"] == "result", last
        return last

    def tries(self) -> dict[str, str]:
        """Return what becomes of each thing that the application does with its data."""
        bucket, table = self.outputs["data_bucket"], self.outputs["table_name"]
        key = {"pk": {"S": f"{SHORT}#1"}, "sk": {"S": "1"}}
        s3 = self.cloud.client("s3", **self.session)
        dynamodb = self.cloud.client("dynamodb", **self.session)
        name = f"tenants/{SHORT}/a.txt"
        update: dict[str, Any] = {
            "TableName": table, "Key": key, "UpdateExpression": "SET n = :n",
            "ExpressionAttributeValues": {":n": {"S": "2"}},
        }  # fmt: skip
        acts: dict[str, Callable[[], Any]] = {
            "put object": lambda: s3.put_object(Bucket=bucket, Key=name, Body=b"a"),
            "put item": lambda: dynamodb.put_item(TableName=table, Item=key),
            "update item": lambda: dynamodb.update_item(**update),
            "write items": lambda: dynamodb.batch_write_item(
                RequestItems={table: [{"PutRequest": {"Item": key}}]}
            ),
            "read object": lambda: s3.get_object(Bucket=bucket, Key=name),
            "read item": lambda: dynamodb.get_item(TableName=table, Key=key),
            "delete item": lambda: dynamodb.delete_item(TableName=table, Key=key),
            "delete object": lambda: s3.delete_object(Bucket=bucket, Key=name),
        }
        self.cloud.post("/moto-api/reset-auth", "0")
        try:
            return {what: _outcome(act) for what, act in acts.items()}
        finally:  # the engine has no role of its own here
            self.cloud.post("/moto-api/reset-auth", "inf")


def _outcome(act: Callable[[], Any]) -> str:
    try:
        act()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@pytest.fixture(scope="module")
def frozen(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    with CloudProcess() as cloud:
        yield Frozen(cloud, pulumi_cli, tmp_path_factory.mktemp("frozen"))


def test_no_write_passes_while_frozen_every_read_does_and_all_is_as_before_afterwards(
    frozen: Frozen,
) -> None:
    assert set(frozen.tries().values()) == {"done"}
    frozen.cloud.client("s3").put_object(
        Bucket=frozen.outputs["data_bucket"], Key=f"tenants/{SHORT}/a.txt", Body=b"a"
    )
    frozen.up(frozen=True, reader_arn=None)
    found = frozen.tries()
    reads = {what: found.pop(what) for what in ("read object", "read item")}
    assert reads == {"read object": "done", "read item": "done"}
    assert set(found.values()) <= {"AccessDenied", "AccessDeniedException"}, found
    frozen.up()
    assert set(frozen.tries().values()) == {"done"}


def test_the_reader_may_decrypt_by_s3_alone(frozen: Frozen) -> None:
    frozen.up(frozen=False, reader_arn=READER)
    policy = the_policy(frozen)
    assert READER in policy
    assert "s3.eu-west-1.amazonaws.com" in policy
    frozen.up()
    assert READER not in the_policy(frozen)


def the_policy(frozen: Frozen) -> str:
    kms = frozen.cloud.client("kms")
    return str(kms.get_key_policy(KeyId=frozen.outputs["data_key_arn"], PolicyName="default"))
