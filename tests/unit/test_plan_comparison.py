"""How two plans differ: what was added, what is gone, what is done differently."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from control_plane.domain.engine import Operation, OutputChange, PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.plan import PARTS, Plan
from control_plane.domain.plan_comparison import compare

KIND = "aws:ssm/parameter:Parameter"
Planned = tuple[Operation, PlannedResource]


def planned(name: str, op: str, inputs: dict[str, Any] | None = None, **more: Any) -> Planned:
    operation = Operation(urn=f"urn:{name}", type=KIND, name=name, op=op, **more)
    resource = PlannedResource(
        urn=operation.urn, type=KIND, name=name, operation=op, inputs=inputs or {}
    )
    return operation, resource


def plan(*things: Planned, outputs: tuple[OutputChange, ...] = (), **parts: str) -> Plan:
    return Plan(
        id="pln_1", run_id="run_1", deployment_id="dep_1", digest="sha256:0",
        parts={**dict.fromkeys(PARTS, "sha256:1"), **parts},
        operations=tuple(operation for operation, _ in things), outputs=outputs,
        resources=tuple(resource for _, resource in things), summary={},
        evaluation=Evaluation(ok=True, digest="sha256:0"),
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip


def names(operations: tuple[Operation, ...]) -> list[str]:
    return [operation.name for operation in operations]


def test_equal_plans_do_not_differ() -> None:
    one = plan(planned("a", "create", {"x": 1}), planned("b", "same"))
    found = compare(one, one)
    assert (found.added, found.removed, found.changed, found.outputs, found.parts) == (
        (), (), (), (), ()
    )  # fmt: skip


def test_what_only_one_of_them_does_is_added_or_removed() -> None:
    older = plan(planned("a", "update"), planned("b", "same"), planned("c", "same"))
    newer = plan(planned("a", "same"), planned("b", "delete"), planned("c", "same"), state="other")
    found = compare(older, newer)
    assert (names(found.added), names(found.removed), found.changed) == (["b"], ["a"], ())
    assert found.parts == ("state",)


def test_an_option_that_changes_counts_as_an_operation() -> None:
    found = compare(plan(planned("a", "same")), plan(planned("a", "same", options=("protect",))))
    assert names(found.added) == ["a"]


def test_the_same_operation_with_other_inputs_is_changed() -> None:
    older = plan(planned("a", "create", {"x": 1, "tags": {"k": "1", "l": "2"}}))
    newer = plan(planned("a", "create", {"x": 2, "tags": {"k": "1", "l": "3"}}))
    (changed,) = compare(older, newer).changed
    assert [(each.path, each.before, each.after) for each in changed.inputs] == [
        ("tags.l", "2", "3"), ("x", 1, 2)
    ]  # fmt: skip


def test_another_operation_on_the_same_resource_is_changed() -> None:
    (changed,) = compare(plan(planned("a", "update")), plan(planned("a", "create"))).changed
    assert (changed.before.op, changed.after.op, changed.inputs) == ("update", "create", ())


def test_what_a_replacement_left_is_a_thing_of_its_own() -> None:
    older = plan(planned("a", "update"))
    newer = plan(planned("a", "delete"), planned("a", "update"))
    found = compare(older, newer)
    assert [(each.name, each.op) for each in found.added] == [("a", "delete")]
    assert (found.removed, found.changed) == ((), ())


def test_outputs_with_other_values_are_named() -> None:
    same = OutputChange(name="x", kind="update", before=1, after=2)
    other = OutputChange(name="y", kind="update", before=1, after=3)
    older = plan(outputs=(same, OutputChange(name="y", kind="update", before=1, after=2)))
    assert compare(older, plan(outputs=(same, other))).outputs == (other,)


def test_compared_with_no_plan_everything_is_added() -> None:
    found = compare(None, plan(planned("a", "create"), planned("b", "same")))
    assert (names(found.added), found.changed, found.parts) == (["a"], (), PARTS)
