from __future__ import annotations

import pytest

from tests.unit.policies.policy_scenarios import PLAN_FORMS, Unknown, bucket, cases, found, role

RULE = "missing_boundary"


@cases(
    ("a role under a boundary", [role(), bucket()], set()),
    (
        "a role without one",
        [role(permissions_boundary="")],
        {("aws_iam_role.app", "permissions_boundary", "violated")},
    ),
)
def test_boundaries(form, things, expected):
    assert found(RULE, form, things) == expected


@pytest.mark.parametrize("form", PLAN_FORMS)
def test_an_unknown_boundary_is_undecided(form):
    assert found(RULE, form, [role(permissions_boundary=Unknown())]) == {
        ("aws_iam_role.app", "permissions_boundary", "unknown")
    }
