from __future__ import annotations

import pytest

from tests.unit.policies.policy_scenarios import PLAN_FORMS, Unknown, cases, found, log_group

RULE = "short_log_retention"
SHORT = {("aws_cloudwatch_log_group.app", "retention_in_days", "violated")}


@cases(
    ("a year", [log_group()], set()),
    ("just enough", [log_group(retention_in_days=30)], set()),
    ("a day too short", [log_group(retention_in_days=29)], SHORT),
    ("a fraction from JSON", [log_group(retention_in_days=14.0)], SHORT),
    ("for ever", [log_group(retention_in_days=0)], set()),
    ("for ever, unsaid", [log_group(retention_in_days=None)], set()),
)
def test_retention(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_unknown_retention_is_undecided(form):
    assert found(RULE, form, [log_group(retention_in_days=Unknown())]) == {
        ("aws_cloudwatch_log_group.app", "retention_in_days", "unknown")
    }
