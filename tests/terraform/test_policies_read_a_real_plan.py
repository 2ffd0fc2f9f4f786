"""The policies over what a real Terraform prints: modules, references, unknown and masked values.

Planned without AWS; skipped where there is no Terraform or no mirror of its provider.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.terraform.toolchain import Toolchain, find_toolchain
from control_plane.domain.errors import TerraformUnavailable
from policies.catalog import CATALOG
from policies.evaluation import Evaluation, evaluate
from policies.rules import RULES as EVERY_RULE
from policies.terraform_plan import resources_from_terraform
from tests.terraform.workspace import provider

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
RULES = HERE.parents[1] / "rules"
SECONDS = 240
STORE = 'module.store["a"]'


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    try:
        found = find_toolchain(environment=os.environ)
    except TerraformUnavailable as error:
        pytest.skip(f"no Terraform on this machine: {error}")
    if found.mirror is None:
        pytest.skip("no mirror with the AWS provider; set TENANTPLANE_TERRAFORM_MIRROR")
    return found


@pytest.fixture(scope="module")
def root(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "root"
    shutil.copytree(HERE / "policy_root", folder)
    run(toolchain, folder, "init", "-input=false", "-no-color", *provider(toolchain))
    return folder


def run(toolchain: Toolchain, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(toolchain.binary), *arguments],
        cwd=folder,
        env=toolchain.child_environment(os.environ),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def planned(toolchain: Toolchain, root: Path, *, sound: bool) -> dict[str, Any]:
    plan = "sound.plan" if sound else "wrong.plan"
    variable = f"-var=sound={str(sound).lower()}"
    run(toolchain, root, "plan", "-input=false", "-no-color", variable, f"-out={plan}")
    document: dict[str, Any] = json.loads(run(toolchain, root, "show", "-json", plan))
    return document


@pytest.fixture(scope="module")
def sound(toolchain: Toolchain, root: Path) -> dict[str, Any]:
    return planned(toolchain, root, sound=True)


@pytest.fixture(scope="module")
def wrong(toolchain: Toolchain, root: Path) -> dict[str, Any]:
    return planned(toolchain, root, sound=False)


def judged(plan: dict[str, Any], **changes: Any) -> Evaluation:
    parameters = load_policy_parameters(RULES, load_rules(RULES).regions).for_deployment(
        region="eu-west-1", zone="eu", strict=True, tag_values={"tenantplane:tenant": "acme"}
    )
    return evaluate(
        resources_from_terraform(plan), replace(parameters, **changes), rules_digest="sha256:0"
    )


def test_a_sound_plan_passes_although_ids_and_key_arns_are_not_known_yet(sound):
    evaluation = judged(sound)
    assert evaluation.violations == ()
    assert evaluation.judged == 12


def test_each_fault_of_a_wrong_plan_is_found_and_named(wrong):
    evaluation = judged(wrong)
    found = {(each.rule, each.address, each.verdict.value) for each in evaluation.violations}
    assert found == {
        # the name is left out, so the provider completes the prefix
        ("auto_named_resource", "aws_cloudwatch_log_group.app", "unknown"),
        ("auto_named_resource", "aws_cloudwatch_log_group.app", "violated"),
        ("missing_boundary", "aws_iam_role.app", "violated"),
        ("missing_tags", "aws_iam_role.app", "violated"),
        ("public_exposure", "aws_vpc_security_group_ingress_rule.clients", "violated"),
        ("public_exposure", f"{STORE}.aws_s3_bucket_policy.this", "unknown"),
        ("public_exposure", f"{STORE}.aws_s3_bucket_public_access_block.this", "violated"),
        ("residency", "aws_subnet.private", "violated"),
        ("residency", "terraform_data.surprise[0]", "unknown"),
        ("short_log_retention", "aws_cloudwatch_log_group.app", "violated"),
        ("tls_not_enforced", f"{STORE}.aws_s3_bucket.this", "unknown"),
        ("unencrypted_storage", "aws_cloudwatch_log_group.app", "violated"),
        ("unknown_policy_document", f"{STORE}.aws_s3_bucket_policy.this", "violated"),
        ("unknown_resource_type", "terraform_data.surprise[0]", "violated"),
        ("unprotected_stateful", f"{STORE}.aws_s3_bucket.this", "violated"),
    }
    # isolation is judged for slices of a shared Hub, which Terraform never makes
    rules = {rule.id for rule in EVERY_RULE} - {"isolation"}
    assert {each.rule for each in evaluation.violations} == rules
    assert not evaluation.passed


def test_a_masked_value_is_in_no_message_and_in_no_resource(wrong):
    assert "correct-horse" in json.dumps(wrong)
    assert "correct-horse" not in str(judged(wrong))
    parameter = next(
        each for each in resources_from_terraform(wrong) if each.kind == "aws_ssm_parameter"
    )
    assert "correct-horse" not in json.dumps(parameter.inputs)


def test_the_types_of_the_catalog_are_those_of_the_provider(toolchain, root):
    schemas = json.loads(run(toolchain, root, "providers", "schema", "-json"))
    types = next(
        provider["resource_schemas"]
        for name, provider in schemas["provider_schemas"].items()
        if name.endswith("/aws")
    )
    for kind, facts in CATALOG.items():
        block = types[kind]["block"]
        known = {*block.get("attributes", {}), *block.get("block_types", {})}
        assert ("tags" in known) is facts.taggable, kind
        named = {*facts.names, *facts.buckets, *facts.renames.values()}
        named |= {path.partition(".")[0] for path in facts.policies}
        assert named <= known, kind


@pytest.mark.requirement("J-045")
def test_another_region_is_noticed_in_every_regional_resource(sound):
    found = judged(sound, allowed_regions=("eu-central-1",)).violations
    outside = {each.address for each in found if each.path == "region"}
    assert "aws_vpc.this" in outside
    assert "aws_iam_role.app" not in outside
