"""A call with a scope reads, plans and applies what it names, the same on both engines."""

from __future__ import annotations

import pytest

from control_plane.domain.engine import Operation
from control_plane.ports.engine import EngineCall, EnginePlan, GateAnswer
from tests.contracts.engine_bench import Bench

LOGS = "aws:cloudwatch/logGroup:LogGroup"
SECRET = "aws:secretsmanager/secret:Secret"

pytestmark = pytest.mark.timeout(400)


def urn_of(bench: Bench, kind: str) -> str:
    """Return the URN of the first resource of a type."""
    return next(each.urn for each in bench.plan().operations if each.type == kind)


def scoped(bench: Bench, *urns: str, log_days: int | None = None) -> EngineCall:
    """A call for what exists, limited to some resources."""
    changes = {} if log_days is None else {"spec": bench.other_spec(log_days)}
    return bench.call(scope=urns, has_state=True, **changes)


def planned(bench: Bench, call: EngineCall) -> EnginePlan:
    return bench.engine.plan(call, on_events=bench.listen)


def changing(plan: EnginePlan) -> list[Operation]:
    return [each for each in plan.operations if each.op not in {"same", "read"}]


def changes_nothing(bench: Bench, call: EngineCall) -> None:
    done = bench.apply(call)
    assert (done.outcome, done.changed) == ("applied", False)


def is_as_applied(bench: Bench) -> bool:
    """Tell whether a look finds everything as it was applied."""
    return not [each for each in bench.look().drift if each.kind == "changed"]


def test_without_a_scope_a_plan_does_not_see_what_somebody_changed(bench: Bench) -> None:
    bench.apply()
    bench.change_log_days(7)
    assert changing(bench.plan(has_state=True)) == []


def test_what_a_scope_names_is_read_and_planned_back(bench: Bench) -> None:
    bench.apply()
    logs, digest = urn_of(bench, LOGS), bench.state_digest()
    bench.change_log_days(7)
    (operation,) = changing(planned(bench, scoped(bench, logs)))
    assert (operation.urn, operation.op) == (logs, "update")
    (change,) = operation.changes
    assert (change.path, change.before, change.after) == ("retentionInDays", 7, 365)
    assert bench.state_digest() == digest  # a plan writes nothing down
    assert not is_as_applied(bench)


def test_a_scope_repairs_what_it_names_under_the_plan_that_was_seen(bench: Bench) -> None:
    bench.apply()
    logs = urn_of(bench, LOGS)
    bench.change_log_days(7)
    seen = planned(bench, scoped(bench, logs))
    gated: list[EnginePlan] = []

    def gate(plan: EnginePlan) -> GateAnswer:
        gated.append(plan)
        return GateAnswer.PROCEED

    done = bench.apply(scoped(bench, logs), gate=gate)
    assert done.outcome == "applied"
    (again,) = gated
    assert again.parts == seen.parts  # what people approved is what is applied
    assert is_as_applied(bench)
    assert changing(planned(bench, scoped(bench, logs))) == []


def test_what_lies_outside_of_a_scope_is_left_as_it_is(bench: Bench) -> None:
    bench.apply()
    logs = urn_of(bench, LOGS)
    other = urn_of(bench, SECRET)
    bench.change_log_days(7)
    # the spec wants other log days and somebody changed them too: neither is in the scope
    call = scoped(bench, other, log_days=30)
    assert changing(planned(bench, call)) == []
    changes_nothing(bench, call)
    found = [each for each in bench.look().drift if each.kind == "changed"]
    assert [(each.subject, each.path, each.actual) for each in found] == [
        (logs, "retentionInDays", 7)
    ]


def test_a_scope_that_agrees_with_the_cloud_plans_nothing(bench: Bench) -> None:
    bench.apply()
    call = scoped(bench, urn_of(bench, LOGS))
    plan = planned(bench, call)
    assert (changing(plan), plan.is_empty) == ([], True)
    changes_nothing(bench, call)


def test_a_plan_of_a_scope_is_never_one_of_everything(bench: Bench) -> None:
    bench.apply()
    bench.change_log_days(7)
    within = planned(bench, scoped(bench, urn_of(bench, LOGS), log_days=30))
    whole = bench.plan(spec=bench.other_spec(), has_state=True)
    assert [each.op for each in changing(within)] == ["update"]
    assert [each.op for each in changing(whole)] == ["update"]
    assert within.parts["operations"] != whole.parts["operations"]
