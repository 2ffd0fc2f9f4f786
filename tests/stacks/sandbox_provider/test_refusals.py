"""What is refused, and in which words the engine prints it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from tests.stacks.sandbox_provider.engine import Engine, Stack


@pytest.fixture(scope="module")
def stack(engine: Engine) -> Stack:
    return engine.stack("refusals")


def unknown_type() -> None:
    aws.sqs.Queue("queue", name="refused")


def unknown_input() -> None:
    aws.s3.Bucket("data", bucket="refused-data", acl="private")


def own_region() -> None:
    aws.s3.Bucket("data", bucket="refused-data", region="eu-west-2")


def wrong_value() -> None:
    aws.cloudwatch.LogGroup("log", name="refused", retention_in_days=31)


def wrong_nested_type() -> None:
    versioning: dict[str, Any] = {"status": True}
    aws.s3.BucketVersioning("v", bucket="refused-data", versioning_configuration=versioning)


def missing() -> None:
    aws.cloudwatch.MetricAlarm(
        "alarm", comparison_operator="LessThanThreshold", evaluation_periods=1
    )


def bad_document() -> None:
    aws.iam.Role("role", name="refused", assume_role_policy='{"Version": "2012-10-17"}')


def short_password() -> None:
    aws.rds.Instance(
        "db",
        identifier="refused",
        engine="postgres",
        allocated_storage=20,
        instance_class="db.t4g.micro",
        username="hub",
        password=pulumi.Output.secret("sh0rt!"),
    )


@pytest.mark.parametrize(
    ("program", "sentences"),
    [
        (unknown_type, ["the sandbox provider has no resource type aws:sqs/queue:Queue"]),
        (unknown_input, ["acl is no input the sandbox provider knows"]),
        (own_region, ["region is refused", "one aws.Provider each"]),
        (wrong_value, ["retentionInDays must be one of 0, 1, 3, 5, 7"]),
        (wrong_nested_type, ["versioningConfiguration.status must be a string, got boolean"]),
        (
            missing,
            [f"{name} is required and missing" for name in ("metricName", "period", "threshold")],
        ),
        (bad_document, ["assumeRolePolicy must be a JSON policy document with a Statement"]),
        (short_password, ["password must be 8 to 128 characters"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_inputs_are_refused_by_name(
    stack: Stack, program: Callable[[], None], sentences: list[str]
) -> None:
    refused = stack.preview(program)
    assert refused.error is not None
    for sentence in sentences:
        assert sentence in refused.text, refused.text
    assert "sh0rt!" not in refused.text
    print(refused.text)
