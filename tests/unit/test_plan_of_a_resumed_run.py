"""What a resumed attempt may do under the approval that its run has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.domain.plan import Plan, beyond

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
INPUTS: dict[str, Any] = {
    "name": "acme-data",
    "enableKeyRotation": True,
    "target": UNKNOWN,
    "policy": f'{{"Resource": "{UNKNOWN}"}}',
    "tags": {"a": "1"},
    "zones": ["x", UNKNOWN],
}


def operation(op: str, urn: str = "urn:key") -> dict[str, Any]:
    return {"urn": urn, "op": op}


def plan(*operations: dict[str, Any]) -> Plan:
    resources = [{"urn": o["urn"], "inputs": INPUTS} for o in operations]
    return Plan(
        id="pln_1", run_id="run_1", deployment_id="dep_1", digest="sha256:0", parts={},
        operations=operations, resources=resources, summary={},
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip


def remaining(op: str, approved: Plan, **changes: Any) -> list[str]:
    known = {"target": "key-1", "policy": '{"Resource": "arn"}', "zones": ["x", "y"]}
    resources = [{"urn": "urn:key", "inputs": {**INPUTS, **known, **changes}}]
    return beyond(approved, [operation(op)], resources)


def test_what_the_plan_names_is_inside() -> None:
    for op in ("create", "update", "replace", "delete"):
        assert remaining(op, plan(operation(op))) == []


def test_what_stays_is_inside_whatever_was_planned() -> None:
    assert remaining("same", plan()) == []


def test_completing_an_approved_create_is_inside() -> None:
    assert remaining("update", plan(operation("create"))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"enableKeyRotation": False}, {"name": "other"}, {"tags": {"a": "2"}},
        {"tags": {"a": "1", "b": "2"}}, {"zones": ["y", "x"]}, {"zones": ["x"]}, {"surplus": 1},
    ],
    ids=str,
)  # fmt: skip
def test_completing_it_to_other_inputs_is_beyond(changes: dict[str, Any]) -> None:
    assert remaining("update", plan(operation("create")), **changes) == ["urn:key"]


def test_a_replacement_a_deletion_and_what_the_plan_does_not_name_are_beyond() -> None:
    for op in ("replace", "delete", "create-replacement", "delete-replaced"):
        assert remaining(op, plan(operation("create"))) == ["urn:key"]
    assert remaining("create", plan(operation("create", "urn:other"))) == ["urn:key"]
    assert remaining("update", plan(operation("replace"))) == ["urn:key"]
    assert remaining("update", plan(operation("same"))) == ["urn:key"]
