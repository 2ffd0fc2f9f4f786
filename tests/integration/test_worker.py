"""The worker process itself: a session that ends under it, and a name that somebody else has.

What it works on is a run that waits for a row that the test has locked, and then finds no Hub: the
engine is not needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from control_plane.adapters.dbos.liveness import Liveness
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.run import BlockedOn, Run, RunStatus
from tests.entities import Entities
from tests.storage import Storage

SOURCE = Path(__file__).resolve().parents[2]
SECONDS = 60.0  # for what should take a few
NAME = "one"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


class Worker:
    """A worker process over a database, with its files in a folder."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        self._log = folder / "worker.log"
        # nothing of the machine's own settings
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TENANTPLANE_")}
        environment |= {
            "TENANTPLANE_HOME": str(folder / "home"),
            "TENANTPLANE_WORKER_ID": NAME,
            "TENANTPLANE_DATABASE_URL": storage.database.app,
            "TENANTPLANE_DATABASE_AUDITOR_URL": storage.database.auditor,
            "TENANTPLANE_SANDBOX_URL": "http://127.0.0.1:9",  # there is no cloud
            "TENANTPLANE_LOG_FORMAT": "json",
        }
        tool = [sys.executable, "-m", "control_plane.cli"]
        subprocess.run(
            [*tool, "keys", "create"], cwd=SOURCE, env=environment, check=True, capture_output=True
        )
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*tool, "worker"], cwd=SOURCE, env=environment, stdout=log, stderr=log
            )

    def said(self) -> str:
        """Return its log."""
        return self._log.read_text()

    def has_said(self, event: str) -> bool:
        """Tell whether its log has an event."""
        return f'"{event}"' in self.said()

    def sessions(self) -> list[int]:
        """Return the processes of the server that hold its name."""
        with psycopg.connect(self._storage.database.admin) as admin:
            rows = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
                " AND datname = current_database()",
                [f"worker {NAME}"],
            ).fetchall()
        return [pid for (pid,) in rows]

    def end_session(self) -> None:
        """End the session that holds its name, as a fail-over of the database does."""
        with psycopg.connect(self._storage.database.admin, autocommit=True) as admin:
            for pid in self.sessions():
                admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)


@pytest.fixture
def worker(storage: Storage, tmp_path: Path) -> Iterator[Worker]:
    """A worker that is ready."""
    worker = Worker(storage, tmp_path)
    try:
        worker.wait_for(lambda: worker.has_said("worker.ready"))
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait(SECONDS)


@contextmanager
def working(storage: Storage, worker: Worker) -> Iterator[Run]:
    """A run that the worker is on, until the end of the context: its row is locked."""
    make = Entities()
    tenant = make.tenant(region="eu-west-1", mode="A")
    deployment = make.deployment(tenant, kind=DeploymentKind.SLICE, account_id="")
    run = make.run(deployment)
    with storage.unit_of_work() as uow:
        uow.tenants.add(tenant)
        uow.deployments.add(deployment)
        uow.runs.add(run)
        uow.commit()
    with storage.unit_of_work() as uow:
        uow.deployments.get(deployment.id, lock=True)
        uow.runs.get(run.id, lock=True)
        with storage.unit_of_work() as other:
            other.queue.enqueue("advance_run", run.id, partition=deployment.id, owner=tenant.id)
            other.commit()
        worker.wait_for(lambda: worker.has_said("phase.started"))
        yield run


def test_a_worker_whose_session_ends_takes_its_name_again_and_loses_nothing(
    storage: Storage, worker: Worker
) -> None:
    (before,) = worker.sessions()
    with working(storage, worker) as run:
        worker.end_session()
        worker.wait_for(lambda: worker.sessions() not in ([], [before]))
    worker.wait_for(lambda: storage.enqueued() == [(f"advance_run:{run.id}:1", "SUCCESS")])
    assert worker.process.poll() is None
    with storage.unit_of_work() as uow:
        found = uow.runs.get(run.id)
    assert found is not None
    assert (found.status, found.blocked_on) == (RunStatus.BLOCKED, BlockedOn.HUB_UNAVAILABLE)
    assert (found.deaths, found.turn, found.is_working) == (0, 1, False)
    assert worker.said().count('"phase.started"') == 1
    assert worker.has_said("worker.reconnected")


def test_a_worker_whose_name_another_process_holds_ends(storage: Storage, worker: Worker) -> None:
    other = Liveness(storage.database.app, NAME)
    with working(storage, worker) as run:
        worker.end_session()
        while not other.take():  # it may have been quicker than this
            worker.end_session()
        try:
            assert worker.process.wait(SECONDS) == 1
        finally:
            other.__exit__()
    assert worker.has_said("worker.name_taken")
    assert storage.enqueued() == [(f"advance_run:{run.id}:1", "PENDING")]  # whoever has it goes on


def test_a_worker_that_lost_its_name_leaves_the_calls_of_the_one_that_has_it(
    storage: Storage, worker: Worker
) -> None:
    other = Liveness(storage.database.app, NAME)
    worker.end_session()
    while not other.take():
        worker.end_session()
    make = Entities()
    tenant = make.tenant(region="eu-west-1", mode="A")
    deployment = make.deployment(tenant, kind=DeploymentKind.SLICE, account_id="")
    run = make.run(deployment, is_working=True)
    with storage.unit_of_work() as uow:
        uow.tenants.add(tenant)
        uow.deployments.add(deployment)
        uow.runs.add(run)
        uow.calls.add(make.call(run, worker=NAME))
        uow.commit()
    try:
        assert worker.process.wait(SECONDS) == 1
    finally:
        other.__exit__()
    assert worker.has_said("worker.name_taken")
    with storage.unit_of_work() as uow:
        (call,), found = uow.calls.find(run_id=run.id), uow.runs.get(run.id)
    assert call.outcome is None
    assert found is not None
    assert found.is_working
