"""What the port of the policies promises: by those that a test sets, and by the rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.domain.engine import PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.ports.stores import Policies, PolicyScope
from policies.model import Enforcement
from policies.rules import RULES
from tests.world import SOURCE, SettablePolicies

SCOPE = PolicyScope(
    region="eu-west-1",
    account_id="123456789012",
    zone="eu",
    strict=False,
    mode="B",
    tenant="acme",
    deployment="dep_1",
    environment="production",
)
ELSEWHERE = PlannedResource(
    urn="urn:pulumi:acme.production.b::tenantplane::aws:ec2/subnet:Subnet::a",
    type="aws:ec2/subnet:Subnet",
    name="a",
    operation="create",
    inputs={"availabilityZone": "us-east-1a", "cidrBlock": "10.0.0.0/20"},
)
Judge = Callable[[Policies, Sequence[PlannedResource]], Evaluation]


class SettableBench:
    """Policies that find what they are told to."""

    def good(self) -> Policies:
        return SettablePolicies()

    def other(self) -> Policies:
        made = SettablePolicies()
        made.version = 2
        return made

    def wrong(self, level: str) -> Policies:
        made = SettablePolicies()
        found: dict[str, Any] = {
            "rule": "residency", "address": ELSEWHERE.urn, "path": "availabilityZone",
            "enforcement": level, "reason": "is elsewhere", "remedy": "choose eu-west-1",
        }  # fmt: skip
        made.violations, made.state_violations = [found], [found]
        return made


class RuleBench:
    """The rules with the parameters of the product, of which ``wrong`` sets what violations do."""

    def __init__(self) -> None:
        rules = load_rules(SOURCE / "rules")
        self._parameters = load_policy_parameters(SOURCE / "rules", rules.regions)

    def good(self) -> Policies:
        return RulePolicies(self._parameters)

    def other(self) -> Policies:
        common = replace(self._parameters.common, log_retention_days_min=31)
        return RulePolicies(replace(self._parameters, common=common, digest="sha256:other"))

    def wrong(self, level: str) -> Policies:
        levels = {rule.id: Enforcement(level) for rule in RULES}
        common = replace(self._parameters.common, enforcement=levels, unknown_values=levels)
        return RulePolicies(replace(self._parameters, common=common))


Bench = SettableBench | RuleBench


@pytest.fixture(params=[SettableBench, RuleBench])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each implementation in turn."""
    made: Bench = request.param()
    return made


@pytest.fixture(params=["evaluate_plan", "evaluate_state"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """The evaluation of a plan, and that of a state."""

    def judged(policies: Policies, resources: Sequence[PlannedResource]) -> Evaluation:
        found: Evaluation = getattr(policies, request.param)(resources, SCOPE)
        return found

    return judged


def test_the_digest_is_that_of_rules_and_parameters(bench: Bench) -> None:
    assert bench.good().digest() == bench.good().digest()
    assert bench.good().digest().startswith("sha256:")
    assert bench.other().digest() != bench.good().digest()


def test_an_evaluation_has_the_digest_of_what_it_was_made_with(bench: Bench, judge: Judge) -> None:
    """Rules, parameters, and what they became for the deployment that is judged."""
    policies = bench.good()
    one = judge(policies, [])
    assert one.digest.startswith("sha256:")
    assert judge(policies, []).digest == one.digest
    assert judge(bench.other(), []).digest != one.digest
    elsewhere = replace(SCOPE, region="eu-central-1", strict=True)
    assert policies.evaluate_plan([], elsewhere).digest != one.digest
    assert policies.evaluate_plan([], SCOPE).digest == policies.evaluate_state([], SCOPE).digest


def test_nothing_wrong_is_good(bench: Bench, judge: Judge) -> None:
    found = judge(bench.good(), [])
    assert (found.ok, found.violations, found.mandatory) == (True, (), ())


def test_what_is_mandatory_is_not_good(bench: Bench, judge: Judge) -> None:
    found = judge(bench.wrong("mandatory"), [ELSEWHERE])
    assert not found.ok
    assert "residency" in {each.rule for each in found.mandatory}
    assert {each.address for each in found.violations} == {ELSEWHERE.urn}


def test_what_is_advisory_alone_is_good_and_is_said(bench: Bench, judge: Judge) -> None:
    found = judge(bench.wrong("advisory"), [ELSEWHERE])
    assert (found.ok, found.mandatory) == (True, ())
    assert "residency" in {each.rule for each in found.violations}


@pytest.mark.parametrize("level", ["mandatory", "advisory"])
def test_an_evaluation_is_the_same_after_it_was_kept_as_a_document(
    bench: Bench, judge: Judge, level: str
) -> None:
    found = judge(bench.wrong(level), [ELSEWHERE])
    assert Evaluation.from_document(json.loads(json.dumps(found.to_document()))) == found


def test_every_violation_is_of_a_rule_that_was_run_and_says_what_to_do(
    bench: Bench, judge: Judge
) -> None:
    found = judge(bench.wrong("mandatory"), [ELSEWHERE])
    assert found.violations
    assert {each.rule for each in found.violations} <= set(found.rules)
    assert all(each.reason and each.remedy for each in found.violations)
