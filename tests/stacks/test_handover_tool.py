"""The tool that a customer runs: the same digests as ours, and a way from one place to another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.adapters.specs import JsonSchemaSpecs
from control_plane.adapters.tenant_data.stores import AwsTenantData
from control_plane.domain.handover import (
    Source,
    manifest_bytes,
    manifest_digest,
    manifest_of,
    require_equal_import,
)
from control_plane.domain.transfer import KINDS, Kind, Place
from stacks.mode_c_handover.aws import Aws
from stacks.mode_c_handover.entries import totals
from tests.stacks.cloud_process import REGION, CloudProcess

ROOT = Path(__file__).resolve().parent.parent.parent
ACCOUNT = "123456789012"
TARGET = "dep_01J0000000000000000000000C"
pytestmark = pytest.mark.timeout(300)


class Places:
    """A slice's stores and those of a Hub of Mode C, in one emulated account."""

    def __init__(self, cloud: CloudProcess, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.s3, self.dynamodb = cloud.client("s3"), cloud.client("dynamodb")
        self.secrets, self.ssm = cloud.client("secretsmanager"), cloud.client("ssm")
        self.place = Place(
            deployment_id="dep_a", region=REGION, account_id=ACCOUNT, role_arn=None,
            external_id=None, bucket="shared", prefix="tenants/acme/", table="shared",
            leading_key="acme", secrets={"app": "acme/app", "idp": "acme/idp"},
            parameters="/tenantplane/acme", data_key_arn="alias/aws/ssm",
        )  # fmt: skip
        self.hub = {
            "data_bucket": "own", "table_name": "own", "app_log_group": "/tenantplane/own/app",
            "secret_names": {"app": "own/x1/app", "idp": "own/x1/idp"},
            "app_role_arn": f"arn:aws:iam::{ACCOUNT}:role/own-app",
            "data_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
        }  # fmt: skip
        for name in ("shared", "own"):
            self.s3.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            self.dynamodb.create_table(
                TableName=name, BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"},
                           {"AttributeName": "sk", "KeyType": "RANGE"}],
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"}
                                      for n in ("pk", "sk")],
            )  # fmt: skip
        for name in (*self.place.secrets.values(), *self.hub["secret_names"].values()):
            self.secrets.create_secret(Name=name)
        create_secret(folder / "master.key")
        self.data = AwsTenantData(
            endpoint=cloud.endpoint, secrets=FileSecretStore(folder / "master.key")
        )
        # as a bundle has it
        shutil.copytree(ROOT / "stacks" / "mode_c_handover", folder / "bundle" / "handover")
        (folder / "bundle" / "hub.json").write_text(json.dumps(self.hub))

    def fill(self) -> None:
        for number in range(12):
            self.s3.put_object(
                Bucket="shared", Key=f"tenants/acme/{number}/a b+ü&.txt",
                Body=f"object {number}".encode(), ContentType="text/x", Metadata={"of": "acme"},
                CacheControl="no-store", Tagging="class=internal&by=us%20all",
            )  # fmt: skip
            self.dynamodb.put_item(TableName="shared", Item={
                "pk": {"S": f"acme#{number}"}, "sk": {"S": "ü"}, "blob": {"B": b"\x00\xff"},
                "many": {"SS": ["b", "a"]}, "deep": {"M": {"n": {"N": "1.50"}}},
            })  # fmt: skip
        self.s3.put_object(Bucket="shared", Key="tenants/other/x", Body=b"another tenant's")
        self.dynamodb.put_item(TableName="shared", Item={"pk": {"S": "other#1"}, "sk": {"S": "1"}})
        self.secrets.put_secret_value(SecretId="acme/idp", SecretString="hush-hush")
        for name, kind in (("app/beta", "String"), ("app/token", "SecureString")):
            self.ssm.put_parameter(Name=f"/tenantplane/acme/{name}", Value="on-and-on", Type=kind)

    def manifest(self, name: str, *, is_frozen: bool = True) -> dict[str, Any]:
        """Make the manifest as the control plane does, into the bundle's folder."""
        rows = {
            kind: self.data.describe(self.place, list(self.data.things(self.place, kind)))
            for kind in KINDS
        }
        source = Source(tenant="acme", mode="A", place=self.place, database=None)
        made = manifest_of(
            source, TARGET, rows, number=1, is_frozen=is_frozen, made_at=datetime.now(UTC)
        )
        (self.folder / "bundle" / name).write_bytes(manifest_bytes(made))
        return made

    def run(self, command: str, *given: str) -> subprocess.CompletedProcess[str]:
        """Run the tool as the runbook says, in the folder of the bundle."""
        environment = {
            "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }  # fmt: skip
        line = [sys.executable, "-m", "handover", command, *given]
        return subprocess.run(
            [*line, "--endpoint", self.cloud.endpoint], cwd=self.folder / "bundle",
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with CloudProcess() as cloud:
        yield Places(cloud, tmp_path)


def test_what_is_exported_arrives_and_the_report_equals_the_manifest(places: Places) -> None:
    places.fill()
    made = places.manifest("m.json")
    assert "hush-hush" not in json.dumps(made)
    assert made["totals"]["object"]["count"] == 12
    exported = places.run("export", "--manifest", "m.json", "--to", "data")
    assert exported.returncode == 0, exported.stderr
    kept = b"".join(
        f.read_bytes() for f in (places.folder / "bundle/data").rglob("*") if f.is_file()
    )
    assert b"hush-hush" not in kept
    assert b"another tenant's" not in kept

    first = places.run("import", "--manifest", "m.json", "--from", "data", "--hub", "hub.json")
    assert first.returncode == 1  # values of secrets are the customer's to put in
    assert "secret idp: missing" in first.stderr
    assert "parameter app/token: missing" in first.stderr
    places.secrets.put_secret_value(SecretId="own/x1/idp", SecretString="our own")
    places.ssm.put_parameter(
        Name="/tenantplane/own/app/token", Value="our own", Type="SecureString"
    )
    again = places.run("import", "--manifest", "m.json", "--from", "data", "--hub", "hub.json")
    assert again.returncode == 0, again.stderr
    assert "0 things were to be written" in again.stderr
    got = places.s3.get_object(Bucket="own", Key="tenants/acme/3/a b+ü&.txt")
    assert (got["Body"].read(), got["ContentType"]) == (b"object 3", "text/x")
    assert (got["Metadata"], got["CacheControl"]) == ({"of": "acme"}, "no-store")

    told = places.run(
        "report", "--manifest", "m.json", "--hub", "hub.json", "--output", "report.json"
    )
    assert told.returncode == 0, told.stderr
    report = json.loads((places.folder / "bundle/report.json").read_text())
    JsonSchemaSpecs(ROOT / "stacks" / "schemas").validate("import_report", report)
    require_equal_import(
        report,
        expected={
            "tenant": "acme", "deployment": TARGET, "account_id": ACCOUNT, "region": REGION,
            "manifest_digest": manifest_digest(manifest_bytes(made)),
        },
        sums=made["totals"],
        dump=None,
    )  # fmt: skip


def test_what_changed_or_was_deleted_comes_with_the_second_copy(places: Places) -> None:
    places.fill()
    places.manifest("first.json", is_frozen=False)
    given = ("--from", "data", "--hub", "hub.json")
    places.run("export", "--manifest", "first.json", "--to", "data")
    places.run("import", "--manifest", "first.json", *given)
    places.s3.put_object(Bucket="shared", Key="tenants/acme/new", Body=b"new")
    places.s3.delete_object(Bucket="shared", Key="tenants/acme/1/a b+ü&.txt")
    key = {"pk": {"S": "acme#1"}, "sk": {"S": "ü"}}
    places.dynamodb.delete_item(TableName="shared", Key=key)
    stale = places.run("export", "--manifest", "first.json", "--to", "data")
    assert stale.returncode == 0  # the application works: a later manifest follows
    places.manifest("second.json")
    assert places.run("export", "--manifest", "second.json", "--to", "data").returncode == 0
    kept = places.run("import", "--manifest", "second.json", *given)
    assert "object tenants/acme/1/a b+ü&.txt: not in the manifest" in kept.stderr
    assert "--remove-others" in kept.stderr
    places.run("import", "--manifest", "second.json", *given, "--remove-others")
    places.run("report", "--manifest", "second.json", "--hub", "hub.json", "--output", "r.json")
    report = json.loads((places.folder / "bundle/r.json").read_text())
    assert {each["kind"] for each in report["differences"]} == {"secret", "parameter"}
    assert "tenants/acme/1/a b+ü&.txt" not in str(report["differences"])


def test_a_report_names_what_differs_and_an_altered_file_is_not_imported(places: Places) -> None:
    places.fill()
    made = places.manifest("m.json")
    places.run("export", "--manifest", "m.json", "--to", "data")
    entry = next(each for each in made["entries"] if each["kind"] == "object")
    file = places.folder / "bundle/data/objects" / entry["digest"].partition(":")[2]
    kept = file.read_bytes()
    file.write_bytes(b"altered")
    given = ("--manifest", "m.json", "--from", "data", "--hub", "hub.json")
    refused = places.run("import", *given)
    assert refused.returncode == 2
    assert "was altered" in refused.stderr
    file.write_bytes(kept)
    assert "Traceback" not in places.run("import", *given).stderr
    places.s3.put_object(Bucket="own", Key=entry["name"], Body=b"object 0")  # without its headers
    places.s3.put_object(Bucket="own", Key="tenants/acme/more", Body=b"more")
    places.run("report", "--manifest", "m.json", "--hub", "hub.json", "--output", "r.json")
    report = json.loads((places.folder / "bundle/r.json").read_text())
    found = {(each["kind"], each["name"], each["what"]) for each in report["differences"]}
    assert ("object", entry["name"], "different") in found
    assert ("object", "tenants/acme/more", "not in the manifest") in found
    assert report["totals"]["object"] != made["totals"]["object"]


def test_a_file_or_a_bucket_that_is_missing_is_named_in_one_sentence(places: Places) -> None:
    places.fill()
    places.manifest("m.json")
    missing = places.run("export", "--manifest", "none.json", "--to", "data")
    assert (missing.returncode, missing.stderr) == (2, "none.json does not exist\n")
    assert places.run("export", "--manifest", "m.json", "--to", "data").returncode == 0
    hub = places.folder / "bundle/hub.json"
    hub.write_text(json.dumps({**places.hub, "data_bucket": "elsewhere"}))
    given = ("--manifest", "m.json", "--from", "data", "--hub", "hub.json")
    refused = places.run("import", *given)
    assert refused.returncode == 2
    assert refused.stderr.startswith("there is no bucket elsewhere: are these credentials")


def test_a_manifest_matches_its_schema(places: Places) -> None:
    from jsonschema import Draft202012Validator

    places.fill()
    schema = json.loads((ROOT / "stacks/schemas/mode_c_manifest.schema.json").read_text())
    made = places.manifest("m.json")
    Draft202012Validator(schema).validate(made)
    assert totals(made["entries"]) == made["totals"]
    assert {e["name"] for e in made["entries"] if e["digest"] is None} == {"idp", "app/token"}
    assert Kind.SECRET in KINDS


@pytest.mark.parametrize("token", ["", "session"])
@pytest.mark.parametrize(
    ("path", "query"),
    [("/", {}), ("/bucket/a b+ü&.txt", {}), ("/bucket", {"prefix": "a/b c", "list-type": "2"}),
     ("/bucket/k", {"tagging": ""})],
)  # fmt: skip
def test_requests_are_signed_as_botocore_signs_them(
    monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, str], token: str
) -> None:
    from urllib.parse import quote, urlencode

    from botocore.auth import S3SigV4Auth

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    at = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
    service = "dynamodb" if path == "/" else "s3"
    host = f"{service}.{REGION}.amazonaws.com"
    ours = Aws(REGION, None).sign(
        service, "PUT", host, path, query, {"content-type": "text/x"}, b"body", at
    )
    url = f"https://{host}{quote(path, safe='/-_.~')}"
    if query:
        url += "?" + urlencode(query, quote_via=quote, safe="-_.~")
    request = AWSRequest("PUT", url, data=b"body", headers={
        "content-type": "text/x", "x-amz-content-sha256": ours["x-amz-content-sha256"],
    })  # fmt: skip
    request.context["timestamp"] = ours["x-amz-date"]
    credentials = Credentials("AKID", "secret", token or None)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    signer = kind(credentials, service, REGION)
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(signer.signature(text, request))
