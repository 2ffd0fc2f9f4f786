"""Two slices of one Hub cannot reach each other: each door has two locks, and each lock is tried.

Here by the documents that the programs register; ``test_stacks_isolation_enforced.py`` does it in a
cloud.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.stacks import sample_specs
from tests.stacks.iam_evaluation import Request, Role, may
from tests.stacks.registrations import Preview, preview_of
from tests.stacks.slice_probes import (
    EVERYWHERE,
    KEY_ARN,
    HubPart,
    SlicePart,
    keys_of,
    probes_on,
    probes_on_all,
)

# the second begins with the whole first: a wildcard in the wrong place would join them
FIRST, SECOND = "acme-a1b2c3", "acme-a1b2c3-x"
ADMINISTRATOR = json.dumps({"Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]})


def one(preview: Preview, type_: str, name: str) -> Mapping[str, Any]:
    (found,) = [each for each in preview.of(type_) if each.name == name]
    return found.inputs


@pytest.fixture(scope="module")
def hub_preview() -> Preview:
    return preview_of("mode_a.hub", sample_specs.hub())


@pytest.fixture(scope="module")
def hub(hub_preview: Preview) -> HubPart:
    outputs = sample_specs.hub_outputs()
    return HubPart(
        bucket=outputs["data_bucket"],
        bucket_policy=one(hub_preview, "aws:s3/bucketPolicy:BucketPolicy", "data")["policy"],
        table_arn=outputs["table_arn"],
        key_policy=one(hub_preview, "aws:kms/key:Key", "data")["policy"],
        log_group_prefix=outputs["log_group_prefix"],
    )


def slice_part(short: str, boundary: str) -> SlicePart:
    spec = sample_specs.slice_of(sample_specs.hub_outputs(), "acme", short)
    preview = preview_of("mode_a.slice", spec)
    name = one(preview, "aws:iam/role:Role", "app")["name"]
    return SlicePart(
        short=short,
        role=Role(
            arn=f"arn:aws:iam::{sample_specs.ACCOUNT}:role/{name}",
            policy=one(preview, "aws:iam/rolePolicy:RolePolicy", "app")["policy"],
            boundary=boundary,
        ),
        key_policy=one(preview, "aws:kms/key:Key", "data")["policy"],
    )


@pytest.fixture(scope="module")
def slices(hub_preview: Preview) -> tuple[SlicePart, SlicePart]:
    boundary = one(hub_preview, "aws:iam/policy:Policy", "boundary")["policy"]
    return slice_part(FIRST, boundary), slice_part(SECOND, boundary)


def test_a_slice_reaches_everything_of_its_own(
    hub: HubPart, slices: tuple[SlicePart, SlicePart]
) -> None:
    for part in slices:
        refused = [
            probe.what
            for probe in probes_on(hub, part)
            if not may(part.role, probe.request, probe.policy)
        ]
        assert refused == []


@pytest.mark.requirement("J-022")
def test_a_slice_reaches_nothing_of_another(
    hub: HubPart, slices: tuple[SlicePart, SlicePart]
) -> None:
    for own, other in (slices, slices[::-1]):
        reached = [
            probe.what
            for probe in probes_on(hub, other)
            if may(own.role, probe.request, probe.policy)
        ]
        assert reached == []


def test_a_slice_reaches_nothing_of_all(hub: HubPart, slices: tuple[SlicePart, SlicePart]) -> None:
    for part in slices:
        reached = [
            probe.what
            for probe in probes_on_all(hub, part)
            if may(part.role, probe.request, probe.policy)
        ]
        assert reached == []


def test_the_key_of_a_slice_is_closed_even_to_a_role_that_may_do_everything(
    slices: tuple[SlicePart, SlicePart],
) -> None:
    own, other = slices
    mighty = Role(arn=own.role.arn, policy=ADMINISTRATOR, boundary=ADMINISTRATOR)
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        request = Request(action=action, resource=KEY_ARN, context=keys_of(other))
        assert not may(mighty, request, other.key_policy)


def test_secrets_can_be_stored_under_the_key_of_their_slice_and_no_other(
    slices: tuple[SlicePart, SlicePart],
) -> None:
    """Whoever stores the values needs the key, through Secrets Manager and for that secret."""
    operator = Role(
        arn=f"arn:aws:iam::{sample_specs.ACCOUNT}:role/operator",
        policy=ADMINISTRATOR,
        boundary=ADMINISTRATOR,
    )
    own, other = slices

    def store(secret_of: SlicePart, key_of: SlicePart, service: str) -> bool:
        secret = f"secret:{secret_of.short}/llm-AbCdEf"
        context = {
            **keys_of(key_of),
            "kms:ViaService": [f"{service}.{sample_specs.REGION}.amazonaws.com"],
            "kms:EncryptionContext:SecretARN": [
                f"arn:aws:secretsmanager:{sample_specs.REGION}:{sample_specs.ACCOUNT}:{secret}"
            ],
        }
        request = Request(action="kms:GenerateDataKey", resource=KEY_ARN, context=context)
        return may(operator, request, key_of.key_policy)

    assert store(own, own, "secretsmanager")
    assert not store(other, own, "secretsmanager")
    assert not store(own, own, "s3")


def test_items_are_opened_through_the_table_alone(
    hub: HubPart, slices: tuple[SlicePart, SlicePart]
) -> None:
    """The table is under the Hub's key: a slice may have it used by DynamoDB, for that table."""

    def decrypt(service: str, table: str) -> bool:
        context = {
            **EVERYWHERE,
            "kms:ResourceAliases": ["alias/hub-a-k3m9x2-data"],
            "kms:ViaService": [f"{service}.{sample_specs.REGION}.amazonaws.com"],
            "kms:EncryptionContext:aws:dynamodb:tableName": [table],
        }
        request = Request(action="kms:Decrypt", resource=KEY_ARN, context=context)
        return may(slices[0].role, request, hub.key_policy)

    assert decrypt("dynamodb", "hub-a-k3m9x2-hub")
    assert not decrypt("dynamodb", "another-table")
    assert not decrypt("s3", "hub-a-k3m9x2-hub")


@pytest.mark.parametrize("sid", ["Objects", "ListObjects", "Items", "Secrets", "Parameters"])
def test_a_door_left_open_would_be_seen(
    sid: str, hub: HubPart, slices: tuple[SlicePart, SlicePart]
) -> None:
    """The probes find what they are for: widen one statement and one of them succeeds."""
    own, other = slices
    policy = json.loads(own.role.policy)
    (statement,) = [each for each in policy["Statement"] if each["Sid"] == sid]
    statement.pop("Condition", None)
    statement["Resource"] = json.loads(json.dumps(statement["Resource"]).replace(own.short, "*"))
    widened = replace(own.role, policy=json.dumps(policy))
    assert any(may(widened, probe.request, probe.policy) for probe in probes_on(hub, other)), (
        "nothing noticed"
    )


def test_a_key_left_open_would_be_seen(slices: tuple[SlicePart, SlicePart]) -> None:
    own, other = slices
    policy = json.loads(own.role.policy)
    (statement,) = [each for each in policy["Statement"] if each["Sid"] == "OwnKey"]
    del statement["Condition"]
    widened = replace(own.role, policy=json.dumps(policy))
    request = Request(action="kms:Decrypt", resource=KEY_ARN, context=keys_of(other))
    account_decides = json.dumps(
        {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{sample_specs.ACCOUNT}:root"},
                    "Action": ["kms:*"],
                    "Resource": ["*"],
                }
            ]
        }
    )
    assert not may(widened, request, other.key_policy), "the key's own lock"
    assert may(widened, request, account_decides), "without it"
    assert not may(own.role, request, account_decides), "the role's own lock"
