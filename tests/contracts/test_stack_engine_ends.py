"""How a call of the engine ends before its time: canceled, stopped, killed, refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.adapters.pulumi.answers import failed_of
from control_plane.adapters.pulumi.runner_process import living_calls
from control_plane.domain.errors import EngineFailed, EngineUnavailable
from control_plane.ports.engine import Applied, CleanedUp, EngineEvent, EnginePlan, GateAnswer
from tests.contracts.engine_bench import GOOD, Bench, applies, checks, pulumi_bench, pulumi_engine
from tests.scripted_faults import ProcessDied

pytestmark = pytest.mark.timeout(400)


def test_calls_are_canceled_while_a_real_command_is_looked_for(tmp_path: Path) -> None:
    """It may be built, which takes minutes. Of the real engine: the scripted one runs none."""
    looking, may_end = threading.Event(), threading.Event()

    def look() -> Path:
        looking.set()
        assert may_end.wait(60)
        raise EngineUnavailable("there is none")

    bench = pulumi_bench(look, "http://127.0.0.1:9", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        planned = pool.submit(bench.plan)
        try:
            assert looking.wait(60)
            assert pool.submit(bench.engine.cancel, "run_1.1").result(30) is False
        finally:
            may_end.set()
        with pytest.raises(EngineUnavailable, match="there is none"):
            planned.result(60)


def test_nothing_interrupted_is_nothing_resolved(bench: Bench) -> None:
    bench.apply()
    assert bench.engine.resolve(bench.call(), on_events=bench.listen) == ()


def test_a_cancel_stops_an_apply_which_can_go_on(bench: Bench) -> None:
    call = bench.call()
    assert not bench.engine.cancel(call.call_id)
    asked = 0

    def listen(events: Sequence[EngineEvent]) -> None:
        nonlocal asked
        if any(applies(event) for event in events):
            for _ in range(10):  # only the first of them is sent
                assert bench.engine.cancel(call.call_id)
                asked += 1

    result = bench.apply(call, on_events=listen)
    assert asked >= 10
    assert result.outcome == "canceled"
    assert result.error is not None
    assert result.error["code"] == "canceled"
    assert not bench.engine.cancel(call.call_id)
    assert bench.state_digest() == result.state_digest
    assert bench.apply().outcome == "applied"


def test_a_cancel_of_the_verification_keeps_what_was_applied(bench: Bench) -> None:
    call = bench.call()
    told: list[Applied] = []

    def on_applied(applied: Applied) -> None:
        told.append(applied)
        assert bench.engine.cancel(call.call_id)

    result = bench.apply(call, on_applied=on_applied)
    assert (result.outcome, result.look, result.error) == ("canceled", None, None)
    assert result.changed
    assert [applied.state_digest for applied in told] == [result.state_digest]
    assert bench.state_digest() == result.state_digest
    assert checks(bench.look()) == GOOD


def test_a_cancel_of_the_plan_changes_nothing(bench: Bench) -> None:
    call = bench.call()

    def listen(events: Sequence[EngineEvent]) -> None:
        if ("phase", {"phase": "plan", "status": "started"}) in events:
            assert bench.engine.cancel(call.call_id)

    with pytest.raises(EngineFailed) as refused:
        bench.engine.plan(call, on_events=listen)
    assert refused.value.data["reason"] == "canceled"
    asked: list[EnginePlan] = []
    result = bench.apply(call, gate=asked.append, on_events=listen)
    assert (result.outcome, result.changed, asked) == ("canceled", False, [])
    assert result.error is not None
    assert result.error["code"] == "canceled"
    assert bench.inspect().written_by is None


def test_a_cancel_while_the_plan_is_decided_on_changes_nothing(bench: Bench) -> None:
    call = bench.call()

    def gate(plan: EnginePlan) -> GateAnswer:
        assert bench.engine.cancel(call.call_id)
        return GateAnswer.PROCEED

    result = bench.apply(call, gate=gate)
    assert (result.outcome, result.changed, result.look) == ("canceled", False, None)
    assert bench.inspect().written_by is None


def test_the_state_that_a_stopped_call_left_is_known_as_its_own(bench: Bench) -> None:
    """Nobody records anything about a call that was cut: what it was called by ends with it."""
    call = bench.call()
    applying, stopped, returned = threading.Event(), threading.Event(), threading.Event()

    def listen(events: Sequence[EngineEvent]) -> None:
        if any(applies(event) for event in events):
            applying.set()
            assert stopped.wait(120)

    def apply() -> None:
        with suppress(ProcessDied):
            bench.apply(call, on_events=listen)
            returned.set()

    threading.Thread(target=apply, daemon=True).start()
    assert applying.wait(120)
    bench.engine.stop_all()
    stopped.set()
    assert not returned.wait(1)  # seconds; it never does
    seen = bench.later().inspect(bench.call())
    assert (seen.written_by, seen.locks) == (call.call_id, ())


@pytest.mark.slow
def test_a_stop_ends_the_processes_of_every_call(
    bench_of_processes: Bench, pulumi_cli: Path
) -> None:
    """Of the real engine: the scripted one has none."""
    bench = bench_of_processes
    call = bench.call()
    applying, returned = threading.Event(), threading.Event()

    def listen(events: Sequence[EngineEvent]) -> None:
        if any(applies(event) for event in events):
            applying.set()

    def apply() -> None:
        bench.apply(call, on_events=listen)
        returned.set()

    threading.Thread(target=apply, daemon=True).start()
    assert applying.wait(120)
    assert living_calls(bench.folder / "calls") == {call.call_id}
    bench.engine.stop_all()
    assert living_calls(bench.folder / "calls") == set()
    assert list((bench.folder / "calls").iterdir()) == []
    assert not returned.is_set()  # nobody records anything about a call that was cut
    later = pulumi_engine(lambda: pulumi_cli, bench.endpoint, bench.folder)
    seen = later.inspect(bench.call())
    assert seen.written_by == call.call_id
    assert seen.locks == ()


@pytest.mark.parametrize("who", ["runner", "engine", "provider"])
def test_a_death_is_told_and_its_run_can_go_on(bench: Bench, who: str) -> None:
    call = bench.call()
    with pytest.raises(EngineFailed) as died:
        bench.apply(call, on_events=bench.dying(who, call))
    assert died.value.data["reason"] == f"{who}_died"
    locks = bench.inspect().locks
    assert {(lock.call_id, lock.alive) for lock in locks} <= {(call.call_id, False)}
    cleaned = bench.engine.clean_up(
        bench.call(), end_calls=[call.call_id], break_locks=[lock.id for lock in locks]
    )
    assert cleaned == CleanedUp(broken_locks=tuple(lock.id for lock in locks))
    bench.engine.resolve(bench.call(), on_events=bench.listen)
    done = bench.apply()
    assert (done.outcome, checks(done.look)) == ("applied", GOOD)


def test_no_command_is_an_engine_that_is_not_available(bench_without_command: Bench) -> None:
    bench = bench_without_command
    for act in (bench.plan, bench.apply, bench.look):
        with pytest.raises(EngineUnavailable):
            act()


def test_a_state_backend_that_does_not_answer_is_an_engine_that_is_not_available(
    emulated: str, pulumi_cli: Path, tmp_path: Path
) -> None:
    url = "postgres://joe:hunter2hunter2@127.0.0.1:1/states?sslmode=disable"
    engine = pulumi_engine(lambda: pulumi_cli, emulated, tmp_path, backend_url=url)
    bench = replace(pulumi_bench(lambda: pulumi_cli, emulated, tmp_path), engine=engine)
    for act in (bench.plan, bench.apply, bench.look, bench.inspect):
        with pytest.raises(EngineUnavailable, match="state backend is not available") as told:
            act()
        assert told.value.transient
        assert "hunter2" not in str(vars(told.value))


def test_an_outage_of_the_backend_is_no_end_of_an_apply_that_has_begun() -> None:
    failure = {
        "code": "backend_unavailable", "text": "gone", "data": {}, "changed": True,
        "state_digest": None, "summary": {},
    }  # fmt: skip
    for begun in (True, False):
        with pytest.raises(EngineUnavailable, match="gone"):
            failed_of(failure, begun=begun)
    assert failed_of({**failure, "code": "backend"}, begun=True).outcome == "failed"


@pytest.mark.slow
def test_the_runner_refuses_a_bad_spec_by_field(bench_of_processes: Bench) -> None:
    """Of the real engine: the models of its programs are no part of the port."""
    bench = bench_of_processes
    with pytest.raises(EngineFailed) as refused:
        bench.plan(spec={**bench.call().spec, "surplus": 1})
    assert refused.value.data["reason"] == "bad_spec"
    assert refused.value.data["details"] == {"problems": ["surplus"]}
