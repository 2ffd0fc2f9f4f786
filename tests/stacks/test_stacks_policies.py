"""The shipped policies over what the programs register for a new stack; no engine, no cloud."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.domain.engine import PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.ports.stores import PolicyScope
from policies.catalog import CATALOG, KIND_OF_TOKEN, facts_of
from policies.resource_type import Lookup
from stacks.engine.identities import LOOKUPS, SETTINGS
from stacks.sandbox.provider.catalogue import all_types
from tests.stacks import sample_specs
from tests.stacks.registrations import preview_of

RULES = Path(__file__).parents[2] / "rules"
STACKS = {
    "mode_a.hub": sample_specs.hub(),
    "mode_a.slice": sample_specs.slice_of(sample_specs.hub_outputs(), "acme", "acme-a1b2c3"),
    "mode_b": sample_specs.dedicated(),
}
BAD_CHANGES = {
    "residency": ("aws:ec2/subnet:Subnet", {"availabilityZone": "us-east-1a"}),
    "public_exposure": ("aws:rds/instance:Instance", {"publiclyAccessible": True}),
    "unencrypted_storage": ("aws:rds/instance:Instance", {"storageEncrypted": False}),
    "missing_boundary": ("aws:iam/role:Role", {"permissionsBoundary": None}),
    "auto_named_resource": ("aws:s3/bucket:Bucket", {"bucket": None}),
    "missing_tags": ("aws:ec2/vpc:Vpc", {"tags": {}}),
    "short_log_retention": ("aws:cloudwatch/logGroup:LogGroup", {"retentionInDays": 1}),
    "tls_not_enforced": ("aws:s3/bucketPolicy:BucketPolicy", {"policy": '{"Statement": []}'}),
    "unknown_policy_document": ("aws:kms/key:Key", {"policy": "no"}),
    "unprotected_stateful": ("aws:rds/instance:Instance", {"deletionProtection": False}),
}


@cache
def policies() -> RulePolicies:
    return RulePolicies(load_policy_parameters(RULES, load_rules(RULES).regions))


def scope(program: str) -> PolicyScope:
    owner = STACKS[program]["owner"]
    return PolicyScope(
        region=sample_specs.REGION,
        account_id=sample_specs.ACCOUNT,
        zone="eu",
        strict=True,
        mode=owner["mode"],
        tenant=owner["tenant"],
        deployment=owner["deployment"],
        environment=owner["environment"],
        slice_short=owner["short"] if program == "mode_a.slice" else None,
    )


def judged(resources: list[dict[str, Any]], where: PolicyScope) -> Evaluation:
    return policies().evaluate_plan(
        [PlannedResource.from_document(one) for one in resources], where
    )


def planned(program: str) -> list[dict[str, Any]]:
    preview = preview_of(program, STACKS[program])
    return [asdict(one) | {"operation": "create"} for one in preview.registrations]


@pytest.mark.parametrize("program", STACKS)
def test_every_program_passes_and_only_the_arns_of_new_keys_are_undecided(program: str) -> None:
    answer = judged(planned(program), scope(program))
    assert answer.ok
    assert {(v.rule, v.verdict, v.enforcement) for v in answer.violations} <= {
        ("unencrypted_storage", "unknown", "advisory")
    }


@pytest.mark.parametrize("rule", BAD_CHANGES)
def test_one_bad_input_in_a_good_program_is_refused_by_its_rule(rule: str) -> None:
    kind, change = BAD_CHANGES[rule]
    resources = planned("mode_b")
    bad = next(one for one in resources if one["type"] == kind)
    bad["inputs"] = {k: v for k, v in {**bad["inputs"], **change}.items() if v is not None}
    answer = judged(resources, scope("mode_b"))
    assert not answer.ok
    assert rule in {v.rule for v in answer.mandatory}


def test_a_dropped_protect_is_refused_although_the_engine_sees_no_change() -> None:
    resources = planned("mode_b")
    for one in resources:
        one["protect"] = one["protect"] and one["type"] != "aws:s3/bucket:Bucket"
    answer = judged(resources, scope("mode_b"))
    assert {v.rule for v in answer.mandatory} == {"unprotected_stateful"}


@pytest.mark.requirement("J-045")
def test_a_program_of_another_region_is_refused_in_every_regional_resource() -> None:
    answer = judged(planned("mode_b"), replace(scope("mode_b"), region="eu-central-1"))
    assert not answer.ok
    outside = [v for v in answer.violations if v.path == "region"]
    assert len(outside) > 40


@pytest.mark.parametrize("program", STACKS)
@pytest.mark.parametrize("field", ["tenant", "deployment", "environment", "mode"])
def test_a_program_of_another_owner_is_refused_in_every_resource_that_has_tags(
    program: str, field: str
) -> None:
    answer = judged(planned(program), replace(scope(program), **{field: "other"}))
    assert not answer.ok
    assert {v.path for v in answer.mandatory} == {f"tags.tenantplane:{field}"}
    assert len(answer.mandatory) > 5


def test_the_slice_of_another_tenant_is_not_taken_for_confined() -> None:
    zenith = replace(scope("mode_a.slice"), slice_short="zenith-d4e5f6")
    answer = judged(planned("mode_a.slice"), zenith)
    refused = {v.path for v in answer.mandatory}
    assert {v.rule for v in answer.mandatory} == {"isolation"}
    assert refused == {"policy", "role"}


@pytest.mark.parametrize("sid", ["Objects", "ListObjects", "Items", "OwnKey", "Secrets", "Logs"])
def test_a_statement_of_the_slice_that_is_widened_is_refused_by_name(sid: str) -> None:
    resources = planned("mode_a.slice")
    (rights,) = [one for one in resources if one["type"] == "aws:iam/rolePolicy:RolePolicy"]
    document = json.loads(rights["inputs"]["policy"])
    (statement,) = [one for one in document["Statement"] if one["Sid"] == sid]
    statement.pop("Condition", None)
    statement["Resource"] = "*"
    rights["inputs"] = {**rights["inputs"], "policy": json.dumps(document)}
    answer = judged(resources, scope("mode_a.slice"))
    assert [(v.rule, v.verdict) for v in answer.mandatory] == [("isolation", "violated")]
    assert f"the statement {sid} reaches *" in answer.mandatory[0].reason


def test_an_administrator_s_policy_attached_to_the_role_of_a_slice_is_refused() -> None:
    resources = planned("mode_a.slice")
    (role,) = [one for one in resources if one["type"] == "aws:iam/role:Role"]
    kind = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    resources.append(
        role
        | {
            "urn": "urn:attachment",
            "type": kind,
            "name": "more",
            "inputs": {
                "role": role["inputs"]["name"],
                "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
            },
        }
    )
    answer = judged(resources, scope("mode_a.slice"))
    assert [(v.rule, v.address, v.path) for v in answer.mandatory] == [
        ("isolation", "urn:attachment", "policy_arn")
    ]


def test_every_type_of_a_program_has_an_entry_and_a_way_to_be_found_again() -> None:
    types = {
        one["type"]
        for program in STACKS
        for one in planned(program)
        if one["type"].startswith("aws:")
    }
    assert types <= set(KIND_OF_TOKEN)
    looked = {facts.lookup for one in types if (facts := facts_of(one)) is not None}
    assert looked == {Lookup.NAMED, Lookup.TAGGED, Lookup.SETTING}


def test_the_catalogue_says_of_every_type_how_an_interrupted_create_is_found() -> None:
    by_lookup = {
        wanted: {facts.token for facts in CATALOG.values() if facts.lookup is wanted}
        for wanted in Lookup
    }
    assert by_lookup[Lookup.NAMED] | by_lookup[Lookup.TAGGED] == set(LOOKUPS)
    assert by_lookup[Lookup.SETTING] == set(SETTINGS)


def test_the_sandbox_has_no_type_that_the_catalogue_lacks() -> None:
    assert {one.urn_type for one in all_types()} <= set(KIND_OF_TOKEN)
