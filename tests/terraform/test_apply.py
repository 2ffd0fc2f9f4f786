"""The delivered bytes on the emulated cloud: apply, no change, a refused destroy, removal."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from jsonschema import Draft202012Validator

from control_plane.adapters.specs import JsonSchemaSpecs
from control_plane.adapters.terraform.toolchain import Toolchain
from control_plane.domain.destroy_receipt import HandedOverVersion, require_about, require_empty
from control_plane.domain.receipt import fixed_resources, made_keys
from tests.terraform.handed_data import VENDORS, destroy_receipt, empty, hand_over
from tests.terraform.test_variables_schema import validator
from tests.terraform.workspace import MODULES, RELEASE, Workspace

ACCOUNT = "210987654321"
_SHORT = json.loads((MODULES / "examples" / "created.tfvars.json").read_text())["owner"]["short"]
START_SECONDS = 60.0


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """Endpoint of an emulated cloud that is the customer's account."""
    command = [sys.executable, "-m", "stacks.sandbox.cloud", "--port", "0", "--account", ACCOUNT]
    with subprocess.Popen(
        [*command, "--parent-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if readable else ""
        if not line:
            process.kill()
            raise AssertionError("the emulated cloud did not become ready")
        yield json.loads(line)["endpoint"]
        process.terminate()
        assert process.wait(timeout=30) == 0


@pytest.mark.requirement("J-054")
@pytest.mark.slow
@pytest.mark.timeout(1500)  # the provider waits 80 s for a database and 55 s for a lifecycle
def test_a_hub_is_applied_kept_and_removed_in_two_steps(
    toolchain: Toolchain, cloud: str, tmp_path: Path
) -> None:
    workspace = Workspace.make(
        tmp_path / "bundle",
        toolchain,
        "created",
        environment={
            "AWS_ENDPOINT_URL": cloud,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        },
    )
    assert workspace.init().code == 0

    applied = workspace.run("apply", "-auto-approve", "-no-color", seconds=600)
    assert applied.code == 0, applied.text
    again = workspace.run("plan", "-detailed-exitcode", "-no-color")
    assert again.code == 0, again.text

    # AWS patches the database in its maintenance window; that is no change of ours
    database = _client(cloud, "rds")
    name = f"{_SHORT}-db"
    database.modify_db_instance(
        DBInstanceIdentifier=name, EngineVersion="16.13", ApplyImmediately=True
    )
    found = database.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    assert found[0]["EngineVersion"] == "16.13"
    patched = workspace.run("plan", "-detailed-exitcode", "-no-color")
    assert patched.code == 0, patched.text

    receipt = json.loads(workspace.run("output", "-json", "receipt").text)
    checker: Draft202012Validator = validator("mode_c_receipt")
    checker.validate(receipt)
    assert receipt["content_digest"] == RELEASE["content_digest"]
    variables = json.loads((MODULES / "examples" / "created.tfvars.json").read_text("utf-8"))
    fixed = fixed_resources(variables)
    assert {name: receipt["resources"][name] for name in fixed} == fixed
    for name, beginning in made_keys(variables).items():
        assert receipt["resources"][name].startswith(beginning)
    assert _buckets(cloud) == {
        receipt["resources"]["data_bucket"],
        receipt["resources"]["log_bucket"],
    }

    clients = partial(_client, cloud)
    hand_over(workspace, clients, cloud, tmp_path)
    empty(clients, receipt["resources"]["data_bucket"], VENDORS)
    clients("s3").delete_bucket(Bucket=VENDORS)

    before = workspace.run("state", "list").text
    refused = workspace.run("destroy", "-auto-approve", "-no-color")
    assert refused.code == 1
    assert "DeletionProtection" in refused.text
    assert workspace.run("state", "list").text == before

    lifted = workspace.run(
        "apply", "-auto-approve", "-no-color", "-var=uninstall=true", seconds=600
    )
    assert lifted.code == 0, lifted.text
    assert "0 added, 3 changed, 0 destroyed" in lifted.text
    gone = workspace.run(
        "destroy", "-auto-approve", "-no-color", "-var=uninstall=true", seconds=600
    )
    assert gone.code == 0, gone.text
    assert workspace.run("state", "list").text == ""
    sent = destroy_receipt(workspace)
    JsonSchemaSpecs(MODULES.parent / "schemas").validate("destroy_receipt", sent)
    handed = HandedOverVersion(
        number=1, content_digest=RELEASE["content_digest"],
        handed_over_at=datetime.now(UTC) - timedelta(hours=1),
    )  # fmt: skip
    owner = variables["owner"]
    names = {name: owner[name] for name in ("tenant", "environment", "deployment")}
    expected = {**names, "account_id": ACCOUNT, "region": variables["region"]}
    assert require_about(sent, expected=expected, versions=[handed]) is handed
    assert require_empty(sent, version=handed, now=datetime.now(UTC)) == []
    assert _buckets(cloud) == set()


def _buckets(endpoint: str) -> set[str]:
    return {bucket["Name"] for bucket in _client(endpoint, "s3").list_buckets()["Buckets"]}


def _client(endpoint: str, service: str) -> Any:
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
