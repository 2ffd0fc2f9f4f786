from __future__ import annotations

import pytest

from policies.evaluation import evaluate
from policies.pulumi_plan import resources_from_plan
from tests.unit.policies.policy_scenarios import (
    PARAMETERS,
    PLAN_FORMS,
    Thing,
    Unknown,
    bucket,
    cases,
    database,
    found,
    role,
)

RULE = "auto_named_resource"
ALARM = {"alarm_name": "acme-errors", "comparison_operator": "GreaterThanThreshold"}


@cases(
    ("names that were given", [bucket(), database(), role()], set()),
    (
        "an alarm, whose name has another name",
        [Thing("aws_cloudwatch_metric_alarm", "m", ALARM)],
        set(),
    ),
    (
        "an alarm without a name",
        [Thing("aws_cloudwatch_metric_alarm", "m", {"comparison_operator": "x"})],
        {("aws_cloudwatch_metric_alarm.m", "alarm_name", "violated")},
    ),
    (
        "no name",
        [Thing("aws_s3_bucket", "b", {"force_destroy": False})],
        {("aws_s3_bucket.b", "bucket", "violated")},
    ),
    (
        "a prefix, which a tool completes",
        [Thing("aws_s3_bucket", "b", {"bucket_prefix": "acme-"})],
        {
            ("aws_s3_bucket.b", "bucket", "violated"),
            ("aws_s3_bucket.b", "bucket_prefix", "violated"),
        },
    ),
    ("what has no name", [Thing("aws_vpc", "v", {"cidr_block": "10.0.0.0/16"})], set()),
)
def test_names(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_a_name_that_is_not_known_is_undecided(form):
    assert found(RULE, form, [bucket(physical=Unknown())]) == {
        ("aws_s3_bucket.data", "bucket", "unknown")
    }


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_unknown_prefix_counts_only_where_there_is_no_name(form):
    """Terraform shows a prefix that is left out as unknown beside a name."""
    alone = Thing("aws_s3_bucket", "b", {"bucket_prefix": Unknown()})
    named = bucket(bucket_prefix=Unknown())
    both = bucket(bucket_prefix="acme-")
    assert ("aws_s3_bucket.b", "bucket_prefix", "violated") in found(RULE, form, [alone])
    assert found(RULE, form, [named]) == set()
    assert found(RULE, form, [both]) == {("aws_s3_bucket.data", "bucket_prefix", "violated")}


@pytest.mark.parametrize("form", ["pulumi", "state"])
def test_a_name_that_pulumi_invented_is_recognised(form):
    invented = {("aws_s3_bucket.data", "bucket", "violated")}
    assert found(RULE, form, [bucket(physical="data-1a2b3c4")]) == invented
    assert found(RULE, form, [bucket(physical="data-archive")]) == set()


def test_a_name_that_a_bridged_provider_filled_in_is_recognised():
    entry = {
        "urn": "urn:x::m",
        "type": "aws:cloudwatch/metricAlarm:MetricAlarm",
        "name": "m",
        "operation": "create",
        "inputs": {"__defaults": ["name"], "name": "anything"},
    }
    evaluation = evaluate(resources_from_plan([entry]), PARAMETERS, rules_digest="x")
    assert RULE in {violation.rule for violation in evaluation.violations}
