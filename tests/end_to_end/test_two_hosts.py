"""Workers on several hosts: one vanishes, is frozen or cut off, and the database restarts.

Whatever happens, there are never two engines on a stack, no lock of a living engine is broken, no
worker stays dead, and nobody repairs anything by hand. Each place for the state has an installation
of its own, on which everything happens one after the other. While the first run waits until the
lock of a vanished host may be broken, others have their own accidents.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.two_hosts import DOOMED, Facts, TwoHosts, cannot_isolate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

# Longer than everything that somebody waits for before he gives up on the other side: a host that
# is cut off notices after 10 s (20 s for the session that holds its name), the server after 25 s,
# and its work is taken over 10 s later.
PAUSED, BACK = "worker.paused", "worker.reconnected"
CUT_SECONDS = 90
OVERLAP_SECONDS = 3.0  # that an engine without the lock is given to end


@pytest.fixture(scope="module", params=["file", "s3", "postgres"])
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path
) -> Iterator[TwoHosts]:
    """An installation with a Hub and two hosts, its state in one of the three places."""
    reason = cannot_isolate()
    if request.param != "file" and os.environ.get("TESTS_HOSTS") != "all":
        reason = f"{request.param}: for a hand-run with TESTS_HOSTS=all (some ten minutes each)"
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(request.param)
        made = TwoHosts(folder=folder, cli=pulumi_cli, stack=stack, backend=request.param)
        made.install()
        made.start()
        made.make_hub()
        yield made
        assert [s for s, seconds in made.watch.overlap.items() if seconds >= OVERLAP_SECONDS] == []


@pytest.fixture(scope="module")
def bereft(hosts: TwoHosts) -> str:
    """A run whose host has vanished in the middle of its approved apply."""
    with hosts.slow_cloud():
        run_id = hosts.request("B", "bereft")
        hosts.approve(run_id, by=DOOMED)
        hosts.applying(run_id)
        hosts.vanish(DOOMED)
    return run_id


def test_the_hosts_do_not_see_each_other(hosts: TwoHosts) -> None:
    """What the other tests rest on: own names, own processes."""
    spaces = {
        tuple(str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("pid", "uts"))
        for pid in ("self", *(hosts.on(host)[0].pid for host in hosts.hosts))
    }
    assert len({pid for pid, _ in spaces}) == len({uts for _, uts in spaces}) == 3


@pytest.mark.parametrize("what", ["its worker", "all of it"])
def test_a_frozen_host_that_wakes_after_a_take_over_writes_nothing(
    hosts: TwoHosts, bereft: str, what: str, record_facts: Callable[[dict[str, Any]], None]
) -> None:
    """Its engine, if it is not frozen as well, ends meanwhile."""
    with hosts.slow_cloud():
        run_id = hosts.request("A", f"frozen-{what.replace(' ', '-')}")
        victim = hosts.applying(run_id)
        frozen = hosts.on(victim)[: 1 if what == "its worker" else None]
        for process in frozen:
            send(process, signal.SIGSTOP)
    hosts.end_sessions(victim)
    other = hosts.other(victim)
    hosts.until(lambda: hosts.calls_by(run_id, other), "the other host takes over")
    for process in reversed(frozen):
        send(process, signal.SIGCONT)
    facts = applied_once(hosts, run_id)
    record_facts(vars(facts))
    assert facts.take_overs >= 1
    assert facts.stale_calls_refused == 1
    works(hosts, victim, f"after-{what.replace(' ', '-')}")


def test_a_database_that_restarts_ends_no_worker_and_no_run(
    hosts: TwoHosts, bereft: str, record_facts: Callable[[dict[str, Any]], None]
) -> None:
    with hosts.slow_cloud():
        run_id = hosts.request("A", "restarted")
        host = hosts.applying(run_id)
        hosts.server.stop()
        time.sleep(3)
    hosts.server.start()
    facts = applied_once(hosts, run_id)
    record_facts(vars(facts))
    assert facts.stale_calls_refused <= facts.take_overs
    works(hosts, host, "after-restart")


def test_a_host_that_is_cut_off_from_the_database_comes_back_by_itself(
    hosts: TwoHosts, bereft: str, record_facts: Callable[[dict[str, Any]], None]
) -> None:
    """It pauses while another one takes over; what it would write afterwards is refused."""
    with hosts.slow_cloud():
        run_id = hosts.request("A", "cut-off")
        victim = hosts.applying(run_id)
        before = {event: len(hosts.logged(victim, event)) for event in (PAUSED, BACK)}
        hosts.relays[victim].cut()
    mended_at = time.monotonic() + CUT_SECONDS
    hosts.until(lambda: hosts.calls_by(run_id, hosts.other(victim)), "the other host takes over")
    hosts.until(lambda: len(hosts.logged(victim, PAUSED)) > before[PAUSED], "the cut host pauses")
    hosts.until(lambda: time.monotonic() > mended_at, "the network is mended")
    assert len(hosts.logged(victim, BACK)) == before[BACK]
    hosts.relays[victim].mend()
    hosts.until(lambda: len(hosts.logged(victim, BACK)) > before[BACK], "it has its name again")
    facts = applied_once(hosts, run_id)
    record_facts(vars(facts))
    assert facts.take_overs >= 1
    works(hosts, victim, "after-cut")


def test_a_host_that_vanishes_is_replaced(
    hosts: TwoHosts, bereft: str, record_facts: Callable[[dict[str, Any]], None]
) -> None:
    """Its lock is broken when its engine must have stopped, and not before."""
    facts = applied_once(hosts, bereft)
    record_facts(vars(facts))
    assert facts.locks_broken == 1
    assert facts.take_overs >= 1


def applied_once(hosts: TwoHosts, run_id: str) -> Facts:
    """Wait for the end of a run, and check what holds of every one."""
    run = hosts.ended(run_id)
    assert run["status"] == "applied", run["error"]
    assert [check for check in run["checks"] if not check["ok"]] == []
    hosts.exists_once(run_id)
    facts = hosts.facts(run_id)
    assert facts.acts_of_people == 0, facts
    assert facts.engines_at_once >= 1, facts
    # where no lock was broken the backend let one engine in at a time: a second process has given
    # its lock back and ends, or is refused
    assert facts.engines_at_once == 1 or (
        facts.locks_broken == 0 and facts.overlap_seconds < OVERLAP_SECONDS
    ), facts
    return facts


def works(hosts: TwoHosts, host: str, company: str) -> None:
    """Check that all workers live, and that a host does what there is to do."""
    for each in hosts.hosts:
        assert hosts.processes[each].poll() is None, hosts.said(each)
    with hosts.only(host):
        run_id = hosts.request("A", company)
        hosts.until(lambda: hosts.calls_by(run_id, host), f"{host} works")
    assert hosts.ended(run_id)["status"] == "applied"


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
