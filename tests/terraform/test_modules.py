"""The Terraform modules of Mode C, judged by terraform itself and by the plan it makes offline."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.terraform.toolchain import Toolchain
from policies.evaluation import evaluate
from policies.terraform_plan import resources_from_terraform
from tests.terraform.workspace import MODULES, RELEASE, Workspace

Plan = Mapping[str, Any]

RULES = Path(__file__).parents[2] / "rules"
ROOT_AND_MODULES = [MODULES, *sorted((MODULES / "modules").iterdir())]
WAYS_OUT = {
    "aws_egress_only_internet_gateway",
    "aws_eip",
    "aws_internet_gateway",
    "aws_nat_gateway",
    "aws_route",
    "aws_vpc_peering_connection",
}
POLICY_ATTRIBUTES = {
    "aws_iam_policy": ("policy",),
    "aws_iam_role": ("assume_role_policy", "permissions_boundary"),
    "aws_iam_role_policy": ("policy",),
    "aws_kms_key": ("policy",),
    "aws_s3_bucket_policy": ("policy",),
    "aws_vpc_endpoint": ("policy",),
}
NAME_ATTRIBUTES = {
    "aws_cloudwatch_log_group": "name",
    "aws_db_instance": "identifier",
    "aws_db_parameter_group": "name",
    "aws_db_subnet_group": "name",
    "aws_dynamodb_table": "name",
    "aws_iam_policy": "name",
    "aws_iam_role": "name",
    "aws_iam_role_policy": "name",
    "aws_kms_alias": "name",
    "aws_s3_bucket": "bucket",
    "aws_secretsmanager_secret": "name",
    "aws_security_group": "name",
}
PROVISIONING_TAGS = {
    "tenantplane:deployment": "dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY",
    "tenantplane:environment": "production",
    "tenantplane:managed-by": "terraform",
    "tenantplane:mode": "C",
    "tenantplane:tenant": "dainese",
}


def changes(plan: Plan, *types: str) -> Iterator[dict[str, Any]]:
    """The planned resources, all of them or those of some types."""
    for change in plan["resource_changes"]:
        if not types or change["type"] in types:
            yield change


def after(plan: Plan, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and planned values of resources."""
    for change in changes(plan, *types):
        yield change["address"], change["change"]["after"]


# --- the text -----------------------------------------------------------------------------------
def sources() -> str:
    """All HCL that is part of a bundle, without comments."""
    text = "\n".join(path.read_text() for path in sorted(MODULES.rglob("*.tf")))
    return re.sub(r"(?m)^\s*#.*$", "", text)


@pytest.mark.parametrize(
    "what",
    [
        "provisioner",
        "local-exec",
        "remote-exec",
        "timestamp()",
        "null_resource",
        'data "',
        "0.0.0.0/0",
    ],
)
def test_nothing_runs_on_the_customers_machine_or_asks_an_api(what: str) -> None:
    # the sentence of a refused input may name what it refuses
    text = re.sub(r'error_message = "[^"]*"', "", sources())
    assert what not in text


def test_every_module_lies_in_the_bundle() -> None:
    found = re.findall(r'^\s*source\s*=\s*"([^"]+)"', sources(), re.MULTILINE)
    assert {source for source in found if source != "hashicorp/aws"} == {
        f"./modules/{folder.name}" for folder in (MODULES / "modules").iterdir()
    }


def test_only_the_root_configures_the_provider() -> None:
    configuring = [path for path in MODULES.rglob("*.tf") if 'provider "aws"' in path.read_text()]
    assert sorted(path.relative_to(MODULES).as_posix() for path in configuring) == [
        "ops/offline_override.tf",
        "providers.tf",
    ]


@pytest.mark.parametrize("module", ROOT_AND_MODULES, ids=lambda folder: folder.name)
def test_a_module_is_small_and_describes_its_interface(module: Path) -> None:
    variables = re.findall(r'^variable "', (module / "variables.tf").read_text(), re.MULTILINE)
    assert len(variables) <= 12
    for name in ("variables.tf", "outputs.tf"):
        text = (module / name).read_text()
        blocks = re.findall(
            r'^(?:variable|output) "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL
        )
        assert blocks
        assert [block for block, body in blocks if "  description = " not in body] == []
        assert [block for block, _ in blocks] == sorted(block for block, _ in blocks)


def test_every_file_is_formatted(toolchain: Toolchain, created: Workspace) -> None:
    answer = created.run("fmt", "-check", "-recursive", str(MODULES))
    assert answer.code == 0, answer.text


# --- terraform's own judgement --------------------------------------------------------------------
def test_the_configuration_is_valid_without_a_warning(created: Workspace) -> None:
    answer = created.run("validate", "-json")
    assert '"error_count": 0' in answer.text, answer.text
    assert '"warning_count": 0' in answer.text, answer.text


def test_the_modules_own_tests_pass(created: Workspace) -> None:
    runs = [
        name
        for path in (MODULES / "tests").glob("*.tftest.hcl")
        for name in re.findall(r'^run "(\w+)"', path.read_text(), re.MULTILINE)
    ]
    answer = created.run("test", "-no-color")
    assert f"{len(runs)} passed, 0 failed" in answer.text, answer.text


def test_a_readonly_lock_file_is_accepted_and_kept(
    created: Workspace, tmp_path: Path, toolchain: Toolchain, isolation: tuple[str, ...]
) -> None:
    delivered = Workspace.make(tmp_path / "bundle", toolchain, "created", isolation=isolation)
    lock = (created.folder / ".terraform.lock.hcl").read_bytes()
    (delivered.folder / ".terraform.lock.hcl").write_bytes(lock)
    answer = delivered.init("-lockfile=readonly", "-backend=false")
    assert answer.code == 0, answer.text
    assert (delivered.folder / ".terraform.lock.hcl").read_bytes() == lock


def test_a_lock_file_with_another_hash_is_refused(
    created: Workspace, tmp_path: Path, toolchain: Toolchain, isolation: tuple[str, ...]
) -> None:
    delivered = Workspace.make(tmp_path / "bundle", toolchain, "created", isolation=isolation)
    lock = (created.folder / ".terraform.lock.hcl").read_text()
    other = re.sub(r'"h1:[^"]+"', '"h1:' + "A" * 43 + '="', lock)
    (delivered.folder / ".terraform.lock.hcl").write_text(other)
    answer = delivered.init("-lockfile=readonly", "-backend=false")
    assert answer.code == 1
    assert "checksum" in answer.text


# --- the plan where everything is created ----------------------------------------------------
def test_the_hub_has_every_part(created_plan: Plan) -> None:
    found = Counter(change["type"] for change in changes(created_plan))
    assert found["aws_subnet"] == 2
    assert found["aws_vpc_endpoint"] == 9
    assert found["aws_kms_key"] == 3
    assert found["aws_s3_bucket"] == 2
    assert found["aws_secretsmanager_secret"] == 3
    assert found["aws_cloudwatch_log_group"] == 3
    assert found["aws_iam_role"] == 2
    assert found["aws_db_instance"] == found["aws_dynamodb_table"] == found["aws_flow_log"] == 1
    assert sum(found.values()) >= 60


@pytest.mark.requirement("J-055")
@pytest.mark.parametrize("plan_name", ["created_plan", "existing_plan"])
def test_nothing_leads_out_of_the_network(plan_name: str, request: pytest.FixtureRequest) -> None:
    plan = request.getfixturevalue(plan_name)
    assert [change["address"] for change in changes(plan, *WAYS_OUT)] == []


@pytest.mark.parametrize("plan_name", ["created_plan", "existing_plan"])
def test_no_rule_names_the_whole_internet(plan_name: str, request: pytest.FixtureRequest) -> None:
    plan = request.getfixturevalue(plan_name)
    rules = dict(
        after(plan, "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule")
    )
    assert rules
    for address, rule in rules.items():
        assert rule["cidr_ipv4"] not in {"0.0.0.0/0", "0.0.0.0/1"}, address
        assert rule["cidr_ipv6"] is None, address
    for address, group in after(plan, "aws_security_group", "aws_default_security_group"):
        assert not group.get("ingress"), address
        assert not group.get("egress"), address


@pytest.mark.parametrize("plan_name", ["created_plan", "existing_plan"])
def test_every_policy_is_known_before_anything_exists(
    plan_name: str, request: pytest.FixtureRequest
) -> None:
    plan = request.getfixturevalue(plan_name)
    for change in changes(plan, *POLICY_ATTRIBUTES):
        for attribute in POLICY_ATTRIBUTES[change["type"]]:
            assert change["change"]["after"].get(attribute), (change["address"], attribute)


@pytest.mark.parametrize("plan_name", ["created_plan", "existing_plan"])
def test_every_physical_name_is_known_before_anything_exists(
    plan_name: str, request: pytest.FixtureRequest
) -> None:
    plan = request.getfixturevalue(plan_name)
    for change in changes(plan, *NAME_ATTRIBUTES):
        name = change["change"]["after"].get(NAME_ATTRIBUTES[change["type"]])
        assert name, change["address"]
        assert "dainese-k3v9qa" in name or name == "hub", change["address"]


def test_every_role_has_the_boundary(created_plan: Plan, existing_plan: Plan) -> None:
    made = "arn:aws:iam::210987654321:policy/dainese-k3v9qa-boundary"
    brought = "arn:aws:iam::210987654321:policy/security/ceiling"
    for plan, boundary, count in ((created_plan, made, 2), (existing_plan, brought, 1)):
        roles = list(after(plan, "aws_iam_role"))
        assert len(roles) == count
        assert {role["permissions_boundary"] for _, role in roles} == {boundary}


def test_everything_that_takes_tags_says_whose_it_is(created_plan: Plan) -> None:
    tagged = [(address, values) for address, values in after(created_plan) if "tags_all" in values]
    assert len(tagged) > 40
    for address, values in tagged:
        tags = values["tags_all"]
        assert tags.items() >= PROVISIONING_TAGS.items(), address
        assert tags["tenantplane:data-class"] in {"customer", "operational", "secret", "none"}
        assert tags["Name"], address


@pytest.mark.requirement("J-055")
def test_tags_of_the_customer_are_on_everything_that_takes_tags(
    toolchain: Toolchain, isolation: tuple[str, ...], tmp_path: Path
) -> None:
    workspace = Workspace.make(tmp_path / "bundle", toolchain, "created", isolation=isolation)
    file = workspace.folder / "terraform.tfvars.json"
    own = {"CostCenter": "4711", "team:owner": "ops@example.com"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "extra_tags": own}))
    assert workspace.init().code == 0
    plan = workspace.offline_plan()
    tagged = [values["tags_all"] for _, values in after(plan) if "tags_all" in values]
    assert len(tagged) > 40
    for tags in tagged:
        assert tags.items() >= own.items()
        assert tags.items() >= PROVISIONING_TAGS.items()


def test_nothing_that_changes_with_a_release_enters_a_resource(created_plan: Plan) -> None:
    planned = str(created_plan["resource_changes"])
    assert RELEASE["content_digest"] not in planned


def test_no_secret_value_is_in_the_plan(created_plan: Plan) -> None:
    (_, database), *_ = after(created_plan, "aws_db_instance")
    assert database["password"] is None
    assert database["manage_master_user_password"] is True
    assert list(changes(created_plan, "aws_secretsmanager_secret_version")) == []


def test_what_holds_data_is_protected(created_plan: Plan) -> None:
    (_, database), *_ = after(created_plan, "aws_db_instance")
    (_, table), *_ = after(created_plan, "aws_dynamodb_table")
    assert database["deletion_protection"] is True
    assert database["skip_final_snapshot"] is False
    assert table["deletion_protection_enabled"] is True
    assert {bucket["force_destroy"] for _, bucket in after(created_plan, "aws_s3_bucket")} == {
        False
    }


def test_the_table_is_destroyed_before_everything_else(created_plan: Plan) -> None:
    """A destroy without the first step stops at the protected table, so that nothing is gone."""
    modules = created_plan["configuration"]["root_module"]["module_calls"]
    assert sorted(modules["data"]["depends_on"]) == [
        "module.access",
        "module.keys",
        "module.network",
    ]
    resources = modules["data"]["module"]["resources"]
    needs = {each["address"]: _needed(each) for each in resources}
    waiting, reached = ["aws_dynamodb_table.this"], {"aws_dynamodb_table.this"}
    while waiting:
        for needed in needs[waiting.pop()]:
            if needed in needs and needed not in reached:
                reached.add(needed)
                waiting.append(needed)
    assert reached == set(needs)


def _needed(resource: Mapping[str, Any]) -> set[str]:
    """Addresses that a resource of the configuration waits for."""
    references = re.findall(r"aws_\w+\.\w+", str(resource.get("expressions", {})))
    return {*references, *resource.get("depends_on", [])}


# --- the plan where network, keys and boundary are brought -----------------------------------
def test_what_is_brought_is_not_created(existing_plan: Plan) -> None:
    assert {change["type"] for change in changes(existing_plan)}.isdisjoint(
        {
            "aws_default_security_group",
            "aws_flow_log",
            "aws_iam_policy",
            "aws_kms_alias",
            "aws_kms_key",
            "aws_route_table",
            "aws_subnet",
            "aws_vpc",
            "aws_vpc_endpoint",
        }
    )


@pytest.mark.requirement("J-055")
def test_what_is_brought_is_used(existing_plan: Plan) -> None:
    (_, subnets), *_ = after(existing_plan, "aws_db_subnet_group")
    (_, database), *_ = after(existing_plan, "aws_db_instance")
    assert len(subnets["subnet_ids"]) == 3
    assert database["kms_key_id"].endswith("a")
    assert database["master_user_secret_kms_key_id"].endswith("c")
    assert {group["vpc_id"] for _, group in after(existing_plan, "aws_security_group")} == {
        "vpc-0123456789abcdef0"
    }
    targets = [
        rule["prefix_list_id"] or rule["referenced_security_group_id"]
        for address, rule in after(existing_plan, "aws_vpc_security_group_egress_rule")
        if "to_database" not in address
    ]
    assert sorted(targets) == ["pl-6da54004", "pl-6fa54006", "sg-0123456789abcdef0"]


@pytest.mark.parametrize("plan_name", ["created_plan", "existing_plan"])
def test_every_policy_rule_is_decided_and_kept(
    plan_name: str, request: pytest.FixtureRequest
) -> None:
    parameters = load_policy_parameters(RULES, load_rules(RULES).regions).for_deployment(
        region="eu-west-1", zone="eu", strict=True, tag_values=PROVISIONING_TAGS
    )
    resources = resources_from_terraform(request.getfixturevalue(plan_name))
    evaluation = evaluate(resources, parameters, rules_digest="sha256:0")
    assert evaluation.violations == ()
    assert evaluation.judged == len(resources) > 30


def test_a_plan_leaves_the_delivered_files_as_they_are(
    created: Workspace, created_plan: Plan
) -> None:
    for path in MODULES.rglob("*"):
        if path.is_file():
            copy = created.folder / path.relative_to(MODULES)
            assert copy.read_bytes() == path.read_bytes()
