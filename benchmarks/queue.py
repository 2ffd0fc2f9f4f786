"""How soon and in whose order the queue starts runs.

The runs are real ones up to the call of the engine, which a stand-in takes (``stand_in.py``): what
an engine does with its first seconds is measured elsewhere.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.figures import Figure
from benchmarks.site import REGION, Site, request_body
from benchmarks.stand_in import HOLD, STARTED
from benchmarks.under_way import wait_until_idle
from control_plane.adapters.db.listening import PHASES, start_listening
from control_plane.bootstrap import SOURCE
from control_plane.cli.children import Child

STARTS: Final = 150
LONGEST_PAUSE: Final = 0.5  # seconds between two runs
QUEUED: Final = 100  # runs of one owner
HOLD_SECONDS: Final = 0.4  # of each of them
SINGLES: Final = 5  # runs of others that come while those wait
_WAIT_SECONDS: Final = 120.0


def measure(site: Site) -> list[Figure]:
    """Measure starts with free workers, then those of others beside a hundred runs of one."""
    with _worker(site, hold_seconds=0.0) as notes:
        delays = _delays(site, notes)
    seconds, claimed = sorted(sum(delay) for delay in delays), sorted(delay[0] for delay in delays)
    with _worker(site, hold_seconds=HOLD_SECONDS) as notes:
        before = _started_before(site, notes)
    return [
        Figure(
            name="enqueued to engine started, free worker, p99",
            value=_p99(seconds), unit="s", target=0.4,
            detail=f"p50 {statistics.median(seconds):.3f}; claimed p50 "
            f"{statistics.median(claimed):.3f}, p99 {_p99(claimed):.3f}; "
            f"{len(seconds)} runs, engine stood in",
        ),
        Figure(
            name="runs of an owner with 100 that start before another's",
            value=max(before), unit="runs", target=1,
            detail=f"{', '.join(map(str, before))}; two at a time, engine stood in",
        ),
    ]  # fmt: skip


def _p99(ascending: list[float]) -> float:
    return ascending[int(0.99 * len(ascending))]


def _delays(site: Site, notes: Path) -> list[tuple[float, float]]:
    """Start runs one after the other; return the seconds of each from the commit that enqueued it
    until it was claimed, and from then until it reached the engine.
    """
    pauses = random.Random(1)  # noqa: S311 - the same pauses each time
    runs: list[str] = []
    enqueued: dict[str, float] = {}

    def hear(phase: str | None) -> None:
        enqueued.setdefault((phase or "").partition(":")[2].partition(":")[0], time.time())

    start_listening(site.database_url, PHASES, hear)  # as the worker: a notice comes at the commit
    for number in range(STARTS):
        runs.append(_request(site, f"starts-{number}"))
        _wait(lambda: runs[-1] in _started(notes))
        time.sleep(pauses.uniform(0, LONGEST_PAUSE))
    started, claimed = _started(notes), _claimed(site)
    return [(claimed[run] - enqueued[run], started[run] - claimed[run]) for run in runs]


def _started_before(site: Site, notes: Path) -> list[int]:
    """Let one owner queue many runs, then others one each; return how many of the many started
    between the answer to each of the others and its start.
    """
    for number in range(QUEUED):
        body = {"region": REGION, "cell": f"q{number}", "capacity": 1}
        site.admin.post("/v1/hubs", body)
    _wait(lambda: len(_started(notes)) > 3)  # the worker is busy with them
    singles: dict[str, float] = {}
    for number in range(SINGLES):
        single = _request(site, f"single-{number}")
        singles[single] = time.time()
        _wait(partial(_has_started, notes, single))
    started = _started(notes)
    if len(started) == QUEUED + SINGLES:
        raise SystemExit("the runs of one owner were done too soon: nothing was measured")
    return [
        sum(asked < at < started[single] for run, at in started.items() if run not in singles)
        for single, asked in singles.items()
    ]


def _request(site: Site, key: str) -> str:
    """Request a tenant with a dedicated Hub, whose plan waits for nothing; returns its run."""
    found = site.automation.post("/v1/provisioning-requests", request_body(key, mode="B"))
    return str(found["run_id"])


@contextmanager
def _worker(site: Site, *, hold_seconds: float) -> Iterator[Path]:
    """Let the stand-in work in place of the installation's worker; gives the file of its notes.

    It ends what was enqueued for it: the worker has an engine, which would plan all of that.
    """
    own = next(child for child in site.running.children if child.name == "worker")
    own.stop()
    notes = site.parts.home.folder / STARTED
    notes.write_text("")
    environment = {**own.environment, HOLD: str(hold_seconds)}
    command = [sys.executable, "-m", "benchmarks.stand_in"]
    stand_in = Child("stand-in", command, environment, own.log.with_name("stand-in.log"), SOURCE)
    stand_in.start()
    try:
        stand_in.wait_until_ready()
        yield notes
        wait_until_idle(site)
    finally:
        stand_in.stop()
        own.start()
        own.wait_until_ready()


def _started(notes: Path) -> dict[str, float]:
    """Return when each run reached the engine first."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return {run: float(at) for run, at in reversed(lines)}


def _claimed(site: Site) -> dict[str, float]:
    """Return when the first phase of each run was claimed."""
    query = """
        SELECT split_part(workflow_uuid, ':', 2), min(started_at_epoch_ms) / 1000.0
        FROM dbos.workflow_status WHERE started_at_epoch_ms IS NOT NULL GROUP BY 1
    """
    with psycopg.connect(site.database_url) as connection:
        return {run: float(at) for run, at in connection.execute(query)}


def _has_started(notes: Path, run: str) -> bool:
    return run in _started(notes)


def _wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("the stand-in did not start a run")
        time.sleep(0.01)
