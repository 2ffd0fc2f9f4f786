"""The engine in memory behaves as the port says, its faults included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from control_plane.adapters.memory import MemoryEngine, MemoryQueue, ProcessDied
from control_plane.adapters.memory.engine import Fault
from control_plane.adapters.memory.queue import Enqueued
from control_plane.domain.errors import (
    EngineFailed,
    EngineUnavailable,
    ForeignLock,
    PendingUnresolved,
)
from control_plane.ports import EngineCall, EnginePlan, EngineResult, Happened, StackEngine

CALL = EngineCall(
    call_id="run_1.1",
    run_id="run_1",
    deployment_id="dep_1",
    stack="acme.production.b",
    program="mode_b",
    spec={"owner": {"short": "acme-1", "tenant": "acme"}, "network": {"cidr": "10.0.0.0/16"}},
    region="eu-west-1",
    account_id="123456789012",
)


class Heard:
    """What a call told as it went on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def __call__(self, events: Sequence[Happened]) -> None:
        self.events.extend(events)

    @property
    def locks(self) -> list[str]:
        return [body["id"] for kind, body in self.events if kind == "lock"]


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def apply(
    engine: StackEngine, heard: Heard, call: EngineCall = CALL, **arguments: Any
) -> EngineResult:
    arguments = {"gate": lambda _: True, "saved_plan": None, "on_events": heard} | arguments
    return engine.apply(call, **arguments)


def operations(plan: EnginePlan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for operation in plan.operations:
        found.setdefault(operation["op"], []).append(operation["name"])
    return found


def test_two_previews_of_the_same_thing_are_the_same(engine: MemoryEngine, heard: Heard) -> None:
    fresh = engine.plan(CALL, on_events=heard)
    assert engine.plan(CALL, on_events=heard) == fresh
    apply(engine, heard)
    again = engine.plan(CALL, on_events=heard)
    assert engine.plan(CALL, on_events=heard) == again
    assert set(operations(again)) == {"same"}
    assert fresh.parts["state"] != again.parts["state"]


def test_a_changed_spec_updates_what_it_touches(engine: MemoryEngine, heard: Heard) -> None:
    apply(engine, heard)
    spec = {**CALL.spec, "network": {"cidr": "10.1.0.0/16"}, "database": {"storage_gb": 50}}
    changed = engine.plan(replace(CALL, spec=spec), on_events=heard)
    found = operations(changed)
    assert (found["create"], found["update"]) == (["database"], ["network"])
    without = {"owner": CALL.spec["owner"]}
    assert operations(engine.plan(replace(CALL, spec=without), on_events=heard))["delete"] == [
        "network"
    ]


def test_an_apply_leaves_what_was_planned_and_unlocks(engine: MemoryEngine, heard: Heard) -> None:
    result = apply(engine, heard)
    assert result.outcome == "applied"
    assert result.summary == {"create": 5}
    assert all(check["ok"] for check in result.checks)
    left = engine.leftovers(CALL, known_locks=heard.locks)
    assert (list(left.locks), list(left.pending)) == ([], [])
    assert left.state_digest == result.state_digest
    assert left.written_by == CALL.call_id


def test_a_gate_that_says_stop_changes_nothing(engine: MemoryEngine, heard: Heard) -> None:
    assert apply(engine, heard, gate=lambda _: False).outcome == "stopped"
    assert heard.locks == []
    assert engine.stacks[CALL.stack].resources == {}


def test_nothing_outside_the_saved_plan_is_done(engine: MemoryEngine, heard: Heard) -> None:
    saved = engine.plan(CALL, on_events=heard).saved_plan
    more = replace(CALL, spec={**CALL.spec, "database": {}})
    result = apply(engine, heard, more, saved_plan=saved)
    assert result.error is not None
    assert (result.outcome, result.error["code"]) == ("failed", "plan_violated")
    assert engine.stacks[CALL.stack].resources == {}
    assert apply(engine, heard, saved_plan=saved).outcome == "applied"


def test_a_refusal_of_the_cloud_keeps_what_is_done(engine: MemoryEngine, heard: Heard) -> None:
    engine.faults.append(Fault(kind="fails", after=2))
    result = apply(engine, heard)
    assert (result.outcome, result.summary) == ("failed", {"create": 2})
    assert len(engine.stacks[CALL.stack].resources) == 2
    assert apply(engine, heard).summary == {"create": 3}


@pytest.mark.parametrize("kind", ["runner_dies", "worker_dies"])
def test_a_death_leaves_lock_and_interrupted_create(
    engine: MemoryEngine, heard: Heard, kind: Any
) -> None:
    engine.faults.append(Fault(kind=kind, after=2))
    with pytest.raises((EngineFailed, ProcessDied)):
        apply(engine, heard)
    with pytest.raises(ForeignLock):
        apply(engine, heard)
    left = engine.leftovers(CALL, known_locks=heard.locks)
    assert [lock["ours"] for lock in left.locks] == [True]
    assert len(left.pending) == 1
    cleaned = engine.clean_up(CALL, call_ids=[CALL.call_id], lock_ids=heard.locks)
    assert cleaned["broken_locks"] == heard.locks
    with pytest.raises(EngineFailed, match="interrupted"):
        apply(engine, heard)
    assert engine.resolve_pending(CALL, on_events=heard)[0]["resolution"] == "imported"
    assert apply(engine, heard).summary == {"create": 2}


def test_what_the_cloud_never_made_is_cleared_and_what_cannot_be_told_refused(
    engine: MemoryEngine, heard: Heard
) -> None:
    engine.faults.append(Fault(kind="runner_dies", created=False))
    with pytest.raises(EngineFailed):
        apply(engine, heard)
    engine.ambiguous = True
    with pytest.raises(PendingUnresolved):
        engine.resolve_pending(CALL, on_events=heard)
    engine.ambiguous = False
    assert engine.resolve_pending(CALL, on_events=heard)[0]["resolution"] == "cleared"


def test_a_death_after_the_last_resource_loses_the_answer_alone(
    engine: MemoryEngine, heard: Heard
) -> None:
    engine.faults.append(Fault(kind="worker_dies", after=99))
    with pytest.raises(ProcessDied):
        apply(engine, heard)
    left = engine.leftovers(CALL, known_locks=())
    assert (list(left.locks), left.written_by) == ([], CALL.call_id)
    assert set(operations(engine.plan(CALL, on_events=heard))) == {"same"}


def test_a_foreign_lock_is_never_broken_unasked(engine: MemoryEngine, heard: Heard) -> None:
    lock = engine.hold_lock(CALL.stack, holder="operator@laptop")
    for call in (engine.plan, apply):
        with pytest.raises(ForeignLock, match="operator@laptop"):
            call(engine, heard) if call is apply else engine.plan(CALL, on_events=heard)
    engine.clean_up(CALL, call_ids=[CALL.call_id], lock_ids=["another"])
    left = engine.leftovers(CALL, known_locks=heard.locks)
    assert [(found["id"], found["ours"]) for found in left.locks] == [(lock, False)]


def test_a_change_by_somebody_else_moves_state_and_history(
    engine: MemoryEngine, heard: Heard
) -> None:
    apply(engine, heard)
    before = engine.leftovers(CALL, known_locks=())
    engine.touch(CALL.stack)
    after = engine.leftovers(CALL, known_locks=())
    assert before.state_digest != after.state_digest
    assert before.history_digest != after.history_digest
    assert after.written_by is None


def test_a_call_stops_before_its_next_resource(engine: MemoryEngine) -> None:
    def stop(events: Sequence[Happened]) -> None:
        if any(kind == "resource" for kind, _ in events):
            assert engine.cancel(CALL.call_id)

    result = engine.apply(CALL, gate=lambda _: True, saved_plan=None, on_events=stop)
    assert (result.outcome, result.summary) == ("canceled", {"create": 1})
    assert not engine.cancel(CALL.call_id)


def test_a_check_can_be_made_to_fail(engine: MemoryEngine, heard: Heard) -> None:
    engine.failing_checks.add("answers_in_cloud")
    checks = {check["name"]: check["ok"] for check in apply(engine, heard).checks}
    assert checks == {"outputs_present": True, "answers_in_cloud": False, "plans_only_same": True}


def test_an_engine_that_is_not_there_says_so(engine: MemoryEngine, heard: Heard) -> None:
    engine.unavailable = True
    with pytest.raises(EngineUnavailable):
        engine.ready()
    with pytest.raises(EngineUnavailable):
        engine.plan(CALL, on_events=heard)


# --- the queue -------------------------------------------------------------------------------
def test_phases_run_in_order_and_once() -> None:
    queue = MemoryQueue()
    entries = [Enqueued("plan_run", "run_1", "dep", 1), Enqueued("plan_run", "run_2", "dep", 1)]
    queue.accept([*entries, entries[0]])
    ran: list[tuple[str, str]] = []

    def run(phase: str, subject: str) -> None:
        ran.append((phase, subject))
        if phase == "plan_run":
            queue.accept([Enqueued("apply_run", subject, "dep", 1)])
            assert queue.drain(run) == 0  # the outer loop goes on with it

    assert queue.drain(run) == 4
    assert [phase for phase, _ in ran] == ["plan_run", "plan_run", "apply_run", "apply_run"]


def test_a_phase_that_raises_leaves_the_rest_waiting() -> None:
    queue = MemoryQueue()
    queue.accept([Enqueued("plan_run", f"run_{n}", "dep", 1) for n in range(2)])

    def fails(phase: str, subject: str) -> None:
        raise ProcessDied

    with pytest.raises(ProcessDied):
        queue.drain(fails)
    assert queue.drain(lambda *_: None) == 1
