from __future__ import annotations

import pytest

from tests.unit.policies.policy_scenarios import (
    FORMS,
    PLAN_FORMS,
    TAGS,
    Thing,
    Unknown,
    access_block,
    cases,
    found,
    judged,
)

RULE = "missing_tags"


def vpc(tags: object, **more: object) -> Thing:
    return Thing("aws_vpc", "v", {"cidr_block": "10.0.0.0/16"}, tags=tags, **more)


@pytest.mark.requirement("F-017")
@cases(
    ("all of them", [vpc({"tenantplane:data-class": "none"})], set()),
    ("one is missing", [vpc({"Name": "v"})], {("aws_vpc.v", "tags", "violated")}),
    ("one is empty", [vpc({"tenantplane:data-class": ""})], {("aws_vpc.v", "tags", "violated")}),
    (
        "somebody else's",
        [vpc({"tenantplane:data-class": "none", "tenantplane:tenant": "other"})],
        {("aws_vpc.v", "tags.tenantplane:tenant", "violated")},
    ),
    (
        "one that changes from run to run",
        [vpc({"tenantplane:data-class": "none", "tenantplane:run": "run_1"})],
        {("aws_vpc.v", "tags.tenantplane:run", "violated")},
    ),
    ("what cannot be tagged", [access_block()], set()),
)
def test_tags(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", FORMS)
def test_every_missing_tag_is_named_at_once(form):
    evaluation = judged(form, [vpc({"Name": "v"})], default_tags={})
    reasons = [v.reason for v in evaluation.violations if v.rule == RULE]
    assert len(reasons) == 1
    assert all(tag in reasons[0] for tag in TAGS)


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_unknown_tags_are_undecided(form):
    assert found(RULE, form, [vpc(Unknown())]) == {("aws_vpc.v", "tags", "unknown")}
    one = vpc({"tenantplane:data-class": Unknown()})
    assert found(RULE, form, [one]) == {("aws_vpc.v", "tags.tenantplane:data-class", "unknown")}


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_unknown_default_tags_of_the_provider_are_undecided(form):
    things = [vpc({"tenantplane:data-class": "none"})]
    assert found(RULE, form, things, default_tags=Unknown()) == {("aws_vpc.v", "tags", "unknown")}
