"""The warm parent of the runners: what it gives to one, and that nothing else passes."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from control_plane.adapters.pulumi.runner_parent import RunnerParent
from control_plane.adapters.pulumi.runner_process import runner_environment
from control_plane.adapters.secrets import FileSecretStore
from control_plane.domain.errors import EngineUnavailable
from control_plane.ports.engine import EngineEvent, EnginePlan, GateAnswer
from stacks.engine.processes import marked
from tests.contracts.engine_bench import NUMBERS, ROOT, Bench, pulumi_bench
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import is_provider, tree_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE = 120  # seconds for what takes none on a quiet machine


@pytest.fixture
def parent() -> Iterator[RunnerParent]:
    made = RunnerParent(source=ROOT, environment=runner_environment(sandbox=True), sandbox=True)
    yield made
    made.close()


@pytest.fixture
def bench(
    pulumi_cli: Path, runner_cloud: CloudProcess, tmp_path: Path, parent: RunnerParent
) -> Bench:
    return pulumi_bench(lambda: pulumi_cli, runner_cloud.endpoint, tmp_path, runners=parent)


def process_of(parent: RunnerParent) -> psutil.Process:
    """Return the parent's process."""
    assert parent._process is not None
    return psutil.Process(parent._process.pid)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield everything that a process has in memory of its own."""
    writable = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for found in filter(None, map(writable.match, maps)):
            begin, end = (int(place, 16) for place in found.groups())
            memory.seek(begin)
            try:
                yield memory.read(end - begin)
            except OSError:
                continue  # of the kernel: [vvar]


def holds(pid: int, secret: str) -> bool:
    return any(secret.encode() in part for part in memory_of(pid))


def test_two_calls_side_by_side_share_nothing(bench: Bench, parent: RunnerParent) -> None:
    """What makes a call its own: secrets, streams, folder, environment, processes."""
    calls = [each.call() for each in (bench, replace(bench, number=next(NUMBERS)))]
    Waiting(parent, "probe").close()
    try:
        next(memory_of(process_of(parent).pid))
    except PermissionError:
        pytest.skip("the memory of other processes may not be read on this machine")
    store = FileSecretStore(bench.folder / "master.key")
    made = [store.stack_keys(call.deployment_id, call.salt) for call in calls]
    secrets = [each.passphrase for each in made]
    keys = [each.hmac_key.hex() for each in made]
    both_wait, may_go = threading.Barrier(3), threading.Event()

    def gate(_: EnginePlan) -> GateAnswer:
        both_wait.wait(PATIENCE)
        assert may_go.wait(PATIENCE)
        return GateAnswer.PROCEED

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(bench.apply, call, gate=gate) for call in calls]
        try:
            both_wait.wait(PATIENCE)
            families = [marked([call.call_id]) for call in calls]
            runners = [
                next(p for p in family if p.ppid() == process_of(parent).pid) for family in families
            ]
            for mine, other in ((0, 1), (1, 0)):
                assert holds(runners[mine].pid, secrets[mine])
                assert not holds(runners[mine].pid, secrets[other])
                environments = "".join(str(p.environ()) for p in families[mine])
                assert not [secret for secret in secrets if secret in environments]
                # Guard and provider are forked from what has never had the request; the keeper is
                # told of it what it needs.
                below = [p for p in families[mine] if p.name() != "pulumi"]
                below.remove(runners[mine])
                (keeper,) = (p for p in below if holds(p.pid, secrets[mine]))
                below.remove(keeper)
                assert len(below) == 2
                assert any(map(is_provider, below))
                for process in (*below, keeper):
                    assert not holds(process.pid, secrets[other])
                    assert not holds(process.pid, keys[mine])
                assert holds(runners[mine].pid, keys[mine])
            assert not any(holds(process_of(parent).pid, secret) for secret in secrets)
            assert pipes_of(runners[0].pid).isdisjoint(pipes_of(runners[1].pid))
            assert not pipes_of(process_of(parent).pid)
            assert {p.pid for p in families[0]}.isdisjoint(p.pid for p in families[1])
        finally:
            may_go.set()
        assert [result.result(PATIENCE).outcome for result in results] == ["applied", "applied"]
    assert [p for call in calls for p in marked([call.call_id])] == []


def pipes_of(pid: int) -> set[str]:
    links = (str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {link for link in links if link.startswith("pipe:")}


def test_it_has_one_thread_and_speaks_to_its_caller_alone(parent: RunnerParent) -> None:
    Waiting(parent, "call-1").close()
    process = process_of(parent)
    assert process.num_threads() == 1
    assert process.net_connections() == []
    assert process.environ()["TENANTPLANE_CALL_ID"].strip() == ""


class Waiting:
    """A runner that waits for its request."""

    def __init__(self, parent: RunnerParent, call_id: str) -> None:
        self.forked = parent.start(call_id)

    def close(self) -> None:
        """Close its input, which ends it."""
        self.forked.stdin.close()
        assert self.forked.wait(PATIENCE)
        assert self.forked.stdout.read() == b""
        for stream in (self.forked.stdout, self.forked.stderr):
            stream.close()
        self.forked.close()


def test_a_runner_carries_the_mark_of_its_call(parent: RunnerParent) -> None:
    one, two = Waiting(parent, "run_1.1"), Waiting(parent, "run_2.1")
    for call_id, each in (("run_1.1", one), ("run_2.1", two)):
        until(lambda call_id=call_id: len(marked([call_id])) == 2)
        runner, guard = marked([call_id])
        assert (runner.pid, guard.ppid()) == (each.forked.pid, each.forked.pid)
    for each in (one, two):
        each.close()
    assert marked(["run_1.1", "run_2.1"]) == []


def test_it_ends_when_there_is_no_call_for_a_while_and_is_started_again() -> None:
    parent = RunnerParent(
        source=ROOT, environment=runner_environment(sandbox=True), idle_seconds=0.0
    )
    first = Waiting(parent, "call-1")
    process = process_of(parent)
    time.sleep(6)  # longer than it takes to look: a runner that lives keeps it
    assert process.is_running()
    first.close()
    until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    Waiting(parent, "call-2").close()
    assert process_of(parent).pid != process.pid
    parent.close()


def test_a_call_outlives_its_parent_and_the_next_gets_another(
    bench: Bench, parent: RunnerParent
) -> None:
    killed: list[int] = []

    def listen(events: Sequence[EngineEvent]) -> None:
        if not killed and ("phase", {"phase": "apply", "status": "started"}) in events:
            killed.append(process_of(parent).pid)
            process_of(parent).kill()

    assert bench.apply(on_events=listen).outcome == "applied"
    assert bench.apply().outcome == "applied"
    assert process_of(parent).pid not in killed


def test_it_ends_with_its_caller(parent: RunnerParent) -> None:
    Waiting(parent, "call-1").close()
    process = process_of(parent)
    assert parent._socket is not None
    parent._socket.close()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


# Appended to the module that is the provider's process.
_TELLING = """

def main(arguments, main=main):
    import json
    facts = {{
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "leads": os.getsid(0) == os.getpid(),
        "open": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],  # but the one that lists
        "streams": [os.readlink(f"/proc/self/fd/{{each}}") for each in range(3)],
        "default": all(
            signal.getsignal(each) == signal.SIG_DFL for each in (signal.SIGTERM, signal.SIGHUP)
        ),
    }}
    Path({path!r}).write_text(json.dumps(facts))
    return main(arguments)
"""


def test_a_forked_provider_has_what_it_is_given_and_nothing_else(
    pulumi_cli: Path, runner_cloud: CloudProcess, tmp_path: Path
) -> None:
    tree, told = tree_in(tmp_path), tmp_path / "told"
    module = tree / "stacks" / "sandbox" / "provider" / "__main__.py"
    module.write_text(module.read_text() + _TELLING.format(path=str(told)))
    passed = {**runner_environment(sandbox=True), "TENANTPLANE_PULUMI_PLUGINS": "/nowhere"}
    parent = RunnerParent(source=tree, environment=passed, sandbox=True)
    bench = pulumi_bench(lambda: pulumi_cli, runner_cloud.endpoint, tmp_path, runners=parent)
    call = bench.call()
    try:
        assert bench.apply(call).outcome == "applied"
    finally:
        parent.close()
    facts = json.loads(told.read_text())
    given = facts["environment"]
    passphrase = (
        FileSecretStore(tmp_path / "master.key").stack_keys(call.deployment_id, None).passphrase
    )
    assert given["TENANTPLANE_CALL_ID"] == call.call_id
    assert not [value for value in given.values() if passphrase in value]
    assert given["AWS_ENDPOINT_URL"] == runner_cloud.endpoint
    assert given.keys().isdisjoint(
        {"TENANTPLANE_PULUMI_PLUGINS", "PYTHONPATH", "PULUMI_ACCESS_TOKEN"}
    )
    assert facts["folder"].endswith(call.call_id)
    assert facts["open"] == ["0", "1", "2"]
    nothing, output, noise = facts["streams"]
    assert (nothing, noise) == ("/dev/null", "/dev/null")
    assert output.startswith(f"{facts['folder']}/provider-")
    assert facts["leads"]
    assert facts["default"]


@pytest.mark.parametrize("why", ["no such folder", "it ends at once"])
def test_one_that_cannot_start_is_an_engine_that_is_not_available(tmp_path: Path, why: str) -> None:
    environment = {"PYTHONHOME": str(tmp_path)} if why == "it ends at once" else {}
    source = tmp_path / "gone" if why == "no such folder" else ROOT
    parent = RunnerParent(source=source, environment=environment)
    with pytest.raises(EngineUnavailable, match="parent of the runners"):
        parent.start("call-1")
    assert parent._process is None
