"""A queue of its own, with workers that are processes (``queue_worker.py``): DBOS is one a process.

What ran when is read from the file that the phases write.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from control_plane.adapters.db.engine import connect
from control_plane.adapters.dbos.liveness import living_workers
from control_plane.adapters.dbos.queue import DbosQueue
from control_plane.adapters.postgres.server import SUPERUSER
from tests.databases import Database

SOURCE = Path(__file__).resolve().parents[2]
SECONDS = 60.0  # for what should take one or two


@dataclass(frozen=True)
class Ran:
    """One go at a phase; ``end`` is None when it did not get there."""

    subject: str
    pid: int
    start: float
    end: float | None


_OF_ITSELF = {"retention", "intake_look"}  # timers that a new installation has


class Plant:
    """A database with the queue's tables, and workers on it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.log = folder / "phases.log"
        self._workers: list[subprocess.Popen[str]] = []
        self.engine = connect(database.app, name="plant", overflow=8)

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Iterator[DbosQueue]:
        """Give the queue of one transaction; ``keep`` commits it."""
        with self.engine.connect() as connection:
            yield DbosQueue(connection)
            if keep:
                connection.commit()

    def enqueue(
        self, *subjects: tuple[str, str], owner: str | None = None, attempt: int = 1
    ) -> None:
        """Enqueue (subject, partition) in one transaction; each partition is its own owner."""
        with self.transaction() as queue:
            for subject, partition in subjects:
                queue.enqueue(
                    "advance_run", subject,
                    partition=partition, owner=owner or partition, attempt=attempt,
                )  # fmt: skip

    def work(self, name: str, globally: int = 10) -> subprocess.Popen[str]:
        """Start a worker; it is ready when this returns."""
        worker = self.start(name, globally)
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            _, said = worker.communicate(timeout=SECONDS)
            pytest.fail(f"the worker did not start: {said}")
        return worker

    def start(self, name: str, globally: int = 10) -> subprocess.Popen[str]:
        """Start a worker process."""
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.queue_worker", self.database.app, name,
             str(self.log), str(globally)],
            cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._workers.append(worker)
        return worker

    def end_session(self, name: str) -> None:
        """End the session that holds a worker's name, as a fail-over of the database does."""
        with psycopg.connect(self.database.admin, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = %s AND datname = current_database()",
                [f"worker {name}"],
            ).fetchall()
        assert ended == [(True,)]

    def living(self) -> list[str]:
        """Return the workers that hold their names."""
        with self.engine.connect() as connection:
            return living_workers(connection)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody connect anew meanwhile, and end the sessions that claim."""
        allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        name = sql.Identifier(self.database.name)
        elsewhere = self.database.server.url(SUPERUSER, "postgres")
        self.engine.connect().close()  # the pool keeps it: enqueuing works all the same
        with psycopg.connect(elsewhere, autocommit=True) as admin:
            admin.execute(allow.format(name, sql.SQL("false")))
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = 'tenantplane claims' AND datname = %s",
                [self.database.name],
            )
            yield
            admin.execute(allow.format(name, sql.SQL("true")))

    def is_listening(self) -> bool:
        """Tell whether a worker hears notices of the queue."""
        with psycopg.connect(self.database.app) as connection:
            query = "SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN \"phases\"'"
            return connection.execute(query).fetchone() is not None

    def kill(self, worker: subprocess.Popen[str]) -> None:
        """Kill a worker without a word."""
        worker.kill()
        worker.communicate(timeout=SECONDS)

    def let_go(self) -> None:
        """Let the phases end that hold."""
        self.log.with_suffix(".go").touch()

    def ran(self) -> list[Ran]:
        """Return what the phases wrote down, in order of their start."""
        found: list[Ran] = []
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            what, _, subject, pid, at = line.split()
            if what == "start":
                found.append(Ran(subject, int(pid), float(at), None))
                continue
            (number,) = [
                n for n, one in enumerate(found)
                if (one.subject, one.pid, one.end) == (subject, int(pid), None)
            ]  # fmt: skip
            found[number] = Ran(subject, int(pid), found[number].start, float(at))
        return found

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.ran()
            time.sleep(0.05)

    def wait_done(self, count: int) -> None:
        """Wait until the queue has recorded the end of so many phases."""
        self.wait_for(lambda: self.rows("status = 'SUCCESS'") == count)

    def rows(self, where: str = "true") -> int:
        """Count phases that the queue knows."""
        with psycopg.connect(self.database.app) as connection:
            query = f"SELECT count(*) FROM dbos.workflow_status WHERE {where}"  # noqa: S608 - the tests' own words
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def timers(self) -> list[tuple[str, str]]:
        """Return the kinds and subjects of the timers that are set, sorted."""
        with psycopg.connect(self.database.app) as connection:
            rows = connection.execute("SELECT kind, subject FROM timer ORDER BY 1, 2").fetchall()
        return [(str(kind), str(subject)) for kind, subject in rows if kind not in _OF_ITSELF]

    def close(self) -> None:
        """End the workers and the connections."""
        for worker in self._workers:
            self.kill(worker)
        self.engine.dispose()
