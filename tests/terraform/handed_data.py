"""Data that is handed over to a Hub that was just applied, by the commands of the runbook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.adapters.tenant_data.stores import AwsTenantData
from control_plane.domain.handover import (
    Source,
    manifest_bytes,
    manifest_digest,
    manifest_of,
    require_equal_import,
)
from control_plane.domain.handover_guide import handover_guide
from control_plane.domain.transfer import KINDS, Place
from tests.terraform.workspace import MODULES, Workspace

TOOL = MODULES.parent / "mode_c_handover"
GUIDE = MODULES.parent.parent / "docs" / "mode-c.md"
VENDORS = "vendors-data"


def shell(workspace: Workspace, line: str) -> str:
    """Run a line of a runbook in the folder of the bundle; returns what it printed."""
    path = f"{workspace.toolchain.binary.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = workspace.toolchain.child_environment(os.environ)
    done = subprocess.run(
        ["/bin/sh", "-euc", line],
        cwd=workspace.folder,
        env={**environment, **workspace.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def hand_over(workspace: Workspace, clients: Any, endpoint: str, folder: Path) -> None:
    """Fill a place of the vendor, and do what HANDOVER.md says, to a report that is accepted."""
    variables = json.loads((workspace.folder / "terraform.tfvars.json").read_text("utf-8"))
    place = _vendors_place(clients, variables)
    create_secret(folder / "master.key")
    data = AwsTenantData(endpoint=endpoint, secrets=FileSecretStore(folder / "master.key"))
    rows = {kind: data.describe(place, list(data.things(place, kind))) for kind in KINDS}
    source = Source(tenant=variables["owner"]["tenant"], mode="A", place=place, database=None)
    made = manifest_of(
        source, variables["owner"]["deployment"], rows,
        number=1, is_frozen=True, made_at=datetime.now(UTC),
    )  # fmt: skip
    content = manifest_bytes(made)
    (workspace.folder / "handover-manifest-1.json").write_bytes(content)
    shutil.copytree(TOOL, workspace.folder / "handover")
    guide = handover_guide(made, manifest_digest(content), keep_days=14)
    lines = re.findall(r"^(?:python3 -m handover|terraform output) .*?$", guide, re.MULTILINE)
    assert [line.split()[3 if "python3" in line else 1] for line in lines] == [
        "output", "output", "export", "import", "report",
    ]  # fmt: skip
    hub = json.loads(workspace.run("output", "-json", "hub").text)
    clients("secretsmanager").put_secret_value(
        SecretId=hub["secret_names"]["idp"], SecretString="x"
    )
    for line in lines:
        shell(workspace, line)
    report = json.loads((workspace.folder / "import-report.json").read_text("utf-8"))
    require_equal_import(
        report,
        expected={
            "tenant": made["tenant"], "deployment": made["deployment"],
            "account_id": variables["account_id"], "region": variables["region"],
            "manifest_digest": manifest_digest(content),
        },
        sums=made["totals"],
        dump=None,
    )  # fmt: skip
    got = clients("s3").get_object(Bucket=hub["data_bucket"], Key="tenants/acme/1.txt")
    assert got["Body"].read() == b"report 1"


def _vendors_place(clients: Any, variables: dict[str, Any]) -> Place:
    region = variables["region"]
    s3, dynamodb = clients("s3"), clients("dynamodb")
    where = {"LocationConstraint": region}
    s3.create_bucket(Bucket=VENDORS, CreateBucketConfiguration=where)
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    dynamodb.create_table(
        TableName=VENDORS, BillingMode="PAY_PER_REQUEST", KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
    )  # fmt: skip
    for number in range(3):
        body = f"report {number}".encode()
        s3.put_object(Bucket=VENDORS, Key=f"tenants/acme/{number}.txt", Body=body)
        item = {"pk": {"S": f"acme#{number}"}, "sk": {"S": "1"}, "n": {"N": str(number)}}
        dynamodb.put_item(TableName=VENDORS, Item=item)
    clients("ssm").put_parameter(Name="/tenantplane/vendors/app/beta", Value="on", Type="String")
    for purpose in ("app", "idp", "llm"):
        clients("secretsmanager").create_secret(Name=f"vendors/{purpose}")
    clients("secretsmanager").put_secret_value(SecretId="vendors/idp", SecretString="hush")
    return Place(
        deployment_id="dep_a", region=region, account_id=variables["account_id"], role_arn=None,
        external_id=None, bucket=VENDORS, prefix="tenants/acme/", table=VENDORS,
        leading_key="acme", secrets={each: f"vendors/{each}" for each in ("app", "idp", "llm")},
        parameters="/tenantplane/vendors", data_key_arn="alias/aws/ssm",
    )  # fmt: skip


def empty(clients: Any, *buckets: str) -> None:
    """Remove every version of every object, as the customer does before a destroy."""
    s3 = clients("s3")
    for bucket in buckets:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for part in ("Versions", "DeleteMarkers"):
                for each in page.get(part, ()):
                    s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])


def destroy_receipt(workspace: Workspace) -> dict[str, Any]:
    """Return the receipt that the command of MODE-C.md makes after a destroy."""
    text = GUIDE.read_text("utf-8")
    pattern = r"^terraform state list \|.*?destroy\.json$"
    (command,) = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    shell(workspace, command)
    found: dict[str, Any] = json.loads((workspace.folder / "destroy.json").read_text("utf-8"))
    return found
