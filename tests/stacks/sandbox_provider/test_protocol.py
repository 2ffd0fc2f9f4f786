"""The provider's process as the engine sees it, without an engine: its messages and its end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from google.protobuf import empty_pb2  # type: ignore[import-untyped] # no types shipped
from pulumi.runtime.proto import plugin_pb2, provider_pb2, status_pb2

from stacks.sandbox.provider import sdk_version, write_plugin
from stacks.sandbox.provider.catalogue import all_types
from stacks.sandbox.provider.wire import UNKNOWN, decode, encode
from tests.stacks.cloud_process import CloudProcess, ended
from tests.stacks.sandbox_provider.plugin_process import (
    ACCOUNT,
    CONFIG,
    REGION,
    Plugin,
    keys,
    refusal,
    started,
    urn,
)


def test_it_introduces_itself(plugin: Plugin) -> None:
    hello = plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest(), timeout=10)
    assert (hello.accept_secrets, hello.accept_resources, hello.accept_outputs) == (True,) * 3
    nowhere = plugin_pb2.PluginAttach(address="127.0.0.1:9")
    assert plugin.stub.Attach(nowhere, timeout=10) == empty_pb2.Empty()
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty(), timeout=10).version == sdk_version()
    schema = json.loads(plugin.stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=10).schema)
    assert (schema["name"], schema["version"]) == ("aws", sdk_version())
    assert schema["resources"].keys() == {kind.urn_type for kind in all_types()}


def test_it_answers_who_one_is_and_nothing_else(plugin: Plugin) -> None:
    name = "aws:index/getCallerIdentity:getCallerIdentity"
    answer = plugin.stub.Invoke(provider_pb2.InvokeRequest(tok=name), timeout=30)
    assert decode(getattr(answer, "return"))[0]["accountId"] == ACCOUNT
    name = "aws:ec2/getVpc:getVpc"
    refused = refusal(lambda: plugin.stub.Invoke(provider_pb2.InvokeRequest(tok=name), timeout=30))
    assert refused.details() == f"the sandbox provider has no function {name}"


def test_a_creation_that_fails_half_way_reports_what_exists(
    plugin: Plugin, cloud: CloudProcess
) -> None:
    kind = "aws:ec2/securityGroup:SecurityGroup"
    nowhere = {"protocol": "tcp", "fromPort": 1, "toPort": 1, "securityGroups": ["sg-00000000"]}
    inputs = {"name": "partly", "description": "partly", "ingress": [nowhere]}
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "AuthorizeSecurityGroupIngress: InvalidGroup.NotFound" in (refused.details() or "")
    metadata = {entry.key: entry.value for entry in refused.trailing_metadata() or ()}
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    state, _ = decode(detail.properties)
    assert state["ingress"] == []
    (found,) = cloud.client("ec2").describe_security_groups(GroupIds=[detail.id])["SecurityGroups"]
    assert found["GroupName"] == "partly"

    # the same inputs are then an update of what exists
    changes = plugin.diff(kind, state, {**inputs, "tagsAll": {}})
    assert list(changes.diffs) == ["ingress"]
    assert not changes.replaces
    plugin.delete(kind, detail.id, detail.properties)


def test_an_update_that_fails_half_way_reports_what_became_of_it(
    plugin: Plugin, cloud: CloudProcess
) -> None:
    kind = "aws:cloudwatch/logGroup:LogGroup"
    made = plugin.create(kind, {"name": "/half-way", "retentionInDays": 7})
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/none"
    news = encode({"name": "/half-way", "retentionInDays": 30, "kmsKeyId": key, "tagsAll": {}})
    request = provider_pb2.UpdateRequest(urn=urn(kind), id=made.id, olds=made.properties, news=news)
    refused = refusal(lambda: plugin.stub.Update(request, timeout=30))  # the emulator lacks keys
    assert "updating CloudWatch Logs Log Group (/half-way): AssociateKmsKey" in (
        refused.details() or ""
    )
    metadata = {entry.key: entry.value for entry in refused.trailing_metadata() or ()}
    detail = provider_pb2.ErrorResourceInitFailed()
    status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(detail)
    state, _ = decode(detail.properties)
    assert (state["retentionInDays"], state.get("kmsKeyId")) == (30, None)
    plugin.delete(kind, made.id, made.properties)


def test_a_preview_of_a_creation_calls_nothing(plugin: Plugin, cloud: CloudProcess) -> None:
    planned = plugin.create(
        "aws:s3/bucket:Bucket", {"bucket": "only-planned", "tags": {"a": "b"}}, preview=True
    )
    assert planned.id == ""
    outputs, _ = decode(planned.properties)
    assert outputs["arn"] is UNKNOWN
    assert (outputs["bucket"], outputs["region"]) == ("only-planned", REGION)
    assert outputs["tagsAll"] == {"a": "b"}
    assert "only-planned" not in [
        bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]
    ]


def test_secret_inputs_come_back_secret(plugin: Plugin) -> None:
    kind = "aws:cloudwatch/logGroup:LogGroup"
    wrapped = encode(
        {"name": "/secret-tag", "tags": {"token": "s3cret!"}}, frozenset({("tags", "token")})
    )
    checked = plugin.stub.Check(provider_pb2.CheckRequest(urn=urn(kind), news=wrapped), timeout=30)
    made = plugin.stub.Create(
        provider_pb2.CreateRequest(urn=urn(kind), properties=checked.inputs), timeout=30
    )
    _, secrets = decode(made.properties)
    assert secrets == {("tags", "token"), ("tagsAll", "token")}
    read = plugin.stub.Read(
        provider_pb2.ReadRequest(
            urn=urn(kind), id=made.id, properties=made.properties, inputs=checked.inputs
        ),
        timeout=30,
    )
    for part in (read.properties, read.inputs):
        assert decode(part)[1] == {("tags", "token"), ("tagsAll", "token")}
    plugin.delete(kind, made.id, made.properties)


def test_secret_values_are_kept_out_of_messages(plugin: Plugin) -> None:
    kind = "aws:ssm/parameter:Parameter"
    inputs = {"name": "/ssm/forbidden", "type": "SecureString", "value": "/ssm/forbidden"}
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "PutParameter: ValidationException" in (refused.details() or "")
    assert "/ssm/forbidden" not in (refused.details() or "")


def test_what_was_deleted_reads_as_gone(plugin: Plugin, cloud: CloudProcess) -> None:
    for kind, identity in (
        ("aws:s3/bucket:Bucket", "no-such-bucket"),
        ("aws:s3/bucketPolicy:BucketPolicy", "no-such-bucket"),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "no-role/arn:aws:iam::aws:policy/X"),
        ("aws:ec2/vpc:Vpc", "vpc-00000000"),
        ("aws:rds/instance:Instance", "no-such-instance"),
        ("aws:dynamodb/table:Table", "no-such-table"),
    ):
        answer = plugin.stub.Read(provider_pb2.ReadRequest(urn=urn(kind), id=identity), timeout=30)
        assert answer.id == "", kind

    key = plugin.create("aws:kms/key:Key", {"deletionWindowInDays": 7})
    plugin.delete("aws:kms/key:Key", key.id, key.properties)
    state = cloud.client("kms").describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"
    request = provider_pb2.ReadRequest(urn=urn("aws:kms/key:Key"), id=key.id)
    assert plugin.stub.Read(request, timeout=30).id == ""


def test_a_secret_that_waits_for_its_end_keeps_its_name(plugin: Plugin) -> None:
    kind, inputs = "aws:secretsmanager/secret:Secret", {"name": "waiting"}
    made = plugin.create(kind, {**inputs, "recoveryWindowInDays": 7})
    plugin.delete(kind, made.id, made.properties)
    request = provider_pb2.ReadRequest(urn=urn(kind), id=made.id)
    assert plugin.stub.Read(request, timeout=30).id == ""
    refused = refusal(lambda: plugin.create(kind, inputs))
    assert "CreateSecret: InvalidRequestException" in (refused.details() or "")


def test_after_a_cancel_it_changes_nothing_and_still_looks(
    cloud: CloudProcess, tmp_path: Path
) -> None:
    kind = "aws:cloudwatch/logGroup:LogGroup"
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.configure(**CONFIG)
        made = fresh.create(kind, {"name": "/canceled/before"})
        fresh.stub.Cancel(empty_pb2.Empty(), timeout=10)
        refused = refusal(lambda: fresh.create(kind, {"name": "/canceled/after"}))
        assert refused.details() == (
            "creating CloudWatch Logs Log Group (/canceled/after): canceled"
        )
        request = provider_pb2.ReadRequest(urn=urn(kind), id=made.id)
        assert fresh.stub.Read(request, timeout=30).id == made.id
    logs = cloud.client("logs")
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/canceled/")["logGroups"]
    logs.delete_log_group(logGroupName=group["logGroupName"])


def test_it_ends_when_asked(cloud: CloudProcess, tmp_path: Path) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.process.terminate()
        assert fresh.process.wait(timeout=60) == 0


def test_it_stays_small(cloud: CloudProcess, tmp_path: Path) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.configure(**CONFIG)
        made = fresh.create("aws:s3/bucket:Bucket", {"bucket": "small-one"})
        fresh.delete("aws:s3/bucket:Bucket", made.id, made.properties)
        status = Path(f"/proc/{fresh.process.pid}/status")
        if not status.exists():
            pytest.skip("memory is read from /proc, which this system does not have")
        resident_kb = int(status.read_text().split("VmRSS:")[1].split()[0])
        assert resident_kb < 80 * 1024


def test_it_ends_with_its_parent(cloud: CloudProcess, tmp_path: Path) -> None:
    launcher = write_plugin(tmp_path)
    script = f"'{launcher}' & echo $!; wait"
    parent = subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, env={**os.environ, **keys(cloud)}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert int(parent.stdout.readline()) > 0  # its port
    parent.kill()
    parent.wait(timeout=60)
    assert ended(pid, within_seconds=60)
    parent.stdout.close()
