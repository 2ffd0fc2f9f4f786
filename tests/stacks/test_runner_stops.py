"""Whoever dies and whenever: the engine stops, and nothing is left running or lying about."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.signals import signal_another_thread
from tests.stacks.cloud_process import CloudProcess, silent
from tests.stacks.runner_calls import (
    PASSPHRASE,
    Desk,
    begun,
    gone,
    kill_everything,
    phase_begins,
    processes_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MakeDesk = Callable[..., Desk]

KEY = "aws:kms/key:Key"


def left_clean(desk: Desk, call_id: str) -> None:
    """Check that processes, folder and lock of a call are gone."""
    assert gone(call_id, within_seconds=60), processes_of(call_id)
    assert list(desk.work.iterdir()) == []
    assert desk.locks() == []


def test_an_apply_that_is_canceled_keeps_what_it_made_however_often_it_is_asked(
    desk: Desk,
) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        for _ in range(10):
            running.send("cancel")
        running.process.send_signal(signal.SIGTERM)
        last = running.finish().last
    assert (last["code"], last["changed"]) == ("canceled", True), last
    left_clean(desk, running.call_id)
    exported = desk.result("inspect")
    assert exported["state_digest"] == last["state_digest"]
    assert exported["pending"] == []
    assert exported["written_by"] == running.call_id
    # and it can go on
    assert desk.result("up")["outcome"] == "applied"


def test_who_may_hold_the_lock_is_told_before_anything_is_made(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        (lock,) = desk.stored.locks()
        living = {p.pid for p in processes_of(running.call_id)}
        others = {running.process.pid, *(p.pid for p in running.engines())}
        running.finish()
    assert lock.call_id == running.call_id
    assert lock.pid in living - others
    assert running.last["message"] == "result"


def test_cancel_during_a_preview_changes_nothing(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: phase_begins(m, "plan"))
        running.send("cancel")
        last = running.finish().last
    assert (last["code"], last["changed"]) == ("canceled", False)
    left_clean(desk, running.call_id)


def test_the_end_of_a_phases_deadline_stops_the_engine(desk: Desk) -> None:
    with desk.start("preview", deadlines={"plan_seconds": 0.2}) as running:
        last = running.finish().last
    assert (last["code"], last["data"]["phase"]) == ("deadline", "plan")
    left_clean(desk, running.call_id)


def test_an_engine_that_hangs_is_ended_with_its_providers(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    deadlines = {"apply_seconds": 4.0, "stop_seconds": 1.0}
    with desk.start("up", deadlines=deadlines) as running:
        running.until(lambda m: phase_begins(m, "apply"))
        with silent(runner_cloud):
            last = running.finish().last
            assert gone(running.call_id, within_seconds=10)
    assert (last["code"], last["data"]["phase"]) == ("deadline", "apply")
    assert list(desk.work.iterdir()) == []


def test_a_signal_at_the_gate_is_heard_whichever_thread_takes_it(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        time.sleep(1)  # its main thread waits by now
        signal_another_thread(running.process.pid, signal.SIGTERM)
        last = running.until(lambda m: m["message"] == "failure")
        running.process.wait(timeout=60)
    assert (last["code"], last["changed"]) == ("canceled", False), last
    left_clean(desk, running.call_id)


def test_the_parents_death_stops_the_engine(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        running.hang_up()
        outcome = running.finish()
    assert outcome.code == 2
    assert outcome.last["code"] == "parent_gone"
    left_clean(desk, running.call_id)
    assert desk.result("inspect")["written_by"] == running.call_id


def test_the_parents_death_at_the_gate_calls_nothing(desk: Desk) -> None:
    with desk.start("up", gate=True) as running:
        running.until(lambda m: m["message"] == "planned")
        running.hang_up()
        outcome = running.finish()
    assert (outcome.code, outcome.last["changed"]) == (2, False)
    left_clean(desk, running.call_id)
    assert desk.state().get("resources", []) == []


@pytest.mark.parametrize("phase", ["plan", "apply", "verify"])
def test_a_killed_runner_leaves_nothing_running(desk: Desk, phase: str) -> None:
    with desk.start("up", deadlines={"stop_seconds": 20.0}) as running:
        running.until(lambda m: begun(m, KEY) if phase == "apply" else phase_begins(m, phase))
        if phase == "plan":
            time.sleep(0.7)  # into the engine's start
        running.process.kill()
        assert gone(running.call_id, within_seconds=60), processes_of(running.call_id)
    assert list(desk.work.iterdir()) == []


def test_a_runner_that_is_killed_as_it_looks_leaves_no_provider(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    desk.result("up", verify=False)
    with desk.start("look") as running:
        running.until(lambda m: phase_begins(m, "verify"))
        with silent(runner_cloud):
            time.sleep(0.7)  # into the provider's start
            assert running.process.poll() is None
            running.process.kill()
            assert gone(running.call_id, within_seconds=60), processes_of(running.call_id)
    assert list(desk.work.iterdir()) == []


def test_a_killed_engine_is_told_and_its_providers_are_ended(
    desk: Desk, runner_cloud: CloudProcess
) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        with silent(runner_cloud):
            desk.until_pending()
            (engine,) = running.engines()
            engine.kill()
            last = running.finish().last
    assert last["code"] == "engine_died"
    assert last["changed"]
    assert last["state_digest"] == desk.state_digest()
    assert gone(running.call_id, within_seconds=5)
    assert list(desk.work.iterdir()) == []
    assert desk.locks() == []  # the keeper has given the stack back, with what the engine told it
    seen = desk.result("inspect")
    assert seen["written_by"] == running.call_id
    assert seen["pending"] != []  # the create that it had begun
    assert desk.failure("up")["code"] == "pending_unresolved"


def test_clean_up_ends_a_dead_call_and_breaks_its_lock_by_name_alone(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        kill_everything(running.call_id)
        running.process.wait(timeout=30)
    ours = desk.locks()
    assert len(ours) == 1
    left = desk.result("inspect")
    assert [(lock["id"], lock["call_id"], lock["alive"]) for lock in left["locks"]] == [
        (ours[0], running.call_id, False)
    ]
    assert left["written_by"] is None
    absent = "4711"
    cleaned = desk.result("clean_up", break_locks=[absent], end_calls=[running.call_id])
    assert cleaned["broken_locks"] == []
    assert desk.locks() == ours
    cleaned = desk.result("clean_up", break_locks=[absent, *ours], end_calls=[running.call_id])
    assert cleaned["broken_locks"] == ours
    after = desk.result("inspect")
    assert (after["locks"], after["written_by"]) == ([], running.call_id)
    assert (after["state_digest"], after["pending"]) == (left["state_digest"], left["pending"])
    foreign = desk.hold_lock()
    assert desk.result("clean_up", break_locks=ours)["broken_locks"] == []
    assert desk.locks() == [foreign]


def test_clean_up_ends_processes_that_still_run(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        # without runner and guard, as after a kill of both; the engine goes on by itself
        for process in processes_of(running.call_id):
            if process.cmdline()[1:3] == ["-m", "stacks"]:
                process.suspend()
        cleaned = desk.result(
            "clean_up", end_calls=[running.call_id], deadlines={"stop_seconds": 1.0}
        )
        assert len(cleaned["ended_pids"]) >= 3
        assert gone(running.call_id, within_seconds=1)


def test_clean_up_has_a_living_call_finish_the_steps_in_progress(desk: Desk) -> None:
    with desk.start("up") as running:
        running.until(lambda m: begun(m, KEY))
        cleaned = desk.result(
            "clean_up", end_calls=[running.call_id], deadlines={"stop_seconds": 30.0}
        )
        assert running.process.pid in cleaned["ended_pids"]
        assert gone(running.call_id, within_seconds=10)
    left = desk.result("inspect")
    assert (left["locks"], left["pending"]) == ([], [])
    assert left["written_by"] == running.call_id
    assert KEY in {r["type"] for r in desk.state()["resources"]}
    assert desk.result("up")["outcome"] == "applied"


def test_a_call_cannot_end_itself(desk: Desk) -> None:
    refused = desk.failure("clean_up", call_id="run_1.1", end_calls=["run_1.1"])
    assert refused["code"] == "bad_request"


def test_what_is_no_lock_id_breaks_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.result("up", verify=False)
    lock = desk.hold_lock()
    victim = tmp_path / "victim.json"
    victim.write_text("{}")
    files = sorted(desk.records.iterdir())
    others = (
        str(victim.with_suffix("")),
        "../../victim",
        "",
        f"0{lock}",
        f" {lock}",
        files[-1].name,
    )
    cleaned = desk.result("clean_up", break_locks=others)
    assert cleaned["broken_locks"] == []
    assert victim.exists()
    assert sorted(desk.records.iterdir()) == files
    assert desk.locks() == [lock]


def test_secrets_are_on_no_command_line(desk: Desk) -> None:
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    text = path.read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                if "pulumi" in text or "stacks" in text:
                    seen.append(text)

    watcher = threading.Thread(target=watch)
    watcher.start()
    outcome = desk.call("up", gate=True)
    stop.set()
    watcher.join()
    assert outcome.last["message"] == "result"
    assert any("--strict" in line for line in seen)  # it did look
    secrets = (PASSPHRASE, "5e" * 32)
    assert not [line for line in seen if any(s in line for s in secrets)]
    said = str([outcome.planned, outcome.last, outcome.events]) + outcome.noise
    assert not [s for s in secrets if s in said]
