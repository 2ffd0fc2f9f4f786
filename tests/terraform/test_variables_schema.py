"""The schemas of variables and receipt say the same as the modules' own HCL."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from control_plane.domain.receipt import fixed_resources, made_keys
from tests.terraform.workspace import MODULES, RELEASE

SCHEMAS = Path(__file__).parents[2] / "stacks" / "schemas"
EXAMPLES = sorted((MODULES / "examples").glob("*.tfvars.json"))

Variables = dict[str, Any]


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return schema


def validator(name: str) -> Draft202012Validator:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def example(name: str) -> Variables:
    variables: Variables = json.loads((MODULES / "examples" / f"{name}.tfvars.json").read_text())
    return variables


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_accepted(path: Path) -> None:
    validator("mode_c_variables").validate(json.loads(path.read_text()))


def test_the_release_is_accepted() -> None:
    schema = schema_of("mode_c_variables")
    Draft202012Validator({"$ref": "#/$defs/release", "$defs": schema["$defs"]}).validate(RELEASE)


def changed(name: str, *path: str, to: Any) -> Variables:
    variables = copy.deepcopy(example(name))
    part = variables
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = to
    return variables


def without(name: str, *path: str) -> Variables:
    variables = copy.deepcopy(example(name))
    part = variables
    for step in path[:-1]:
        part = part[step]
    del part[path[-1]]
    return variables


REFUSED: Mapping[str, Callable[[], Variables]] = {
    "another schema": lambda: changed("created", "schema_version", to=2),
    "an unknown field": lambda: changed("created", "comment", to="hello"),
    "an unknown field inside": lambda: changed("created", "network", "igw", to=True),
    "an account of eleven digits": lambda: changed("created", "account_id", to="21098765432"),
    "a region that cannot be": lambda: changed("created", "region", to="eu-west"),
    "the whole internet": lambda: changed("created", "network", "client_cidrs", to=["0.0.0.0/0"]),
    "half the internet": lambda: changed("created", "network", "client_cidrs", to=["0.0.0.0/1"]),
    "an address that cannot be": lambda: changed("created", "network", "cidr", to="10.300.0.0/16"),
    "a network too wide": lambda: changed("created", "network", "cidr", to="10.0.0.0/8"),
    "one zone": lambda: changed("created", "network", "zones", to=["eu-west-1a"]),
    "half created, half brought": lambda: changed(
        "created", "network", "vpc_id", to="vpc-0123456789abcdef0"
    ),
    "neither routes nor endpoints": lambda: without("existing", "network", "endpoints"),
    "routes and endpoints": lambda: changed(
        "existing", "network", "route_table_ids", to=["rtb-0123456789abcdef0"]
    ),
    "a key missing": lambda: without("existing", "keys", "logs_key_arn"),
    "a key given and created": lambda: changed("existing", "keys", "mode", to="create"),
    "a boundary missing": lambda: without("existing", "permissions_boundary", "arn"),
    "another engine": lambda: changed("created", "database", "engine_version", to="15.7"),
    "six days of backups": lambda: changed("created", "database", "backup_days", to=6),
    "a period that logs do not have": lambda: changed("created", "retention", "log_days", to=100),
    "a short with two hyphens": lambda: changed("created", "owner", "short", to="acme--x"),
    "no owner": lambda: without("created", "owner"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_variables_are_refused(what: str) -> None:
    assert not validator("mode_c_variables").is_valid(REFUSED[what]())


# --- the same in HCL --------------------------------------------------------------------------
def hcl_variables() -> dict[str, str]:
    """Name and body of the root's variables."""
    text = (MODULES / "variables.tf").read_text()
    return dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL))


def attributes(body: str) -> set[str]:
    """Names of the first level of an object type."""
    declared = re.search(r"type = object\(\{\n(.*?)\n  \}\)", body, re.DOTALL)
    assert declared is not None
    return set(re.findall(r"^    (\w+) +=", declared.group(1), re.MULTILINE))


def test_schema_and_hcl_name_the_same_variables() -> None:
    schema = schema_of("mode_c_variables")
    assert {*schema["properties"], "release"} == set(hcl_variables())
    optional = {name for name, body in hcl_variables().items() if "\n  default " in body}
    assert set(schema["properties"]) - set(schema["required"]) == optional


@pytest.mark.parametrize("name", ["owner", "database", "retention"])
def test_schema_and_hcl_name_the_same_attributes(name: str) -> None:
    part = schema_of("mode_c_variables")["properties"][name]
    assert set(part["properties"]) == set(part["required"]) == attributes(hcl_variables()[name])


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("network", ("createdNetwork", "existingNetwork")),
        ("keys", ("createdKeys", "existingKeys")),
        ("permissions_boundary", ("createdBoundary", "existingBoundary")),
    ],
)
def test_schema_and_hcl_name_the_same_attributes_of_either_mode(
    name: str, shapes: tuple[str, ...]
) -> None:
    definitions = schema_of("mode_c_variables")["$defs"]
    named = {attribute for shape in shapes for attribute in definitions[shape]["properties"]}
    assert named == attributes(hcl_variables()[name])


def test_the_periods_of_logs_are_the_same() -> None:
    schema = schema_of("mode_c_variables")["properties"]["retention"]["properties"]
    listed = re.search(r"\[([0-9, ]+)\]", hcl_variables()["retention"])
    assert listed is not None
    assert schema["log_days"]["enum"] == [int(days) for days in listed.group(1).split(",")]


def test_the_receipt_of_a_plan_has_the_fields_of_its_schema(
    created_plan: Mapping[str, Any],
) -> None:
    schema = schema_of("mode_c_receipt")
    output = created_plan["output_changes"]["receipt"]
    fields = {**output["after"], **output["after_unknown"]}
    assert set(fields) == set(schema["required"]) == set(schema["properties"])
    resources = {**output["after"]["resources"], **output["after_unknown"]["resources"]}
    declared = schema["properties"]["resources"]
    assert set(resources) == set(declared["required"]) == set(declared["properties"])
    assert output["after_sensitive"] in (False, {"resources": {}})
    assert output["after"]["content_digest"] == RELEASE["content_digest"]


def test_the_receipt_of_a_plan_has_the_names_that_are_expected_of_it(
    created_plan: Mapping[str, Any], existing_plan: Mapping[str, Any]
) -> None:
    for plan, name in ((created_plan, "created"), (existing_plan, "existing")):
        resources = plan["output_changes"]["receipt"]["after"]["resources"]
        expected = fixed_resources(example(name))
        role = expected.pop("app_role_arn").rpartition("/")[2]  # known after the apply alone
        assert {key: resources[key] for key in expected} == expected
        assert role in {
            change["change"]["after"]["name"]
            for change in plan["resource_changes"]
            if change["type"] == "aws_iam_role"
        }
        assert len(expected) + len(made_keys(example(name))) >= 7
