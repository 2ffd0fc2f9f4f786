"""The shipped policies over what the programs register for a new stack; no engine, no cloud."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.ports import PolicyScope
from tests.stacks import sample_specs
from tests.stacks.registrations import preview_of

RULES = Path(__file__).parents[2] / "rules"
STACKS = {
    "mode_a.hub": ("A", sample_specs.hub()),
    "mode_a.slice": (
        "A",
        sample_specs.slice_of(sample_specs.hub_outputs(), "acme", "acme-a1b2c3"),
    ),
    "mode_b": ("B", sample_specs.dedicated()),
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


def scope(mode: str) -> PolicyScope:
    return PolicyScope(
        region=sample_specs.REGION,
        account_id=sample_specs.ACCOUNT,
        zone="eu",
        strict=True,
        mode=mode,
    )


def planned(program: str) -> list[dict[str, Any]]:
    preview = preview_of(program, STACKS[program][1])
    return [asdict(one) | {"operation": "create"} for one in preview.registrations]


@pytest.mark.parametrize("program", STACKS)
def test_every_program_passes_and_only_the_arns_of_new_keys_are_undecided(program: str) -> None:
    answer = policies().judge_plan(planned(program), scope(STACKS[program][0]))
    assert answer["ok"]
    assert {(v["rule"], v["verdict"], v["enforcement"]) for v in answer["violations"]} <= {
        ("unencrypted_storage", "unknown", "advisory")
    }


@pytest.mark.parametrize("rule", BAD_CHANGES)
def test_one_bad_input_in_a_good_program_is_refused_by_its_rule(rule: str) -> None:
    kind, change = BAD_CHANGES[rule]
    resources = planned("mode_b")
    bad = next(one for one in resources if one["type"] == kind)
    bad["inputs"] = {k: v for k, v in {**bad["inputs"], **change}.items() if v is not None}
    answer = policies().judge_plan(resources, scope("B"))
    assert not answer["ok"]
    assert rule in {v["rule"] for v in answer["violations"] if v["enforcement"] == "mandatory"}


def test_a_dropped_protect_is_refused_although_the_engine_sees_no_change() -> None:
    resources = planned("mode_b")
    for one in resources:
        one["protect"] = one["protect"] and one["type"] != "aws:s3/bucket:Bucket"
    answer = policies().judge_plan(resources, scope("B"))
    assert {v["rule"] for v in answer["violations"] if v["enforcement"] == "mandatory"} == {
        "unprotected_stateful"
    }


def test_a_program_of_another_region_is_refused_in_every_regional_resource() -> None:
    answer = policies().judge_plan(planned("mode_b"), replace(scope("B"), region="eu-central-1"))
    assert not answer["ok"]
    outside = [v for v in answer["violations"] if v["path"] == "region"]
    assert len(outside) > 40
