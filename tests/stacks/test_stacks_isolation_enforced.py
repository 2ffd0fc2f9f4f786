"""Two slices that the real engine made, with IAM enforced: each reaches its own and no other.

The same doors are tried by the documents, and each lock by itself, in ``test_stacks_isolation.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stacks.made_stacks import ACME, ZENITH, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A slice with data in it, and a session of its application's role."""

    short: str
    outputs: dict[str, Any]
    ciphertext: bytes
    session: dict[str, str]


Probe = Callable[[Callable[[str], Any], Tenant], object]

PROBES: dict[str, Probe] = {
    "read an object": lambda client, of: client("s3").get_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/contract.txt"
    ),
    "write an object": lambda client, of: client("s3").put_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/new.txt", Body=b"new"
    ),
    "delete an object": lambda client, of: client("s3").delete_object(
        Bucket=of.outputs["data_bucket"], Key=f"tenants/{of.short}/new.txt"
    ),
    "list objects": lambda client, of: client("s3").list_objects_v2(
        Bucket=of.outputs["data_bucket"], Prefix=f"tenants/{of.short}/"
    ),
    "read an item": lambda client, of: client("dynamodb").get_item(
        TableName=of.outputs["table_name"], Key={"pk": {"S": of.short}, "sk": {"S": "contract"}}
    ),
    "query items": lambda client, of: client("dynamodb").query(
        TableName=of.outputs["table_name"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{of.short}#order"}},
    ),
    "write an item": lambda client, of: client("dynamodb").put_item(
        TableName=of.outputs["table_name"],
        Item={"pk": {"S": f"{of.short}#order"}, "sk": {"S": "1"}},
    ),
    "decrypt": lambda client, of: client("kms").decrypt(CiphertextBlob=of.ciphertext),
    "encrypt": lambda client, of: client("kms").encrypt(
        KeyId=of.outputs["data_key_arn"], Plaintext=b"text"
    ),
    "read a secret": lambda client, of: client("secretsmanager").get_secret_value(
        SecretId=secret_beside(of.outputs)
    ),
    "read a parameter": lambda client, of: client("ssm").get_parameter(
        Name=f"{of.outputs['parameter_path']}/key-arn"
    ),
    "write a log line": lambda client, of: client("logs").create_log_stream(
        logGroupName=of.outputs["app_log_group"], logStreamName="main"
    ),
}


def secret_beside(outputs: dict[str, Any]) -> str:
    """Return a name beside the slice's own secrets, which stay empty: others look at them."""
    return f"{outputs['secret_names']['llm']}-in-use"


def fill(world: World, short: str) -> Tenant:
    """Put something into every store of a slice, and start a session of its role."""
    outputs = world.slices[short].outputs
    world.cloud.client("s3").put_object(
        Bucket=outputs["data_bucket"],
        Key=f"tenants/{short}/contract.txt",
        Body=short.encode(),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=outputs["data_key_arn"],
    )
    world.cloud.client("dynamodb").put_item(
        TableName=outputs["table_name"], Item={"pk": {"S": short}, "sk": {"S": "contract"}}
    )
    secrets = world.cloud.client("secretsmanager")
    shell = secrets.describe_secret(SecretId=outputs["secret_names"]["llm"])
    secrets.create_secret(
        Name=secret_beside(outputs),
        KmsKeyId=shell["KmsKeyId"],
        Tags=shell["Tags"],
        SecretString=f"secret of {short}",
    )
    sealed = world.cloud.client("kms").encrypt(KeyId=outputs["data_key_arn"], Plaintext=b"text")
    session = world.cloud.client("sts").assume_role(
        RoleArn=outputs["app_role_arn"], RoleSessionName="task"
    )["Credentials"]
    return Tenant(
        short=short,
        outputs=outputs,
        ciphertext=sealed["CiphertextBlob"],
        session={
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        },
    )


@pytest.fixture(scope="module")
def tenants(world: World) -> Iterator[dict[str, Tenant]]:
    """Two slices with data in them, in a cloud whose IAM decides from now on.

    Sessions are started before: the trust of the roles names the container service alone.
    """
    filled = {short: fill(world, short) for short in (ACME, ZENITH)}
    world.cloud.post("/moto-api/reset-auth", "0")
    try:
        yield filled
    finally:
        world.cloud.post("/moto-api/reset-auth", "inf")
        for tenant in filled.values():  # others look for what a stack does not know
            world.cloud.client("secretsmanager").delete_secret(
                SecretId=secret_beside(tenant.outputs), ForceDeleteWithoutRecovery=True
            )


def outcome(world: World, probe: Probe, actor: Tenant, owner: Tenant) -> str:
    def client(service: str) -> Any:
        return world.cloud.client(service, **actor.session)

    try:
        probe(client, owner)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@pytest.mark.requirement("J-022")
@pytest.mark.parametrize("what", PROBES)
def test_a_slice_works_with_its_own_and_never_with_its_neighbours(
    what: str, world: World, tenants: dict[str, Tenant]
) -> None:
    acme, zenith = tenants[ACME], tenants[ZENITH]
    for own, other in ((acme, zenith), (zenith, acme)):
        assert outcome(world, PROBES[what], own, own) == "done"
        refused = outcome(world, PROBES[what], own, other)
        assert refused in {"AccessDenied", "AccessDeniedException"}, refused


def test_a_slice_cannot_scan_list_or_widen_itself(world: World, tenants: dict[str, Tenant]) -> None:
    acme = tenants[ACME]
    attempts: dict[str, Probe] = {
        "scan": lambda client, of: client("dynamodb").scan(TableName=of.outputs["table_name"]),
        "list all": lambda client, of: client("s3").list_objects_v2(
            Bucket=of.outputs["data_bucket"]
        ),
        "list tenants": lambda client, of: client("s3").list_objects_v2(
            Bucket=of.outputs["data_bucket"], Prefix="tenants/"
        ),
        "the Hub's key": lambda client, _: client("kms").encrypt(
            KeyId=world.hub.outputs["data_key_arn"], Plaintext=b"text"
        ),
        "more rights": lambda client, of: client("iam").put_role_policy(
            RoleName=of.outputs["app_role_arn"].rsplit("/", 1)[1],
            PolicyName="more",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}),
        ),
        "another role": lambda client, _: client("sts").assume_role(
            RoleArn=tenants[ZENITH].outputs["app_role_arn"], RoleSessionName="task"
        ),
    }
    for name, attempt in attempts.items():
        assert outcome(world, attempt, acme, acme) in {"AccessDenied", "AccessDeniedException"}, (
            name
        )
