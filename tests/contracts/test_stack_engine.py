"""What the port of the engine promises: by the scripted one and by the real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from control_plane.domain.engine import OutputChange
from control_plane.domain.errors import EngineFailed, ForeignLock
from control_plane.ports.engine import (
    Applied,
    CleanedUp,
    EngineEvent,
    EnginePlan,
    GateAnswer,
    StackInspection,
)
from tests.contracts.engine_bench import GOOD, SUBNET, Bench, applies, checks
from tests.stacks.sample_specs import REGION

pytestmark = pytest.mark.timeout(400)


def test_a_plan_says_what_would_be_done_and_does_nothing(bench: Bench) -> None:
    plan = bench.plan()
    assert {operation.op for operation in plan.operations} == {"create"}
    assert {output.kind for output in plan.outputs} == {"add"}
    assert "region" in {output.name for output in plan.outputs}
    assert set(plan.parts) == {"operations", "state", "program", "versions"}
    assert all(digest.startswith("sha256:") for digest in plan.parts.values())
    assert [o.urn for o in plan.operations] == [r.urn for r in plan.resources]
    again = bench.plan()
    assert again.parts == plan.parts
    assert again.operations == plan.operations
    seen = bench.inspect()
    assert (seen.locks, seen.written_by) == ((), None)


def test_a_plan_is_the_same_after_it_was_kept_as_documents(bench: Bench) -> None:
    bench.apply()
    plan = bench.plan(spec=bench.other_spec())
    for fact in (*plan.operations, *plan.resources, *plan.outputs):
        kept = json.loads(json.dumps(fact.to_document()))
        assert type(fact).from_document(kept) == fact
    (changed,) = [operation for operation in plan.operations if operation.op != "same"]
    (change,) = changed.changes
    assert (change.path, change.kind) == ("retentionInDays", "update")
    assert (change.before, change.after, change.before_known) == (365, 30, True)
    assert (changed.holds_data, changed.irreversible) == (True, True)  # older lines are lost
    longer = bench.plan(spec=bench.other_spec(log_days=731))
    (changed,) = [operation for operation in longer.operations if operation.op != "same"]
    assert (changed.holds_data, changed.irreversible) == (True, False)


def test_what_cannot_change_in_place_is_replaced(bench: Bench) -> None:
    bench.apply()
    other = bench.call(spec=bench.spec_of_another_hub(log_group_prefix="/tenantplane/other"))
    planned: list[EnginePlan] = []

    def gate(plan: EnginePlan) -> GateAnswer:
        planned.append(plan)
        return GateAnswer.PROCEED

    done = bench.apply(other, gate=gate)
    (replaced,) = [each for each in planned[0].operations if each.op == "replace"]
    assert (replaced.type, replaced.name) == ("aws:cloudwatch/logGroup:LogGroup", "app")
    assert replaced.replaces == ("name",)
    assert replaced.diffs["name"] == "update-replace"
    (change,) = [each for each in replaced.changes if each.path == "name"]
    assert (change.kind, change.after) == ("update-replace", replaced_name(planned[0]))
    assert (replaced.holds_data, replaced.irreversible) == (True, True)
    assert (done.outcome, done.summary["replace"]) == ("applied", 1)
    assert checks(done.look) == GOOD
    assert done.look is not None
    assert [r.inputs["name"] for r in done.look.resources if r.urn == replaced.urn] == [
        change.after
    ]


def replaced_name(plan: EnginePlan) -> str:
    (found,) = [each for each in plan.resources if each.operation == "replace"]
    return str(found.inputs["name"])


def test_a_plan_has_what_it_deletes_as_it_is(bench: Bench) -> None:
    bench.engine.apply(
        bench.hub_call("a", "b", "c"), gate=lambda _: GateAnswer.PROCEED,
        on_applied=lambda _: None, on_events=bench.listen, compares=False,
    )  # fmt: skip
    plan = bench.engine.plan(bench.hub_call("a", "b"), on_events=bench.listen)
    assert [(o.urn, o.op) for o in plan.operations] == [
        (r.urn, r.operation) for r in plan.resources
    ]
    (gone,) = [r for r in plan.resources if (r.type, r.operation) == (SUBNET, "delete")]
    assert gone.inputs["availabilityZone"] == f"{REGION}c"
    assert gone.outputs == {}
    left = [r for r in plan.resources if (r.type, r.operation) == (SUBNET, "same")]
    assert {r.inputs["availabilityZone"] for r in left} == {f"{REGION}a", f"{REGION}b"}
    done = bench.apply(bench.hub_call("a", "b"))
    assert (done.outcome, checks(done.look)) == ("applied", GOOD)
    assert done.look is not None
    assert gone.urn not in {r.urn for r in done.look.resources}


def test_what_is_protected_is_neither_deleted_nor_replaced(bench: Bench) -> None:
    bench.apply()
    before = bench.state_digest()
    spec = bench.call().spec
    renamed = {**spec, "owner": {**spec["owner"], "short": f"{spec['owner']['short']}-x"}}
    with pytest.raises(EngineFailed) as refused:
        bench.plan(spec=renamed)
    assert refused.value.data["reason"] == "protected"
    assert bench.state_digest() == before


def test_an_output_that_changes_is_a_change(bench: Bench) -> None:
    bench.apply()
    (before, after) = (bench.call().spec["hub"]["hub_id"], "hub_01J0000000000000000000000B")
    other = bench.call(spec=bench.spec_of_another_hub(hub_id=after))
    planned: list[EnginePlan] = []

    def gate(plan: EnginePlan) -> GateAnswer:
        planned.append(plan)
        return GateAnswer.LOOK

    looked = bench.apply(other, gate=gate)
    assert {operation.op for operation in planned[0].operations} == {"same"}
    assert planned[0].outputs == (
        OutputChange(name="hub_id", kind="update", before=before, after=after),
    )
    assert not planned[0].is_empty
    assert checks(looked.look) == {**GOOD, "as_applied": False}
    done = bench.apply(replace(other, call_id=f"{other.call_id}b"))
    assert (done.outcome, done.changed, checks(done.look)) == ("applied", True, GOOD)
    assert done.look is not None
    assert done.look.outputs["hub_id"] == after


def test_an_apply_asks_its_gate_does_it_tells_it_and_verifies_it(bench: Bench) -> None:
    planned = bench.plan()
    bench.events.clear()
    order: list[str] = []
    asked: list[EnginePlan] = []
    told: list[Applied] = []
    call = bench.call()

    def gate(plan: EnginePlan) -> GateAnswer:
        order.append("gate")
        asked.append(plan)
        return GateAnswer.PROCEED

    def on_applied(applied: Applied) -> None:
        order.append("applied")
        told.append(applied)

    def listen(events: Sequence[EngineEvent]) -> None:
        bench.listen(events)
        order.extend(
            "verify" for kind, body in events
            if kind == "phase" and body == {"phase": "verify", "status": "started"}
        )  # fmt: skip

    result = bench.apply(call, gate=gate, on_applied=on_applied, on_events=listen)
    assert order == ["gate", "applied", "verify"]
    assert (result.outcome, result.changed, result.error) == ("applied", True, None)
    assert [plan.parts for plan in asked] == [planned.parts]
    assert checks(result.look) == GOOD
    assert result.look is not None
    assert result.look.outputs["region"] == REGION
    assert sum(result.summary.values()) == len(result.look.resources)
    assert [(t.state_digest, t.outputs, t.summary) for t in told] == [
        (result.state_digest, result.look.outputs, result.summary)
    ]
    seen = bench.inspect()
    assert (seen.state_digest, seen.written_by, seen.locks) == (
        result.state_digest,
        call.call_id,
        (),
    )
    after = bench.plan()
    assert {operation.op for operation in after.operations} == {"same"}
    assert after.outputs == ()
    assert after.parts["state"] == result.state_digest


def test_an_apply_that_finds_everything_as_it_should_be_changes_nothing(bench: Bench) -> None:
    made = bench.apply()
    again = bench.apply()
    assert (made.outcome, made.changed) == (again.outcome, not again.changed) == ("applied", True)
    assert checks(again.look) == GOOD
    assert again.state_digest == made.state_digest


def test_each_part_moves_alone(bench: Bench) -> None:
    before = bench.plan()
    other = bench.plan(spec=bench.other_spec())
    assert moved(before, other) == {"operations"}
    bench.apply()
    assert moved(before, bench.plan()) == {"operations", "state"}


def moved(one: EnginePlan, other: EnginePlan) -> set[str]:
    return {part for part in one.parts if one.parts[part] != other.parts[part]}


def test_a_gate_that_says_stop_stops(bench: Bench) -> None:
    before = bench.plan().parts["state"]
    result = bench.apply(gate=lambda _: GateAnswer.STOP)
    assert (result.outcome, result.look, result.changed) == ("stopped", None, False)
    assert bench.plan().parts["state"] == before


def test_a_gate_that_says_look_verifies_and_applies_nothing(bench: Bench) -> None:
    made = bench.apply()
    told: list[Applied] = []
    other = bench.call(spec=bench.other_spec())
    result = bench.apply(other, gate=lambda _: GateAnswer.LOOK, on_applied=told.append)
    assert (result.outcome, result.changed, told) == ("looked", False, [])
    # what the spec would change is not there, and the look says so
    assert checks(result.look) == {**GOOD, "as_applied": False}
    assert result.state_digest == made.state_digest


def test_a_look_verifies_and_changes_nothing(bench: Bench) -> None:
    made = bench.apply()
    look = bench.engine.look(bench.call(), on_events=bench.listen)
    assert checks(look) == GOOD
    assert look == made.look
    assert type(look).from_document(json.loads(json.dumps(look.to_document()))) == look
    assert bench.state_digest() == made.state_digest


def test_a_look_compares_with_what_was_applied_whatever_is_wanted_now(bench: Bench) -> None:
    made = bench.apply()
    other = bench.call(spec=bench.other_spec())
    assert bench.engine.look(other, on_events=bench.listen) == made.look


def test_a_look_at_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(EngineFailed) as refused:
        bench.engine.look(bench.call(), on_events=bench.listen)
    assert refused.value.data["reason"] == "backend"


def test_an_inspection_of_nothing_finds_nothing(bench: Bench) -> None:
    assert bench.inspect() == StackInspection()
    bench.plan()
    assert bench.inspect() == StackInspection()


def test_a_backend_without_a_state_that_was_applied_is_another_one(bench: Bench) -> None:
    """Planned from nothing, everything would be made again."""
    for act in (bench.engine.plan, bench.engine.look, bench.engine.resolve):
        with pytest.raises(EngineFailed) as refused:
            act(bench.call(has_state=True), on_events=bench.listen)
        assert refused.value.data["reason"] == "backend"
    with pytest.raises(EngineFailed):
        bench.engine.inspect(bench.call(has_state=True))
    bench.apply()
    assert bench.plan(has_state=True).is_empty


@pytest.mark.parametrize("listener", ["gate", "on_applied", "on_events"])
def test_a_listener_that_raises_stops_the_call_and_is_heard(bench: Bench, listener: str) -> None:
    before = bench.plan().parts["state"]

    def hear(heard: object) -> GateAnswer:
        if listener != "on_events" or any(kind == "phase" for kind, _ in cast("Any", heard)):
            raise LookupError("the database is away")
        return GateAnswer.PROCEED

    with pytest.raises(LookupError, match="the database is away"):
        bench.apply(**{listener: hear})
    if listener == "gate":
        assert bench.plan().parts["state"] == before


def test_a_listener_that_raises_during_a_change_leaves_no_lock(bench: Bench) -> None:
    call = bench.call()

    def hear(events: Sequence[EngineEvent]) -> None:
        if any(applies(event) for event in events):
            raise LookupError("the database is away")

    with pytest.raises(LookupError, match="the database is away"):
        bench.apply(call, on_events=hear)
    seen = bench.inspect()
    assert (seen.locks, seen.written_by) == ((), call.call_id)
    done = bench.apply()
    assert (done.outcome, checks(done.look)) == ("applied", GOOD)


def test_a_stack_held_by_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.apply()
    lock = bench.hold(bench.stack)
    for act in (bench.plan, bench.apply, bench.look):
        with pytest.raises(ForeignLock) as refused:
            act()
        assert refused.value.data["holder"] == "joe@elsewhere (pid 1)"
    (found,) = bench.inspect().locks
    assert (found.id, found.call_id, found.alive) == (lock, None, None)
    assert (found.user, found.host, found.pid) == ("joe", "elsewhere", 1)


def test_exactly_the_named_locks_are_broken(bench: Bench) -> None:
    bench.apply()
    lock = bench.hold(bench.stack)
    another = "11111111-2222-4333-8444-555555555555"
    cleaned = bench.engine.clean_up(bench.call(), end_calls=["run_0.1"], break_locks=[another])
    assert cleaned == CleanedUp()
    assert bench.inspect().locks
    cleaned = bench.engine.clean_up(bench.call(), end_calls=(), break_locks=[lock])
    assert cleaned == CleanedUp(broken_locks=(lock,))
    assert {operation.op for operation in bench.plan().operations} == {"same"}


@pytest.mark.parametrize("compares", [False, True])
def test_a_plan_is_told_what_the_cloud_has_otherwise_where_that_is_asked(
    bench: Bench, compares: bool
) -> None:
    bench.apply()
    other = bench.call(spec=bench.other_spec(), has_state=True)
    bench.change_log_days(7)
    planned: list[EnginePlan] = []

    def gate(plan: EnginePlan) -> GateAnswer:
        planned.append(plan)
        return GateAnswer.STOP

    bench.apply(other, gate=gate, compares=compares)
    (plan,) = planned
    assert plan.parts["state"] == bench.state_digest()  # no look is written down
    if not compares:
        assert plan.differences == ()
        return
    (found,) = plan.differences
    assert (found.type, found.name, found.kind) == (
        "aws:cloudwatch/logGroup:LogGroup", "app", "changed"
    )  # fmt: skip
    assert (found.path, found.in_plan, found.in_cloud) == ("retentionInDays", 365, 7)
    assert type(found).from_document(json.loads(json.dumps(found.to_document()))) == found


def test_a_plan_over_what_was_settled_has_the_values_of_the_cloud(bench: Bench) -> None:
    bench.apply()
    bench.change_log_days(7)
    bench.engine.resolve(bench.call(has_state=True), on_events=bench.listen)
    plan = bench.plan(spec=bench.other_spec(), has_state=True)
    (changed,) = [operation for operation in plan.operations if operation.op != "same"]
    (change,) = changed.changes
    assert (change.path, change.before, change.after) == ("retentionInDays", 7, 30)
    call = bench.call(spec=bench.other_spec(), has_state=True)
    done = bench.apply(call, compares=True)
    assert (done.outcome, checks(done.look)) == ("applied", GOOD)
