from __future__ import annotations

from dataclasses import replace

import pytest

from policies.evaluation import evaluate
from policies.model import Stage
from policies.state import resources_from_state
from tests.unit.policies.policy_scenarios import (
    PARAMETERS,
    Thing,
    Unknown,
    bucket,
    cases,
    database,
    found,
    log_group,
    policy,
    role,
    table,
)

RULE = "residency"


def subnet(**place: object) -> Thing:
    return Thing("aws_subnet", "a", {"cidr_block": "10.0.0.0/20"} | place)


def endpoint(service: str) -> Thing:
    return Thing("aws_vpc_endpoint", "e", {"service_name": service, "vpc_endpoint_type": "Gateway"})


@pytest.mark.requirement("K-035")
@cases(
    ("a subnet in an allowed zone", [subnet(availability_zone="eu-west-1a")], set()),
    ("a subnet in the other allowed region", [subnet(availability_zone="eu-central-1b")], set()),
    (
        "a subnet in a zone elsewhere",
        [subnet(availability_zone="us-east-1a")],
        {("aws_subnet.a", "availability_zone", "violated")},
    ),
    (
        "a local zone elsewhere",
        [subnet(availability_zone="us-west-2-lax-1a")],
        {("aws_subnet.a", "availability_zone", "violated")},
    ),
    (
        "a zone by its id, of which only AWS knows the region",
        [subnet(availability_zone_id="euw1-az1")],
        {("aws_subnet.a", "availability_zone", "unknown")},
    ),
    ("an endpoint of an allowed region", [endpoint("com.amazonaws.eu-west-1.s3")], set()),
    (
        "an endpoint of another region",
        [endpoint("com.amazonaws.eu-west-2.s3")],
        {("aws_vpc_endpoint.e", "service_name", "violated")},
    ),
    ("a key in the region", [database()], set()),
    (
        "a key elsewhere",
        [log_group(kms_key_id="arn:aws:kms:us-east-1:123456789012:key/1")],
        {("aws_cloudwatch_log_group.app", "kms_key_id", "violated")},
    ),
    (
        "a key in China: another partition",
        [log_group(kms_key_id="arn:aws-cn:kms:cn-north-1:123456789012:key/1")],
        {("aws_cloudwatch_log_group.app", "kms_key_id", "violated")},
    ),
    (
        "one of several replicas elsewhere",
        [table(replica=[{"region_name": "eu-central-1"}, {"region_name": "ap-south-1"}])],
        {("aws_dynamodb_table.hub", "replica.region_name", "violated")},
    ),
    (
        "an ARN in a policy document",
        [
            Thing(
                "aws_iam_policy",
                "p",
                {
                    "name": "acme-p",
                    "policy": policy(
                        {
                            "Effect": "Allow",
                            "Action": "sqs:*",
                            "Resource": "arn:aws:sqs:us-east-2:123456789012:q",
                        }
                    ),
                },
            )
        ],
        {("aws_iam_policy.p", "policy", "violated")},
    ),
    (
        "a service host in a policy document",
        [
            role(
                assume_role_policy=policy(
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                )
            )
        ],
        {("aws_iam_role.app", "assume_role_policy", "violated")},
    ),
    (
        "global ARNs and hosts name no region",
        [
            Thing(
                "aws_iam_role_policy",
                "p",
                {
                    "name": "hub",
                    "role": "acme-app",
                    "policy": policy(
                        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::acme-data"}
                    ),
                },
            )
        ],
        set(),
    ),
    (
        "words for people may name any place",
        [
            Thing(
                "aws_security_group",
                "g",
                {"name": "acme-g", "description": "not us-east-1.amazonaws.com"},
            )
        ],
        set(),
    ),
    (
        "what is deleted is not judged",
        [
            Thing(
                "aws_subnet",
                "a",
                {"availability_zone": "us-east-1a"},
                operation="delete",
            )
        ],
        set(),
    ),
    forms=("pulumi", "terraform"),
)
def test_places_that_inputs_name(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", ["pulumi", "terraform", "state"])
def test_a_provider_elsewhere_puts_every_regional_resource_elsewhere(form):
    things = [bucket(), role()]
    expected = {("aws_s3_bucket.data", "region", "violated")}
    assert found(RULE, form, things, region="us-east-1") == expected


@pytest.mark.parametrize("form", ["pulumi", "terraform"])
def test_an_unknown_region_of_the_provider_is_not_taken_for_a_good_one(form):
    found_here = found(RULE, form, [bucket(), role()], region=Unknown())
    assert found_here == {("aws_s3_bucket.data", "region", "unknown")}


@pytest.mark.parametrize("form", ["pulumi", "terraform"])
def test_an_unknown_zone_is_not_taken_for_a_good_one(form):
    things = [subnet(availability_zone=Unknown())]
    assert found(RULE, form, things) == {("aws_subnet.a", "availability_zone", "unknown")}


@pytest.mark.parametrize("form", ["pulumi", "terraform"])
def test_an_unknown_region_of_one_of_several_replicas_is_found(form):
    things = [table(replica=[{"region_name": "eu-west-1"}, {"region_name": Unknown()}])]
    assert found(RULE, form, things) == {
        ("aws_dynamodb_table.hub", "replica.region_name", "unknown")
    }


def test_after_the_apply_what_the_cloud_says_counts():
    """The outputs name another region than the inputs would have it."""
    entries = [
        {
            "urn": "urn:x::db",
            "type": "aws:rds/instance:Instance",
            "name": "db",
            "inputs": {"identifier": "acme-db", "region": "eu-west-1"},
            "outputs": {"endpoint": "acme-db.abc.us-east-1.rds.amazonaws.com:5432"},
        }
    ]
    evaluation = evaluate(
        resources_from_state(entries), PARAMETERS, rules_digest="x", stage=Stage.STATE
    )
    assert ("residency", "endpoint") in {(v.rule, v.path) for v in evaluation.violations}


def test_parameters_without_a_region_judge_nothing():
    with pytest.raises(ValueError, match="allow no region"):
        found(RULE, "pulumi", [bucket()], replace(PARAMETERS, allowed_regions=()))
