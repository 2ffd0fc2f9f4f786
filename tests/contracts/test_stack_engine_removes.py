"""What the port of the engine promises of a removal: by the scripted engine and by the real one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.domain.deployment import Desired
from control_plane.domain.engine import Look, Operation, PlannedResource, protected_name
from control_plane.domain.errors import EngineFailed, ForeignLock
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports import Json
from control_plane.ports.engine import (
    EngineCall,
    EnginePlan,
    EngineResult,
    GateAnswer,
    StackInspection,
)
from tests.contracts.engine_bench import GOOD, Bench, checks

pytestmark = pytest.mark.timeout(400)

SLICE = ("key.data", "secret.app", "secret.idp", "secret.llm")
NOTHING = dict.fromkeys(("nothing_in_state", "nothing_by_tag", "nothing_by_name"), True)

MOMENT = datetime(2026, 11, 20, tzinfo=UTC)
GONE = StackSalt(id="dep_1", salt=None, is_late=False, made_at=MOMENT, erased_at=MOMENT)


def absent(bench: Bench, **changes: Any) -> EngineCall:
    """A call that wants nothing to exist, over a spec without protection."""
    more = {"desired": Desired.ABSENT, "spec": bare(bench), "has_state": True} | changes
    return bench.call(**more)


def bare(bench: Bench) -> Json:
    """The spec of the bench without protection of anything that it has."""
    return {**bench.call().spec, "unprotect": list(SLICE)}


def names_of(bench: Bench) -> list[str]:
    """What a plan that deletes everything names as protected."""
    with pytest.raises(EngineFailed) as refused:
        bench.plan(desired=Desired.ABSENT)
    assert refused.value.data["reason"] == "protected"
    names: list[str] = refused.value.data["details"]["names"]
    return names


def named(thing: Operation | PlannedResource) -> str:
    return protected_name(thing.type, thing.name)


def made_and_bare(bench: Bench) -> EngineResult:
    """Make the stack of a bench, and take its protection away."""
    bench.apply()
    return bench.apply(bench.call(spec=bare(bench), has_state=True))


def test_what_is_protected_is_named_and_nothing_is_called(bench: Bench) -> None:
    made = bench.apply()
    assert made.look is not None
    protected = {r.urn for r in made.look.resources if r.protect}
    with pytest.raises(EngineFailed) as refused:
        bench.plan(desired=Desired.ABSENT)
    assert refused.value.data["reason"] == "protected"
    assert set(refused.value.data["details"]["resources"]) == protected
    assert "key.data" in refused.value.data["details"]["names"]
    with pytest.raises(EngineFailed) as refused:
        bench.apply(bench.call(desired=Desired.ABSENT))
    assert refused.value.data["reason"] == "protected"
    assert bench.state_digest() == made.state_digest


def test_protection_is_taken_away_by_name_and_nothing_else_changes(bench: Bench) -> None:
    bench.apply()
    names = names_of(bench)
    one, *others = names
    plan = bench.plan(spec={**bench.call().spec, "unprotect": [one]}, has_state=True)
    assert not plan.is_empty
    changing = [o for o in plan.operations if o.op != "same" or o.options]
    assert [named(o) for o in changing] == [one]
    assert changing[0].options == ("protect",)
    done = bench.apply(bench.call(spec=bare(bench), has_state=True))
    assert (done.outcome, done.changed, checks(done.look)) == ("applied", True, GOOD)
    assert done.look is not None
    assert not [r for r in done.look.resources if r.protect]
    back = bench.apply(bench.call(has_state=True))
    assert back.look is not None
    assert sorted(named(r) for r in back.look.resources if r.protect) == sorted([one, *others])


def test_everything_is_deleted_as_planned_and_nothing_is_left(bench: Bench) -> None:
    there = made_and_bare(bench)
    assert there.look is not None
    approved = bench.engine.plan(absent(bench), on_events=bench.listen)
    assert {o.op for o in approved.operations} == {"delete"}
    assert {o.urn for o in approved.operations} == {r.urn for r in there.look.resources}
    assert {o.kind for o in approved.outputs} == {"delete"}
    lost = {named(o): o.on_removal for o in approved.operations if o.holds_data}
    assert "deletion can be canceled" in lost["key.data"]
    assert all(o.irreversible for o in approved.operations if o.holds_data)
    seen: list[EnginePlan] = []

    def gate(plan: EnginePlan) -> GateAnswer:
        seen.append(plan)
        return GateAnswer.PROCEED

    done = bench.apply(absent(bench), gate=gate, compares=True)
    assert (seen[0].parts, seen[0].operations) == (approved.parts, approved.operations)
    assert (done.outcome, done.changed, done.summary) == (
        "applied", True, {"delete": len(approved.operations)}
    )  # fmt: skip
    assert checks(done.look) == NOTHING
    assert done.look is not None
    assert (done.look.resources, done.look.outputs, done.look.drift) == ((), {}, ())
    assert {each.kind for each in done.look.remaining} == {"kms:key", "secretsmanager:secret"}
    assert all(each.until and each.until.endswith("Z") for each in done.look.remaining)
    kept = json.loads(json.dumps(done.look.to_document()))
    assert Look.from_document(kept) == done.look
    assert bench.engine.look(absent(bench), on_events=bench.listen) == done.look
    again = bench.apply(absent(bench), gate=lambda _: GateAnswer.LOOK)
    assert (again.outcome, again.changed, checks(again.look)) == ("looked", False, NOTHING)
    assert bench.engine.plan(absent(bench), on_events=bench.listen).is_empty


def test_a_plan_of_nothing_is_never_one_of_something(bench: Bench) -> None:
    nothing = bench.plan(desired=Desired.ABSENT)
    assert nothing.is_empty
    assert nothing.operations == ()
    something = bench.plan()
    assert nothing.parts["state"] == something.parts["state"]
    assert nothing.parts["program"] != something.parts["program"]
    assert nothing.parts["operations"] != something.parts["operations"]


def test_a_look_for_nothing_finds_what_is_there(bench: Bench) -> None:
    bench.apply()
    look = bench.engine.look(bench.call(desired=Desired.ABSENT), on_events=bench.listen)
    assert set(checks(look)) == set(NOTHING)
    assert not checks(look)["nothing_in_state"]
    assert not checks(look)["nothing_by_name"]


def test_a_look_for_nothing_needs_no_stack(bench: Bench) -> None:
    look = bench.engine.look(bench.call(desired=Desired.ABSENT), on_events=bench.listen)
    assert checks(look) == NOTHING
    assert look.remaining == ()


@pytest.mark.parametrize("who", ["runner", "engine", "provider"])
def test_a_removal_that_was_interrupted_is_settled_and_ends(bench: Bench, who: str) -> None:
    made_and_bare(bench)
    call = absent(bench)
    with pytest.raises(EngineFailed) as died:
        bench.apply(call, on_events=bench.dying(who, call))
    assert died.value.data["reason"] == f"{who}_died"
    locks = [lock.id for lock in bench.inspect().locks]
    bench.engine.clean_up(absent(bench), end_calls=[call.call_id], break_locks=locks)
    bench.engine.resolve(absent(bench), on_events=bench.listen)
    done = bench.apply(absent(bench))
    assert (done.outcome, checks(done.look)) == ("applied", NOTHING)


def test_the_records_of_a_removed_stack_are_deleted_once_and_nothing_needs_them(
    bench: Bench,
) -> None:
    made_and_bare(bench)
    with pytest.raises(EngineFailed):  # it still has something
        bench.engine.forget(absent(bench))
    assert bench.inspect().state_digest is not None
    bench.apply(absent(bench))
    before = bench.engine.look(absent(bench), on_events=bench.listen)
    lock = bench.hold(bench.stack)
    with pytest.raises(ForeignLock):
        bench.engine.forget(absent(bench))
    bench.engine.clean_up(absent(bench), end_calls=(), break_locks=[lock])
    assert bench.engine.forget(absent(bench)) > 0
    assert bench.engine.forget(absent(bench)) == 0
    assert bench.inspect() == StackInspection()
    later = absent(bench, has_state=False, salt=GONE)  # under a key that opens nothing
    assert bench.engine.plan(later, on_events=bench.listen).is_empty
    again = bench.apply(later, gate=lambda _: GateAnswer.LOOK)
    assert checks(again.look) == NOTHING
    assert again.look is not None
    assert again.look.remaining == before.remaining


def test_what_stores_hold_is_counted_and_nothing_changes(bench: Bench) -> None:
    made = bench.apply()
    assert made.look is not None
    stores = bench.engine.contents(bench.call(has_state=True))
    secrets = {s.urn: s for s in stores if s.type == "aws:secretsmanager/secret:Secret"}
    assert set(secrets) == {
        r.urn for r in made.look.resources if r.type == "aws:secretsmanager/secret:Secret"
    }
    assert all(s.is_empty and s.data_class == "secret" and s.place for s in secrets.values())
    for store in stores:
        assert type(store).from_document(json.loads(json.dumps(store.to_document()))) == store
    assert bench.state_digest() == made.state_digest


def test_an_operation_without_what_a_removal_does_is_read_from_older_plans(bench: Bench) -> None:
    (first, *_) = bench.plan().operations
    document = first.to_document()
    del document["on_removal"]
    assert Operation.from_document(document) == replace(first, on_removal="")
