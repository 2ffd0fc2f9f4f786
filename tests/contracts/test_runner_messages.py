"""The messages of the runner, as its models write them and as the control plane reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from control_plane.adapters.pulumi.runner_process import Messages
from control_plane.domain.errors import EngineFailed
from stacks import contract
from stacks.schemas.__main__ import documents

pytestmark = pytest.mark.timeout(60)

SCHEMAS = Path(__file__).resolve().parents[2] / "stacks" / "schemas"
DIGEST = "sha256:" + "0" * 64
PARTS = contract.PlannedParts(operations=DIGEST, state=DIGEST, program=DIGEST, versions=DIGEST)
URN = "urn:pulumi:a.b.c::tenantplane::aws:s3/bucket:Bucket::data"

LINES: Mapping[str, contract.Message] = {
    "event": contract.Event(seq=1, kind="phase", body={"phase": "plan", "status": "started"}),
    "planned": contract.Planned(
        digest=DIGEST,
        parts=PARTS,
        versions={"cli": "3.259.0"},
        operations=(
            contract.PlannedOperation(
                urn=URN, type="aws:s3/bucket:Bucket", name="data", op="create",
                diffs={"tags.x": "add"}, replaces=("bucket",), secrets=("x",),
                changes=(contract.PropertyChange(path="tags.x", kind="add", after=["x", None]),),
                options=("protect",), holds_data=True,
            ),
        ),
        resources=(
            contract.PlannedResource(
                urn=URN, type="aws:s3/bucket:Bucket", name="data", operation="create",
                inputs={"bucket": contract.UNKNOWN, "token": {"secret": True}},
            ),
        ),
        outputs=(contract.OutputChange(name="arn", kind="update", before=1, after={"a": []}),),
    ),
    "applied": contract.Applied(
        outputs={"arn": "x", "token": {"secret": True}}, secret_outputs=("token",),
        state_digest=DIGEST, summary={"create": 2},
    ),
    "result": contract.Result(
        outcome="looked",
        look=contract.Look(
            checks=(contract.Check(name="outputs_present", ok=True),), resources=(),
            state_digest=DIGEST,
        ),
        locks=(contract.Lock(id="x", call_id="run_1.1", alive=False),),
        pending=(contract.Pending(urn=URN, type="t", operation="creating"),),
        resolved=(contract.Resolved(urn=URN, type="t", resolution="cleared", proof="none"),),
        seconds={"plan": 1.5},
    ),
    "failure": contract.Failure(code=contract.Code.PROVIDER, text="no", data={"aws_code": "X"}),
}  # fmt: skip


def request(**changes: Any) -> dict[str, Any]:
    return {
        "operation": "up",
        "call_id": "run_1.1",
        "stack": "acme.production.a",
        "program": "mode_a.slice",
        "spec": {"owner": {}},
        "cloud": {"region": "eu-west-1", "account_id": "123456789012"},
        "backend_url": "file:///var/state",
        "work_folder": "/var/calls/call-1",
        "cli": "/usr/bin/pulumi",
        "cli_version": "v3.259.0",
        "secrets": {"passphrase": "a long passphrase", "hmac_key": "ab" * 32},
        **changes,
    }


@pytest.fixture(scope="module")
def messages() -> Messages:
    return Messages(SCHEMAS)


def test_the_schemas_are_those_of_the_models() -> None:
    for name, text in documents().items():
        assert (SCHEMAS / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("kind", sorted(LINES))
def test_every_line_of_the_runner_is_understood(messages: Messages, kind: str) -> None:
    text = LINES[kind].model_dump_json()
    parsed = messages.parse(text.encode())
    assert parsed["message"] == kind
    adapter: TypeAdapter[Any] = TypeAdapter(contract.Line)
    assert adapter.validate_json(text) == LINES[kind]
    assert json.loads(text) == parsed


@pytest.mark.parametrize("kind", sorted(LINES))
def test_a_line_with_more_or_less_is_refused(messages: Messages, kind: str) -> None:
    whole = json.loads(LINES[kind].model_dump_json())
    required = {
        "event": "seq",
        "planned": "parts",
        "applied": "state_digest",
        "result": "outcome",
        "failure": "code",
    }[kind]
    for wrong in (
        {**whole, "surplus": 1},
        {k: v for k, v in whole.items() if k != required},
        {**whole, required: []},
    ):
        with pytest.raises(EngineFailed) as refused:
            messages.parse(json.dumps(wrong).encode())
        assert refused.value.data["reason"] == "protocol"


@pytest.mark.parametrize(
    "line", [b"", b"Traceback (most recent call last):", b"[]", b"1", b'{"a":1}']
)
def test_what_is_no_message_is_refused(messages: Messages, line: bytes) -> None:
    with pytest.raises(EngineFailed) as refused:
        messages.parse(line)
    assert refused.value.data["reason"] == "protocol"


def test_requests_are_judged_alike_on_both_sides(messages: Messages) -> None:
    for good in (
        request(),
        request(gate=True, verify=False),
        request(has_state=True),
        request(operation="clean_up", end_calls=["run_1.1"], break_locks=["x"]),
        request(operation="inspect"),
        request(operation="look"),
        request(operation="resolve"),
        request(deadlines={"plan_seconds": 1}),
    ):
        messages.check_request(good)
        contract.Request.model_validate(good)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"surplus": 1}, "request"),
        ({"operation": "explode"}, "operation"),
        ({"operation": "destroy"}, "operation"),
        ({"has_state": "perhaps"}, "has_state"),
        ({"program": "mode_z"}, "program"),
        ({"stack": "../x"}, "stack"),
        ({"backend_url": "https://api.pulumi.com"}, "backend_url"),
        ({"secrets": {"passphrase": "canary!", "hmac_key": "ab" * 32}}, "secrets.passphrase"),
        ({"secrets": {"passphrase": "canary-long", "hmac_key": "canary"}}, "secrets.hmac_key"),
        ({"cloud": {"region": "eu-west-1", "account_id": "1"}}, "cloud.account_id"),
        ({"protocol": 2}, "protocol"),
    ],
)
def test_a_wrong_request_is_refused_on_both_sides_and_not_repeated(
    messages: Messages, changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(EngineFailed) as refused:
        messages.check_request(request(**changes))
    assert where in refused.value.message
    assert "canary" not in refused.value.message
    with pytest.raises(ValidationError):
        contract.Request.model_validate(request(**changes))


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        LINES["failure"].text = "other"  # type: ignore[attr-defined] # the refusal is the test
