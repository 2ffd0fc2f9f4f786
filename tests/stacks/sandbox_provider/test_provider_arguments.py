"""The provider's own arguments: region, account, role, default tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from stacks.sandbox.provider import sdk_version
from stacks.sandbox.provider.wire import decode, encode
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.sandbox_provider.plugin_process import (
    ACCOUNT,
    CONFIG,
    OTHER_ACCOUNT,
    REGION,
    Plugin,
    keys,
    refusal,
    started,
    urn,
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"region": "nowhere"}, "region must be an AWS region, got 'nowhere'"),
        ({}, "region is required and missing"),
        ({"region": REGION, "insecure": "true"}, "insecure is not a known input"),
        (
            {"region": REGION, "endpoints": '[{"s3": "http://localhost"}]'},
            "endpoints is refused: the environment names it",
        ),
        (
            {"region": REGION, "allowedAccountIds": '["12"]'},
            "allowedAccountIds[0] must be an account id of 12 digits",
        ),
        ({"region": REGION, "accessKey": "a"}, "secretKey and accessKey must be set together"),
        (
            {"region": REGION, "assumeRoles": '[{"roleArn": "admin"}]'},
            "assumeRoles[0].roleArn must be the ARN of a role",
        ),
        (
            {"region": REGION, "defaultTags": '{"tags": {"a": 1}}'},
            "defaultTags.tags.a must be a string, got integer",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    plugin: Plugin, arguments: dict[str, Any], sentence: str
) -> None:
    request = provider_pb2.CheckRequest(
        urn=urn("pulumi:providers:aws"), news=encode({"version": sdk_version(), **arguments})
    )
    failures = plugin.stub.CheckConfig(request, timeout=10).failures
    assert failures[0].reason.startswith(sentence)


def test_another_region_or_account_is_another_provider(plugin: Plugin) -> None:
    moved = plugin.diff_config(CONFIG, {**CONFIG, "region": "eu-central-1"})
    assert list(moved.replaces) == ["region"]
    other = {**CONFIG, "allowedAccountIds": json.dumps([OTHER_ACCOUNT])}
    assert list(plugin.diff_config(CONFIG, other).replaces) == ["allowedAccountIds"]
    role = {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}])}
    elsewhere = {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{OTHER_ACCOUNT}:role/a"}])}
    assert list(plugin.diff_config({**CONFIG, **role}, {**CONFIG, **elsewhere}).replaces) == [
        "assumeRoles"
    ]


def test_default_tags_and_credentials_are_an_update_of_the_provider(plugin: Plugin) -> None:
    for more in (
        {"defaultTags": json.dumps({"tags": {"a": "b"}})},
        {"accessKey": "a", "secretKey": "b"},
        {"assumeRoles": json.dumps([{"roleArn": f"arn:aws:iam::{ACCOUNT}:role/a"}])},
    ):
        changed = plugin.diff_config(CONFIG, {**CONFIG, **more})
        assert set(changed.diffs) == more.keys()
        assert not changed.replaces
    same = plugin.diff_config(CONFIG, {**CONFIG, "skipCredentialsValidation": "false"})
    assert not same.diffs


def test_a_wrong_account_is_refused_before_anything_is_done(
    cloud: CloudProcess, tmp_path: Path
) -> None:
    with started(tmp_path, keys(cloud)) as fresh:
        wrong = {"region": REGION, "allowedAccountIds": json.dumps([OTHER_ACCOUNT])}
        refused = refusal(lambda: fresh.configure(**wrong))
        told = f"the AWS account {ACCOUNT} is not allowed by the provider"
        assert refused.details() == f"configuring the AWS provider: {told}"
        refused = refusal(lambda: fresh.create("aws:s3/bucket:Bucket", {"bucket": "elsewhere"}))
        assert refused.details() == "the AWS provider has not been configured"


def test_the_role_that_is_given_is_assumed(cloud: CloudProcess, tmp_path: Path) -> None:
    role = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/vendor", "externalId": "42"}
    with started(tmp_path, keys(cloud)) as fresh:
        fresh.configure(**CONFIG, assumeRoles=json.dumps([{**role, "duration": "30m"}]))
        request = provider_pb2.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity")
        answer = fresh.stub.Invoke(request, timeout=30)
        caller, _ = decode(getattr(answer, "return"))
        assert caller["arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/vendor/")


def test_an_api_that_does_not_answer_is_named(tmp_path: Path) -> None:
    environment = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with started(tmp_path, environment) as fresh:
        refused = refusal(lambda: fresh.configure(**CONFIG))
        assert "GetCallerIdentity: the AWS API cannot be reached" in (refused.details() or "")
