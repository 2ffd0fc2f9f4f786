from __future__ import annotations

from policies.pulumi_plan import resources_from_plan
from tests.unit.policies.policy_scenarios import PROVIDER, Thing, bucket, cases, found, judged

RULE = "unknown_resource_type"
FUNCTION = Thing("aws_lambda_function", "f", {"function_name": "acme-f"})


@cases(
    ("a type that is known", [bucket()], set()),
    ("a type that nobody looked at", [FUNCTION], {("aws_lambda_function.f", "", "violated")}),
)
def test_types(form, things, expected):
    assert found(RULE, form, things) == expected


def test_an_unknown_type_ends_a_run():
    assert not judged("pulumi", [FUNCTION]).passed


def test_the_stack_itself_its_provider_and_components_are_no_resources():
    entries = [
        {"urn": "urn:stack", "type": "pulumi:pulumi:Stack", "operation": "same"},
        {"urn": PROVIDER, "type": "pulumi:providers:aws", "operation": "same"},
        {"urn": "c", "type": "tenantplane:network:Network", "custom": False, "operation": "same"},
    ]
    assert resources_from_plan(entries) == ()
