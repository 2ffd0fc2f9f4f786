"""The page for operators names every right that a removal needs beside those of its plan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MODULES = ("erasing", "hub_part", "leftovers", "remains")
# operations of boto3 whose rights have another name
OTHERWISE = {
    "list_object_versions": {"s3:ListBucketVersions"},
    "delete_objects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "batch_write_item": {"dynamodb:BatchWriteItem", "dynamodb:DeleteItem"},
    "get_resources": {"tag:GetResources"},
    "describe_db_subnet_groups": {"rds:DescribeDBSubnetGroups"},
    "describe_db_parameter_groups": {"rds:DescribeDBParameterGroups"},
    "describe_db_snapshots": {"rds:DescribeDBSnapshots"},
    "describe_db_instance_automated_backups": {"rds:DescribeDBInstanceAutomatedBackups"},
}
_VERBS = "list|describe|delete|get|scan|batch_write|put|update"
_OPERATION = re.compile(rf"""(?:"|\.)((?:{_VERBS})(?:_[a-z_]+)?)["(]""")
_NO_CALLS = {"get_paginator", "get", "delete"}  # of boto3, a dictionary and a plan


def operations_of(module: str) -> set[str]:
    """Return the operations of AWS that a module asks for."""
    text = (ROOT / "stacks" / "engine" / f"{module}.py").read_text(encoding="utf-8")
    return set(_OPERATION.findall(text)) - _NO_CALLS


def rights_of(operation: str) -> set[str]:
    """Return the names after the colon, or the whole ones where they are known."""
    camel = "".join(part.capitalize() for part in operation.split("_"))
    return OTHERWISE.get(operation, {camel})


@pytest.mark.parametrize("module", MODULES)
def test_every_operation_of_a_removal_has_its_right_on_the_page(module: str) -> None:
    operations = operations_of(module)
    assert operations
    missing = {
        right
        for operation in operations
        for right in rights_of(operation)
        if not re.search(rf"`[^`]*{re.escape(right)}`", PAGE)
    }
    assert missing == set()


def test_the_operations_are_found() -> None:
    assert {"delete_parameters", "delete_objects", "batch_write_item"} <= operations_of("erasing")
    assert {"list_role_tags", "describe_key", "list_tags_for_resource"} <= operations_of(
        "leftovers"
    )
