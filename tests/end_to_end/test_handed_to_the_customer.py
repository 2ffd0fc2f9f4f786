"""From a dedicated Hub to one in the customer's own account, as vendor and customer do it.

The bundle is applied by the real Terraform to an emulated account of its own, and what the runbook
says is run as it is written there.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from control_plane.adapters.terraform.toolchain import BINARY_SETTING, MIRROR_SETTING, Toolchain
from control_plane.cli.client import Api, download_link
from control_plane.cli.refusing import Refused
from control_plane.domain.actor import Role
from tests.end_to_end.installation import (
    REGION,
    SELDOM_SECONDS,
    Served,
    approve,
    ended,
    request_body,
)
from tests.end_to_end.test_removed_for_good import DECIDERS, approve_as
from tests.stacks.cloud_process import CloudProcess
from tests.terraform.conftest import toolchain  # noqa: F401 - a fixture
from tests.terraform.handed_data import shell
from tests.terraform.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
CUSTOMERS_ACCOUNT = "210987654321"
OBJECTS, ITEMS = 12, 7


@pytest.fixture
def vendor(
    tmp_path: Path,
    pulumi_cli: Path,
    toolchain: Toolchain,  # noqa: F811 - the fixture
) -> Iterator[Served]:
    """An installation that rehearses bundles with the Terraform of these tests."""
    assert toolchain.mirror is not None
    running = Served(
        home=tmp_path / "home",
        cli=pulumi_cli,
        settings={
            BINARY_SETTING: str(toolchain.binary),
            MIRROR_SETTING: str(toolchain.mirror.folder),
        },
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def account() -> Iterator[CloudProcess]:
    """The customer's account."""
    cloud = CloudProcess()
    cloud.command += ["--account", CUSTOMERS_ACCOUNT]
    with cloud:
        yield cloud


class Hand:
    """The people on both sides, and the folder in which the bundle is unpacked."""

    def __init__(self, vendor: Served, account: CloudProcess, terraform: Toolchain) -> None:
        self.vendor, self.account, self.toolchain = vendor, account, terraform
        self.crm = vendor.api("crm", Role.AUTOMATION)
        self.sam = vendor.api("sam", Role.SOLUTIONS_ARCHITECT)
        self.people = {name: vendor.api(name, Role.OPS_APPROVER) for name in DECIDERS}
        self.olga = self.people["olga"]
        self.decided: set[tuple[str, str]] = set()
        self.slug, self.path = "", ""

    def born(self) -> None:
        """Let the tenant be built in Mode B and fill its stores."""
        accepted = self.crm.post("/v1/provisioning-requests", request_body("B"))
        self.slug, run_id = accepted["tenant"]["slug"], accepted["run_id"]
        approve(self.vendor, run_id)
        assert ended(self.vendor, run_id)["status"] == "applied"
        self.path = f"/v1/tenants/{self.slug}"
        out = self.outputs()
        for number in range(OBJECTS):
            self.present("s3").put_object(
                Bucket=out["data_bucket"], Key=f"reports/{number}.txt", Body=f"{number}".encode()
            )
        for number in range(ITEMS):
            item = {"pk": {"S": f"p{number}"}, "sk": {"S": "x"}, "n": {"N": str(number)}}
            self.present("dynamodb").put_item(TableName=out["table_name"], Item=item)
        settings = out["app_log_group"].removesuffix("/app")
        self.present("ssm").put_parameter(Name=f"{settings}/app/beta", Value="on", Type="String")
        self.present("secretsmanager").put_secret_value(
            SecretId=out["secret_names"]["idp"], SecretString="hush"
        )

    def present(self, service: str) -> Any:
        """Return a client of the account in which the dedicated Hub is."""
        return boto3.client(  # type: ignore[call-overload] # the name comes in as a value
            service, region_name=REGION, endpoint_url=self.vendor.left()["sandbox_url"],
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def outputs(self) -> dict[str, Any]:
        """Return what the deployment exports that decides about the tenant."""
        current = self.crm.get(f"{self.path}/outputs")["items"][0]
        assert current["position"] == "current"
        found: dict[str, Any] = current["outputs"]
        return found

    def until(self, step: str) -> dict[str, Any]:
        """Wait until the hand-over waits at a step; plans on the way are approved by two people."""

        def look() -> dict[str, Any] | None:
            present: dict[str, Any] = self.olga.get(f"{self.path}/mode")
            assert present["status"] != "stuck", present["error"]
            for each in present["steps"]:
                if each["run_id"] and each["outcome"] is None:
                    approve_as(self.people, each["run_id"], self.decided)
            is_there = present["step"] == step and present["status"] == "waiting"
            return present if is_there or present["ended_at"] else None

        found: dict[str, Any] = self.vendor.until(
            look, f"the hand-over is at {step}", pause=SELDOM_SECONDS
        )
        return found

    def receive(self, folder: Path) -> None:
        """Let the architect build and hand over the bundle, and the customer unpack and apply."""
        (bundle,) = self.sam.get("/v1/bundles")["items"]
        path = f"/v1/bundles/{bundle['id']}"
        self.sam.post(f"{path}/accept")
        self.sam.patch(path, {"inputs": {"account_id": CUSTOMERS_ACCOUNT}})
        self.sam.post(f"{path}/build")
        built = self.vendor.until(
            lambda: _after(self.sam.get(path), "accepted", "building"), "it is built"
        )
        assert (built["status"], built["rehearsal"]) == ("built", "quick"), built["error"]
        given = self.sam.post(
            f"{path}/hand-over",
            {"recipient_name": "Carla Customer", "recipient_email": "carla@example.com"},
        )
        content = download_link(given["download_url"]).content
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="data")
        (root,) = folder.iterdir()
        self.customer = self.workspace(root, self.account.endpoint)
        self.exporter = self.workspace(root, self.vendor.left()["sandbox_url"])
        initialised = self.customer.init("-lockfile=readonly")
        assert initialised.code == 0, initialised.text
        applied = self.customer.run("apply", "-auto-approve", "-no-color", seconds=600)
        assert applied.code == 0, applied.text
        self.do((root / "handover" / "HANDOVER.md").read_text("utf-8"), "output")
        receipt = json.loads((root / "receipt.json").read_text("utf-8"))
        self.sam.post(f"{path}/receipts", {"receipt": receipt})

    def workspace(self, folder: Path, endpoint: str) -> Workspace:
        """Return the unpacked bundle with somebody's credentials."""
        given = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        return Workspace(folder=folder, toolchain=self.toolchain, environment=given)

    def do(self, guide: str, *commands: str) -> None:
        """Run commands of a runbook in its order, those of the vendor as the vendor."""
        lines = re.findall(r"^(?:python3 -m handover|terraform output) .*?$", guide, re.MULTILINE)
        for line in lines:
            word = line.split()[3 if line.startswith("python3") else 1]
            if word in commands:
                shell(self.exporter if word == "export" else self.customer, line)

    def newest_guide(self) -> str:
        """Put the newest manifest with its signature beside the bundle; return its runbook."""
        found = self.olga.get(f"{self.path}/mode/manifest")
        file = self.customer.folder / found["name"]
        file.write_text(found["file"], encoding="utf-8", newline="\n")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert found["digest"] == f"sha256:{digest}"
        assert found["signature"].startswith("untrusted comment:")
        return str(found["guide"])


def _after(found: dict[str, Any], *statuses: str) -> dict[str, Any] | None:
    return None if found["status"] in statuses else found


@pytest.mark.requirement("J-023")
def test_a_dedicated_hub_is_handed_over_and_destroyed_once_the_customer_has_everything(
    vendor: Served,
    account: CloudProcess,
    toolchain: Toolchain,  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hand = Hand(vendor, account, toolchain)
    hand.born()
    before = hand.outputs()
    hand.sam.post(
        f"{hand.path}/mode",
        {"reason": "their own cloud", "change_to": "C", "amendment": "AM-1", "keep_days": 0},
    )
    assert hand.until("bundle")["waiting_on"] == "architect"
    hand.receive(tmp_path / "received")
    assert hand.until("first_copy")["waiting_on"] == "ops"
    bundled = (hand.customer.folder / "handover" / "HANDOVER.md").read_text("utf-8")
    hand.do(bundled, "export")
    with pytest.raises(AssertionError, match="secret idp: missing"):
        hand.do(bundled, "import")
    late = {"Bucket": before["data_bucket"], "Key": "reports/late.txt"}
    hand.present("s3").put_object(**late, Body=b"late")

    hand.olga.post(f"{hand.path}/mode/first-copy", {"reason": "it has arrived"})
    assert hand.until("dump")["waiting_on"] == "ops"
    dump = hand.customer.folder / "hub.dump"
    dump.write_bytes(b"what pg_dump wrote")
    digest = f"sha256:{hashlib.sha256(dump.read_bytes()).hexdigest()}"
    hand.olga.post(f"{hand.path}/mode/database-dump", {"dump_digest": digest, "reason": "frozen"})
    assert hand.until("import")["waiting_on"] == "customer"
    guide = hand.newest_guide()
    hub = json.loads((hand.customer.folder / "hub.json").read_text("utf-8"))
    account.client("secretsmanager").put_secret_value(
        SecretId=hub["secret_names"]["idp"], SecretString="the customer's"
    )
    hand.do(guide, "export", "import", "report")
    report = json.loads((hand.customer.folder / "import-report.json").read_text("utf-8"))
    with pytest.raises(Refused):
        _send(hand.sam, hand.path, {**report, "database": {"dump_digest": "sha256:" + "0" * 64}})
    assert "[import_differs]" in capsys.readouterr().err
    _send(hand.sam, hand.path, report)

    hand.until("close")  # two people approve what destroys the former place
    hand.vendor.until(lambda: hand.olga.get(f"{hand.path}/mode")["ended_at"], "it is closed")
    tenant = hand.crm.get(hand.path)
    assert (tenant["mode"], tenant["status"]) == ("C", "ready")
    assert hand.outputs()["data_bucket"] == hub["data_bucket"] != before["data_bucket"]
    listed = account.client("s3").list_objects_v2(Bucket=hub["data_bucket"])["Contents"]
    assert len(listed) == OBJECTS + 1
    assert account.client("dynamodb").scan(TableName=hub["table_name"])["Count"] == ITEMS
    assert still_there(hand, before) == []


def still_there(hand: Hand, out: dict[str, Any]) -> list[str]:
    """Return which parts of the former Hub boto3 finds."""
    there = {
        "data_bucket": [b["Name"] for b in hand.present("s3").list_buckets()["Buckets"]],
        "table_name": hand.present("dynamodb").list_tables()["TableNames"],
        "database_id": [
            each["DBInstanceIdentifier"]
            for each in hand.present("rds").describe_db_instances()["DBInstances"]
        ],
        "app_role_arn": [each["Arn"] for each in hand.present("iam").list_roles()["Roles"]],
        "vpc_id": [each["VpcId"] for each in hand.present("ec2").describe_vpcs()["Vpcs"]],
    }
    return [name for name, found in there.items() if out[name] in found]


def _send(sam: Api, path: str, report: dict[str, Any]) -> None:
    sam.post(f"{path}/mode/import-report", {"report": report})
