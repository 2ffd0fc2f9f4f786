"""What a resumed attempt may do under the approval that its run has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.domain.engine import CloudDifference, Operation, OutputChange, PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.plan import Plan, is_empty, operations_outside
from control_plane.domain.resuming import changed_by_others, drift_beside

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
INPUTS: dict[str, Any] = {
    "name": "acme-data",
    "enableKeyRotation": True,
    "target": UNKNOWN,
    "policy": f'{{"Resource": "{UNKNOWN}"}}',
    "tags": {"a": "1"},
    "zones": ["x", UNKNOWN],
}


def operation(op: str, urn: str = "urn:key", options: tuple[str, ...] = ()) -> Operation:
    return Operation(urn=urn, type="aws:kms/key:Key", name="key", op=op, options=options)


def resource(urn: str, inputs: dict[str, Any], op: str = "update") -> PlannedResource:
    return PlannedResource(urn=urn, type="aws:kms/key:Key", name="key", operation=op, inputs=inputs)


def plan(*operations: Operation) -> Plan:
    return Plan(
        id="pln_1", run_id="run_1", deployment_id="dep_1", digest="sha256:0", parts={},
        operations=operations, resources=tuple(resource(o.urn, INPUTS) for o in operations),
        summary={}, evaluation=Evaluation(ok=True, digest="sha256:0"),
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip


def remaining(
    op: str, approved: Plan, *, options: tuple[str, ...] = (), **changes: Any
) -> list[str]:
    known = {"target": "key-1", "policy": '{"Resource": "arn"}', "zones": ["x", "y"]}
    present = resource("urn:key", {**INPUTS, **known, **changes}, op)
    return operations_outside(approved, [operation(op, options=options)], [present])


def test_what_the_plan_names_is_inside() -> None:
    for op in ("create", "update", "replace", "delete", "import"):
        assert remaining(op, plan(operation(op))) == []


def test_what_stays_is_inside_whatever_was_planned() -> None:
    assert remaining("same", plan()) == []


@pytest.mark.parametrize("made", ["create", "replace"])
def test_completing_what_was_approved_to_be_made_is_inside(made: str) -> None:
    assert remaining("update", plan(operation(made))) == []
    assert remaining("same", plan(operation(made)), options=("protect",)) == []


def test_deleting_what_an_approved_replacement_left_is_inside() -> None:
    approved = plan(operation("replace"))
    left = [operation("delete"), operation("same")]
    resources = [resource("urn:key", INPUTS, "delete"), resource("urn:key", INPUTS, "same")]
    assert operations_outside(approved, left, resources) == []
    # nothing lives in its place: that was never approved
    assert operations_outside(approved, left[:1], resources[:1]) == ["urn:key"]
    assert operations_outside(plan(operation("update")), left, resources) == ["urn:key"]


@pytest.mark.parametrize("op", ["same", "update"])
def test_an_option_that_was_not_approved_is_beyond(op: str) -> None:
    approved = plan(operation(op, options=("retainOnDelete", "protect")))
    assert remaining(op, approved, options=("protect",)) == []
    assert remaining(op, approved, options=("protect", "deletedWith")) == ["urn:key"]
    assert remaining(op, plan(operation(op)), options=("protect",)) == ["urn:key"]
    assert remaining("same", plan(), options=("protect",)) == ["urn:key"]


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
    for op in ("replace", "delete", "import"):
        assert remaining(op, plan(operation("create"))) == ["urn:key"]
    assert remaining("create", plan(operation("create", "urn:other"))) == ["urn:key"]
    assert remaining("update", plan(operation("same"))) == ["urn:key"]


def test_a_plan_is_empty_when_no_resource_no_option_and_no_output_changes() -> None:
    same = operation("same")
    output = OutputChange(name="arn", kind="update", before="a", after="b")
    assert is_empty([], [])
    assert is_empty([same, operation("read")], [])
    assert not is_empty([same], [output])
    for op in ("create", "update", "replace", "delete", "import"):
        assert not is_empty([same, operation(op)], [])
    for option in ("protect", "retainOnDelete", "deletedWith", "customTimeouts", "secretness"):
        assert not is_empty([operation("same", options=(option,))], [])


# --- what others have changed before it is resumed ------------------------------------------------
def difference(urn: str = "urn:key", **values: Any) -> CloudDifference:
    given = {"kind": "changed", "path": "tags.a", "in_plan": "0", "in_cloud": "9", **values}
    return CloudDifference(urn=urn, type="aws:kms/key:Key", name="key", **given)


@pytest.mark.parametrize(
    ("op", "found", "is_others"),
    [
        ("update", difference(), True),
        ("update", difference(in_cloud="1"), False),  # what was approved
        ("update", difference(path="target"), False),  # what was approved is not known
        ("update", difference(path="absent", in_cloud=None), False),
        ("update", difference(path="absent", in_cloud="x"), True),
        ("update", difference(kind="missing", path=""), True),
        ("delete", difference(kind="missing", path=""), False),
        ("update", difference(kind="unhealthy", path=""), False),
        ("create", difference(), False),  # it may be half made
        ("replace", difference(), False),
        ("same", difference(), False),  # a finding, see below
    ],
)
def test_what_an_interrupted_apply_cannot_have_made_is_told_from_the_rest(
    op: str, found: CloudDifference, *, is_others: bool
) -> None:
    assert changed_by_others(plan(operation(op)), [found]) == ((found,) if is_others else ())
    beside = drift_beside(plan(operation(op)), [found])
    assert [(each.subject, each.actual) for each in beside] == (
        [("urn:key", "9")] if op == "same" else []
    )
