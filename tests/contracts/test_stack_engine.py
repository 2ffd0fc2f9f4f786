"""What every stack engine does: the real one on the emulated cloud, and the one in memory."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.memory.engine import MemoryEngine
from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine
from control_plane.adapters.pulumi.runner_process import living_calls
from control_plane.adapters.secrets.files import FileSecretStore
from control_plane.domain.errors import EngineFailed, EngineUnavailable, ForeignLock
from control_plane.ports import EngineCall, EnginePlan, Happened, Json, StackEngine
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import processes_of
from tests.stacks.sample_specs import ACCOUNT, REGION, hub_outputs, slice_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = "0f8fad5b-d9cb-469f-a165-70867728950e"
NUMBERS = itertools.count(1)


@dataclass
class Bench:
    """An engine, calls for a stack of its own, and somebody else who may hold that stack."""

    engine: StackEngine
    hold: Callable[[str], str]  # stack -> id of the foreign lock
    folder: Path
    endpoint: str = ""  # of the emulated cloud, if the engine has one
    events: list[tuple[str, Json]] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(NUMBERS))

    @property
    def stack(self) -> str:
        return f"acme{self.number}.production.a"

    def call(self, **changes: Any) -> EngineCall:
        spec = slice_of(hub_outputs(), f"acme{self.number}", f"acme{self.number}-a1b2c3")
        call = EngineCall(
            call_id=f"run_{self.number}.{next(NUMBERS)}",
            run_id=f"run_{self.number}",
            deployment_id=f"dep_{self.number}",
            stack=self.stack,
            program="mode_a.slice",
            spec=spec,
            region=REGION,
            account_id=ACCOUNT,
        )
        return replace(call, **changes)

    def listen(self, events: Sequence[Happened]) -> None:
        self.events.extend(events)

    def plan(self, **changes: Any) -> EnginePlan:
        return self.engine.plan(self.call(**changes), on_events=self.listen)

    def apply(self, call: EngineCall | None = None, **changes: Any) -> Any:
        more: dict[str, Any] = {"gate": lambda _: True, "saved_plan": None,
                                "on_events": self.listen, **changes}  # fmt: skip
        return self.engine.apply(call or self.call(), **more)

    def state_digest(self) -> str | None:
        return self.engine.leftovers(self.call(), known_locks=()).state_digest

    def other_spec(self) -> Json:
        return {**self.call().spec, "retention": {"log_days": 30}}


def memory_bench(_cli: Callable[[], Path], _cloud: Callable[[], str], folder: Path) -> Bench:
    engine = MemoryEngine()
    return Bench(engine=engine, hold=engine.hold_lock, folder=folder)


def pulumi_engine(cli: Callable[[], Path], endpoint: str, folder: Path) -> PulumiEngine:
    return PulumiEngine(
        cli=cli,
        backend_url=f"file://{folder / 'state'}",
        calls_folder=folder / "calls",
        schemas=ROOT / "stacks" / "schemas",
        source=ROOT,
        secrets=FileSecretStore(folder / "secrets" / "master"),
        cloud=Cloud(provider="sandbox", endpoint=endpoint),
    )


def pulumi_bench(cli: Callable[[], Path], cloud: Callable[[], str], folder: Path) -> Bench:
    (folder / "state").mkdir()
    engine = pulumi_engine(cli, cloud(), folder)

    def hold(stack: str) -> str:
        locks = folder / "state" / ".pulumi" / "locks" / "organization" / "tenantplane" / stack
        locks.mkdir(parents=True, exist_ok=True)
        content = {"pid": 1, "username": "joe", "hostname": "elsewhere", "timestamp": "2026-11-20"}
        (locks / f"{FOREIGN}.json").write_text(json.dumps(content))
        return FOREIGN

    return Bench(engine=engine, hold=hold, folder=folder, endpoint=cloud())


def applies(event: Happened) -> bool:
    """Tell whether an event is of a resource that is being applied."""
    kind, body = event
    return kind == "resource" and body.get("phase", "apply") == "apply"


BENCHES = {"memory": memory_bench, "pulumi": pulumi_bench}


@pytest.fixture(scope="module")
def emulated() -> Iterator[Callable[[], str]]:
    """Start an emulated cloud when one is asked for."""
    clouds: list[CloudProcess] = []

    def endpoint() -> str:
        if not clouds:
            clouds.append(CloudProcess().__enter__())
        return clouds[0].endpoint

    yield endpoint
    for cloud in clouds:
        cloud.terminate()


@pytest.fixture(params=sorted(BENCHES))
def bench(
    request: pytest.FixtureRequest, emulated: Callable[[], str], tmp_path: Path
) -> Iterator[Bench]:
    def cli() -> Path:
        found: Path = request.getfixturevalue("pulumi_cli")
        return found

    made = BENCHES[request.param](cli, emulated, tmp_path)
    yield made
    calls = tmp_path / "calls"
    assert not calls.exists() or list(calls.iterdir()) == []


def test_an_engine_tells_its_version(bench: Bench) -> None:
    assert bench.engine.ready()


def test_a_plan_says_what_would_be_done_and_does_nothing(bench: Bench) -> None:
    plan = bench.plan()
    assert {operation["op"] for operation in plan.operations} == {"create"}
    assert set(plan.parts) == {"operations", "state", "program", "versions"}
    assert all(digest.startswith("sha256:") for digest in plan.parts.values())
    assert plan.saved_plan
    assert plan.stack_salt
    for resource in plan.resources:
        assert {"urn", "type", "name", "operation", "inputs", "protect"} <= set(resource)
    again = bench.plan(stack_salt=plan.stack_salt)
    assert again.parts == plan.parts
    assert again.operations == plan.operations
    left = bench.engine.leftovers(bench.call(), known_locks=())
    assert (list(left.locks), list(left.pending)) == ([], [])
    assert left.history_digest is None


def test_an_apply_asks_its_gate_with_the_plan_and_does_it(bench: Bench) -> None:
    planned = bench.plan()
    asked: list[EnginePlan] = []
    call = bench.call()

    def gate(plan: EnginePlan) -> bool:
        asked.append(plan)
        return True

    result = bench.apply(call, gate=gate)
    assert result.outcome == "applied"
    assert [plan.parts for plan in asked] == [planned.parts]
    assert result.outputs["region"] == REGION
    assert {check["name"]: check["ok"] for check in result.checks} == {
        "outputs_present": True,
        "answers_in_cloud": True,
        "plans_only_same": True,
    }
    assert sum(result.summary.values()) == len(result.resources)
    left = bench.engine.leftovers(bench.call(), known_locks=())
    assert left.state_digest == result.state_digest
    assert left.history_digest is not None
    assert list(left.locks) == []
    # the lock was told before the first resource
    kinds = [kind for kind, _ in bench.events]
    assert "lock" in kinds
    assert kinds.index("lock") < kinds.index("resource", kinds.index("lock"))
    after = bench.plan()
    assert {operation["op"] for operation in after.operations} == {"same"}
    assert after.parts["state"] == result.state_digest


def test_each_part_moves_alone(bench: Bench) -> None:
    before = bench.plan()
    other = bench.plan(spec=bench.other_spec())
    assert {part for part in before.parts if before.parts[part] != other.parts[part]} == {
        "operations"
    }
    bench.apply()
    after = bench.plan()
    assert {part for part in before.parts if before.parts[part] != after.parts[part]} == {
        "operations",
        "state",
    }


def test_a_gate_that_says_stop_stops(bench: Bench) -> None:
    before = bench.plan().parts["state"]
    result = bench.apply(gate=lambda _: False)
    assert result.outcome == "stopped"
    assert bench.plan().parts["state"] == before


def test_a_gate_that_raises_stops_and_is_heard(bench: Bench) -> None:
    before = bench.plan().parts["state"]

    def gate(_: EnginePlan) -> bool:
        raise LookupError("the database is away")

    with pytest.raises(LookupError, match="the database is away"):
        bench.apply(gate=gate)
    assert bench.plan().parts["state"] == before


def test_only_what_was_saved_is_applied(bench: Bench) -> None:
    bench.apply()
    before = bench.state_digest()
    nothing_to_do = bench.plan().saved_plan
    result = bench.apply(bench.call(spec=bench.other_spec()), saved_plan=nothing_to_do)
    assert result.outcome == "failed"
    assert result.error is not None
    assert result.error["code"] == "plan_violated"
    assert bench.state_digest() == before
    # a plan of the very change lets it through
    approved = bench.plan(spec=bench.other_spec()).saved_plan
    done = bench.apply(bench.call(spec=bench.other_spec()), saved_plan=approved)
    assert done.outcome == "applied"
    assert done.summary["update"] == 1


def test_a_stack_held_by_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.apply()
    lock = bench.hold(bench.stack)
    for act in (bench.plan, bench.apply):
        with pytest.raises(ForeignLock) as refused:
            act()
        assert refused.value.data["holder"]
    left = bench.engine.leftovers(bench.call(), known_locks=())
    assert [(found["id"], found["ours"]) for found in left.locks] == [(lock, False)]
    assert left.locks[0]["holder"]
    known = bench.engine.leftovers(bench.call(), known_locks=[lock])
    assert [found["ours"] for found in known.locks] == [True]


def test_exactly_the_named_locks_are_broken(bench: Bench) -> None:
    bench.apply()
    lock = bench.hold(bench.stack)
    another = "11111111-2222-4333-8444-555555555555"
    cleaned = bench.engine.clean_up(bench.call(), call_ids=["run_0.1"], lock_ids=[another])
    assert (list(cleaned["ended_pids"]), list(cleaned["broken_locks"])) == ([], [])
    assert bench.engine.leftovers(bench.call(), known_locks=()).locks
    cleaned = bench.engine.clean_up(bench.call(), call_ids=(), lock_ids=[lock])
    assert list(cleaned["broken_locks"]) == [lock]
    assert {operation["op"] for operation in bench.plan().operations} == {"same"}


def test_nothing_interrupted_is_nothing_resolved(bench: Bench) -> None:
    bench.apply()
    assert list(bench.engine.resolve_pending(bench.call(), on_events=bench.listen)) == []


def test_a_cancel_stops_an_apply_which_can_go_on(bench: Bench) -> None:
    call = bench.call()
    assert not bench.engine.cancel(call.call_id)

    def listen(events: Sequence[Happened]) -> None:
        if any(applies(event) for event in events):
            assert bench.engine.cancel(call.call_id)

    result = bench.apply(call, on_events=listen)
    assert result.outcome == "canceled"
    assert result.error is not None
    assert result.error["code"] == "canceled"
    assert not bench.engine.cancel(call.call_id)
    assert bench.state_digest() == result.state_digest
    assert bench.apply().outcome == "applied"


# --- of the real engine alone ----------------------------------------------------------------
@pytest.fixture
def real(pulumi_cli: Path, emulated: Callable[[], str], tmp_path: Path) -> Bench:
    return pulumi_bench(lambda: pulumi_cli, emulated, tmp_path)


def test_a_listener_that_raises_stops_the_call_and_is_heard(real: Bench) -> None:
    def listen(events: Sequence[Happened]) -> None:
        if any(kind == "lock" for kind, _ in events):
            raise LookupError("cannot store")

    with pytest.raises(LookupError, match="cannot store"):
        real.apply(on_events=listen)
    assert list((real.folder / "calls").iterdir()) == []


def test_the_state_that_a_stopped_call_left_is_known_as_its_own(
    real: Bench, pulumi_cli: Path
) -> None:
    call = real.call()
    applying, returned = threading.Event(), threading.Event()

    def listen(events: Sequence[Happened]) -> None:
        if any(applies(event) for event in events):
            applying.set()

    def apply() -> None:
        real.apply(call, on_events=listen)
        returned.set()

    threading.Thread(target=apply, daemon=True).start()
    assert applying.wait(120)
    assert living_calls(real.folder / "calls") == {call.call_id}
    real.engine.stop_all()
    assert living_calls(real.folder / "calls") == set()
    assert list((real.folder / "calls").iterdir()) == []
    assert not returned.is_set()  # nobody records anything about a call that was cut
    later = pulumi_engine(lambda: pulumi_cli, real.endpoint, real.folder)
    left = later.leftovers(real.call(), known_locks=())
    assert left.written_by == call.call_id
    assert list(left.locks) == []


def test_a_killed_runner_is_told_and_its_lock_is_known(real: Bench) -> None:
    call = real.call()
    told = threading.Event()

    def listen(events: Sequence[Happened]) -> None:
        real.listen(events)
        if any(applies(event) for event in events) and not told.is_set():
            told.set()
            runner = next(p for p in processes_of(call.call_id) if p.ppid() == os.getpid())
            runner.kill()

    with pytest.raises(EngineFailed) as died:
        real.apply(call, on_events=listen)
    assert died.value.data["reason"] == "runner_died"
    assert list((real.folder / "calls").iterdir()) == []
    ours = [body["id"] for kind, body in real.events if kind == "lock"]
    left = real.engine.leftovers(real.call(), known_locks=ours)
    cleaned = real.engine.clean_up(
        real.call(), call_ids=[call.call_id], lock_ids=[lock["id"] for lock in left.locks]
    )
    assert list(cleaned["ended_pids"]) == []  # its guard was faster
    real.engine.resolve_pending(real.call(), on_events=real.listen)
    assert real.apply().outcome == "applied"


def test_no_command_is_an_engine_that_is_not_available(
    emulated: Callable[[], str], tmp_path: Path
) -> None:
    def cli() -> Path:
        raise EngineUnavailable("nothing there")

    bench = pulumi_bench(cli, emulated, tmp_path)
    for act in (bench.engine.ready, bench.plan, bench.apply):
        with pytest.raises(EngineUnavailable):
            act()


def test_a_bad_spec_is_refused_by_field(real: Bench) -> None:
    with pytest.raises(EngineFailed) as refused:
        real.plan(spec={**real.call().spec, "surplus": 1})
    assert refused.value.data["reason"] == "bad_spec"
    assert refused.value.data["details"] == {"problems": ["surplus"]}
