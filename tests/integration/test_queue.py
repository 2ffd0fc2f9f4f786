"""The durable queue on a real PostgreSQL: phases in worker processes that are killed.

A worker is a process (``queue_worker.py``) since DBOS is one per process; what ran when is read
from the file that its phases write.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from control_plane.adapters.db.engine import connect
from control_plane.adapters.dbos.claiming import Claims
from control_plane.adapters.dbos.executor import Executor
from control_plane.adapters.dbos.liveness import Liveness, living_workers
from control_plane.adapters.dbos.queue import DbosQueue
from control_plane.adapters.postgres import EmbeddedPostgres
from control_plane.adapters.postgres.server import SUPERUSER
from control_plane.domain.errors import Unavailable
from control_plane.workflows import PHASES
from tests.databases import Database, drop_database, new_database
from tests.integration.queue_worker import (
    ALREADY_RUNS,
    AT_A_TIME,
    GRACE_SECONDS,
    SWEEP_SECONDS,
)

SOURCE = Path(__file__).resolve().parents[2]
SECONDS = 60.0  # for what should take one or two
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Ran:
    """One go at a phase; ``end`` is None when it did not get there."""

    subject: str
    pid: int
    start: float
    end: float | None


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

    def close(self) -> None:
        """End the workers and the connections."""
        for worker in self._workers:
            self.kill(worker)
        self.engine.dispose()


@pytest.fixture
def plant(
    postgres_server: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> Iterator[Plant]:
    """Each test has a queue of its own: what one leaves, workers of the next would take up."""
    name = new_database(postgres_server, template=migrated_template)
    plant = Plant(Database(server=postgres_server, name=name), tmp_path)
    yield plant
    plant.close()
    drop_database(postgres_server, name)


def test_what_is_rolled_back_was_never_enqueued(plant: Plant) -> None:
    with plant.transaction(keep=False) as queue:
        queue.enqueue("advance_run", "0-a", partition="p", owner="o")
    assert plant.rows() == 0
    plant.enqueue(("0-a", "p"))
    assert plant.rows() == 1


def test_a_phase_of_one_attempt_is_enqueued_once(plant: Plant) -> None:
    plant.enqueue(("0-a", "p"))
    plant.enqueue(("0-a", "p"))
    assert plant.rows() == 1
    plant.enqueue(("0-a", "p"), attempt=2)
    assert plant.rows() == 2


@pytest.mark.parametrize(
    ("phase", "subject", "partition", "owner"),
    [
        ("no_such_phase", "a", "p", "o"),
        ("advance_run", "a", "", "o"),
        ("advance_run", "", "p", "o"),
        ("advance_run", "a", "p", ""),
    ],
)
def test_what_would_never_run_is_refused(
    plant: Plant, phase: str, subject: str, partition: str, owner: str
) -> None:
    with plant.transaction() as queue, pytest.raises(ValueError, match="not a phase"):
        queue.enqueue(phase, subject, partition=partition, owner=owner)
    assert plant.rows() == 0


def test_the_queue_holds_what_a_worker_does_until_it_is_done_and_then_forgets_it(
    plant: Plant,
) -> None:
    def holds() -> bool:
        with plant.transaction() as queue:
            return queue.holds("advance_run", "hold-a", attempt=1)

    plant.enqueue(("hold-a", "p"))
    plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) == 1)
    assert holds()
    assert plant.rows("status = 'PENDING'") == 1
    with plant.transaction() as queue:
        assert queue.forget(datetime.now(UTC) + timedelta(days=1), limit=9) == 0
    plant.let_go()
    plant.wait_done(1)
    assert not holds()
    with plant.transaction() as queue:
        assert queue.forget(datetime.now(UTC) + timedelta(days=1), limit=9) == 1
    with psycopg.connect(plant.database.app) as connection:
        for table in ("workflow_status", "workflow_input", "workflow_output", "operation_outputs"):
            found = connection.execute(f"SELECT count(*) FROM dbos.{table}".encode())  # noqa: S608 - our own words
            assert found.fetchone() == (0,), table


def test_phases_of_one_partition_never_overlap(plant: Plant) -> None:
    partitions, each = 4, 3
    plant.enqueue(
        *((f"0.1-{partition}.{n}", str(partition)) for n in range(each)
          for partition in range(partitions))
    )  # fmt: skip
    workers = {plant.work(name).pid for name in ("one", "two")}
    plant.wait_done(partitions * each)
    ran = plant.ran()
    assert len(ran) == partitions * each
    assert {one.pid for one in ran} <= workers
    for partition in range(partitions):
        mine = [one for one in ran if one.subject.startswith(f"0.1-{partition}.")]
        assert all((a.end or 0.0) <= b.start for a, b in pairwise(mine)), mine


def test_the_global_limit_is_kept_over_all_workers(plant: Plant) -> None:
    limit = 3
    for name in ("one", "two"):
        plant.work(name, limit)
    plant.enqueue(*((f"hold-{n}", str(n)) for n in range(5)))
    plant.wait_for(lambda: len(plant.ran()) == limit)
    time.sleep(1.0)  # ten polls of both
    assert len(plant.ran()) == limit
    plant.let_go()
    plant.wait_done(5)


def test_a_hundred_phases_of_one_owner_delay_another_owner_by_none(plant: Plant) -> None:
    """Whose turn it is goes by owner; the order of claims is what is looked at, not times."""
    plant.enqueue(*((f"0.05-many.{n}", f"many.{n}") for n in range(100)), owner="many")
    worker = plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) > 2 * AT_A_TIME)
    plant.enqueue(*((f"0.05-other.{n}", f"other.{n}") for n in range(3)), owner="other")
    plant.enqueue(("0.05-third.0", "third.0"), owner="third")
    before = len(plant.ran())
    plant.wait_done(104)
    order = [one.subject.partition("-")[2].partition(".")[0] for one in plant.ran()]
    assert {one.pid for one in plant.ran()} == {worker.pid}
    # what was claimed while we looked comes before them; then they take turns with the many
    late = order[before + AT_A_TIME :]
    assert "third" not in late
    assert "other" not in late[2 * 3 :]


def test_owners_take_turns_and_each_has_its_oldest_phase_first(plant: Plant) -> None:
    plant.enqueue(*((f"0-a.{n}", f"a.{n}") for n in range(4)), owner="a")
    plant.enqueue(*((f"0-b.{n}", f"b.{n}") for n in range(3)), owner="b")
    plant.enqueue(("0-c.0", "c.0"), owner="c")
    claims = Claims(plant.engine, "one", globally=100)
    order = [claimed[0].split("-")[1] for claimed in iter(claims.claim, None)]
    assert order == [
        f"{subject}:1" for subject in ("a.0", "b.0", "c.0", "a.1", "b.1", "a.2", "b.2", "a.3")
    ]


def test_of_a_deployment_one_phase_is_claimed_whoever_asks(plant: Plant) -> None:
    plant.enqueue(("0-a", "p"), ("0-b", "p"), ("0-c", "q"))
    one, two = (Claims(plant.engine, name, globally=100) for name in ("one", "two"))
    assert [claims.claim() is not None for claims in (one, two, one, two)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert plant.rows("status = 'PENDING' AND executor_id = 'one'") == 1
    assert plant.rows("status = 'ENQUEUED'") == 1


def test_claims_of_many_workers_at_once_keep_every_limit(plant: Plant) -> None:
    plant.enqueue(*((f"0-{n}", str(n % 8)) for n in range(40)))
    workers = [Claims(plant.engine, f"worker-{n}", globally=5) for n in range(6)]
    with ThreadPoolExecutor(len(workers)) as pool:
        claimed = list(pool.map(lambda claims: [claims.claim() for _ in range(3)], workers))
    taken = [one for each in claimed for one in each if one is not None]
    assert len(taken) == len({phase for phase, _ in taken}) == 5
    assert plant.rows("status = 'PENDING'") == 5
    with psycopg.connect(plant.database.app) as connection:
        query = "SELECT count(DISTINCT queue_partition_key) FROM dbos.workflow_status WHERE status = 'PENDING'"  # noqa: E501
        assert connection.execute(query).fetchone() == (5,)


def test_a_claim_whose_answer_was_lost_is_given_up_and_no_other(plant: Plant) -> None:
    plant.enqueue(("0-a", "p"), ("0-b", "q"), ("0-c", "r"))
    one, two = (Claims(plant.engine, name, globally=100) for name in ("one", "two"))
    lost, held, other = one.claim(), one.claim(), two.claim()
    assert lost is not None
    assert held is not None
    assert other is not None
    assert one.take_back("one", but=[held[1]]) == [lost[0]]
    assert plant.rows("status = 'PENDING'") == 2
    assert one.take_back("one") == [held[0]]
    assert plant.rows("status = 'PENDING' AND executor_id = 'two'") == 1


def test_a_killed_worker_that_starts_again_does_its_phase_again(plant: Plant) -> None:
    plant.enqueue(("hold-a", "p"))
    worker = plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) == 1)
    plant.enqueue(("0-b", "p"))
    plant.kill(worker)
    plant.let_go()
    again = plant.work("one")
    plant.wait_done(2)
    assert [(one.subject, one.pid, one.end is not None) for one in plant.ran()] == [
        ("hold-a", worker.pid, False), ("hold-a", again.pid, True), ("0-b", again.pid, True),
    ]  # fmt: skip


def test_another_worker_takes_over_from_a_dead_one(plant: Plant) -> None:
    plant.enqueue(("hold-a", "p"))
    first = plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) == 1)
    second = plant.work("two")
    time.sleep(2 * GRACE_SECONDS)  # ten looks for dead workers: a living one is left alone
    assert len(plant.ran()) == 1
    plant.kill(first)
    killed = time.monotonic()
    plant.enqueue(("0-b", "p"))
    plant.let_go()
    plant.wait_done(2)
    assert [(one.subject, one.pid, one.end is not None) for one in plant.ran()] == [
        ("hold-a", first.pid, False), ("hold-a", second.pid, True), ("0-b", second.pid, True),
    ]  # fmt: skip
    assert plant.ran()[1].start - killed >= GRACE_SECONDS - 2 * SWEEP_SECONDS


def test_a_worker_that_comes_back_in_time_keeps_its_work(plant: Plant) -> None:
    """Its phase runs on while another worker looks, and is done once."""
    plant.enqueue(("hold-a", "p"))
    first = plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) == 1)
    plant.work("two")
    plant.end_session("one")
    plant.wait_for(lambda: plant.living() == ["one", "two"])  # within the grace
    time.sleep(2 * GRACE_SECONDS)  # ten looks of the other
    plant.let_go()
    plant.wait_done(1)
    assert [(one.subject, one.pid, one.end is not None) for one in plant.ran()] == [
        ("hold-a", first.pid, True)
    ]


def test_a_second_worker_of_the_same_name_does_not_start(plant: Plant) -> None:
    first = plant.work("one")
    twin = plant.start("one")
    _, said = twin.communicate(timeout=SECONDS)
    assert twin.returncode == ALREADY_RUNS
    assert "TENANTPLANE_WORKER_ID" in said
    assert first.poll() is None


def test_a_worker_whose_session_ended_knows_that_it_lost_its_name(plant: Plant) -> None:
    with Liveness(plant.database.app, "one") as one, Liveness(plant.database.app, "two") as two:
        assert one.is_held()
        assert not two.is_dead("one")
        plant.end_session("one")
        assert not one.is_held()
        assert two.is_dead("one")
        assert one.take()
        assert not two.is_dead("one")
        plant.end_session("one")
        with Liveness(plant.database.app, "one") as other:
            assert other.is_held()
            assert not one.take()
            assert not one.is_held()


def test_one_worker_at_a_time_looks_for_dead_ones(plant: Plant) -> None:
    with Liveness(plant.database.app, "one") as one, Liveness(plant.database.app, "two") as two:
        with one.reaping() as is_one, two.reaping() as is_two:
            assert (is_one, is_two) == (True, False)
        with two.reaping() as is_two:
            assert is_two


def test_a_name_cannot_start_while_its_work_is_handed_over(plant: Plant) -> None:
    with Liveness(plant.database.app, "two") as two:
        with two.holding("one") as is_free:
            assert is_free
            assert not Liveness(plant.database.app, "one").take()
        with Liveness(plant.database.app, "one"), two.holding("one") as is_free:
            assert not is_free


def test_a_start_waits_for_somebody_who_only_looks_at_its_name(plant: Plant) -> None:
    started = threading.Event()

    def look() -> None:
        with Liveness(plant.database.app, "two") as two, two.holding("one"):
            started.set()
            time.sleep(1.0)  # what a look takes at most, on a slow day

    looking = threading.Thread(target=look)
    looking.start()
    assert started.wait(20)
    with Liveness(plant.database.app, "one") as one:
        assert one.is_held()
    looking.join(20)


def test_a_name_is_free_again_when_its_worker_ends(plant: Plant) -> None:
    with Liveness(plant.database.app, "one"), pytest.raises(Unavailable):
        Liveness(plant.database.app, "one").__enter__()
    with Liveness(plant.database.app, "one") as again:
        assert again.is_held()


def test_fifty_short_phases_are_each_done_once(plant: Plant) -> None:
    plant.work("one")
    plant.enqueue(*((f"0-{n}", str(n)) for n in range(50)))
    plant.wait_done(50)
    assert len(plant.ran()) == 50


def test_a_worker_at_rest_hears_of_a_phase(plant: Plant) -> None:
    plant.work("one")
    plant.wait_for(plant.is_listening)
    time.sleep(1.0)  # its look at the start is over, and the next would be in an hour
    plant.enqueue(("0-a", "p"), ("0-b", "p"))
    plant.wait_done(2)


def test_a_worker_at_rest_hears_again_after_its_listening_session_ended(plant: Plant) -> None:
    plant.work("one")

    def end_it() -> bool:
        with psycopg.connect(plant.database.admin, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
                " WHERE application_name = 'tenantplane news' AND datname = current_database()"
            ).fetchone()
        return ended == (1,)

    plant.wait_for(end_it)
    plant.enqueue(("0-a", "p"))  # nobody hears it
    plant.wait_for(plant.is_listening)
    plant.enqueue(("0-b", "p"))
    plant.wait_done(2)


def test_a_worker_that_could_not_claim_for_a_while_has_all_its_places_after_it(
    plant: Plant,
) -> None:
    plant.work("one")
    plant.wait_for(plant.is_listening)
    with plant.closed():
        plant.enqueue(*((f"hold-{n}", str(n)) for n in range(AT_A_TIME)))
        time.sleep(AT_A_TIME + 2.0)  # it tries each second
        assert plant.ran() == []
    plant.wait_for(lambda: len(plant.ran()) == AT_A_TIME)
    plant.let_go()
    plant.wait_done(AT_A_TIME)


def test_a_phase_of_another_release_waits_and_stops_nobody(plant: Plant) -> None:
    plant.enqueue(("0-old", "p"), ("0-new", "q"))
    with psycopg.connect(plant.database.admin) as admin:
        admin.execute(
            "UPDATE dbos.workflow_status SET name = 'phase_of_old' WHERE workflow_uuid LIKE '%old%'"
        )
    plant.work("one")
    plant.wait_done(1)
    assert [one.subject for one in plant.ran()] == ["0-new"]
    assert plant.rows("status = 'ENQUEUED'") == 1


def test_a_worker_does_every_phase_that_can_be_enqueued(plant: Plant) -> None:
    some = dict.fromkeys(list(PHASES)[1:], print)
    with pytest.raises(ValueError, match="every phase"):
        Executor(
            plant.database.app, liveness=Liveness(plant.database.app, "one"), phases=some,
            at_a_time=1, globally=1,
        )  # fmt: skip


def test_every_phase_that_the_code_enqueues_exists_and_all_are_used() -> None:
    named = set()
    for path in (SOURCE / "control_plane").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "enqueue"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                named.add(node.args[0].value)
    assert named <= set(PHASES)
    assert {"advance_run", "build_bundle"} == set(PHASES)
