"""What the durable queue keeps of its phases, and what it forgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from control_plane.ports.rows import QueuePlace
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

PLACES = {
    "ENQUEUED": QueuePlace.WAITING,
    "DELAYED": QueuePlace.WAITING,
    "PENDING": QueuePlace.TAKEN,
}
ENDED = ("SUCCESS", "ERROR", "CANCELLED")


def enqueue(storage: Storage, *subjects: str, attempt: int = 1) -> None:
    with storage.unit_of_work() as uow:
        for subject in subjects:
            uow.queue.enqueue(
                "advance_run", subject, partition="dep_1", owner="ten_1", attempt=attempt
            )
        uow.commit()


def place(
    storage: Storage, subject: str, attempt: int = 1, phase: str = "advance_run"
) -> QueuePlace | None:
    with storage.unit_of_work() as uow:
        return uow.queue.place(phase, subject, attempt=attempt)


def forget(storage: Storage, before: datetime, limit: int = 100) -> int:
    with storage.unit_of_work() as uow:
        gone = uow.queue.forget(before, limit=limit)
        uow.commit()
    return gone


def set_status(storage: Storage, status: str, subject: str = "%") -> None:
    """Set what the queue says of phases, as the executor would."""
    with psycopg.connect(storage.database.admin) as admin:
        admin.execute(
            "UPDATE dbos.workflow_status SET status = %s WHERE workflow_uuid LIKE %s",
            [status, f"advance_run:{subject}:%"],
        )


def kept(storage: Storage) -> dict[str, int]:
    """Count the rows of the queue's tables that have any, but for those of its migrations."""
    with psycopg.connect(storage.database.admin) as admin:
        tables = admin.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'dbos'"
            " AND tablename <> 'dbos_migrations'"
        ).fetchall()
        counts = {
            str(name): admin.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("dbos", name))
            ).fetchall()[0][0]
            for (name,) in tables
        }
    return {name: count for name, count in counts.items() if count}


def later(**units: float) -> datetime:
    return datetime.now(UTC) + timedelta(**units)


def test_a_phase_has_a_place_from_its_enqueuing_on(storage: Storage) -> None:
    assert place(storage, "run_1") is None
    with storage.unit_of_work() as uow:
        uow.queue.enqueue("advance_run", "run_1", partition="dep_1", owner="ten_1")
        own = uow.queue.place("advance_run", "run_1", attempt=1)  # in the caller's transaction
        assert own is QueuePlace.WAITING
        assert place(storage, "run_1") is None
        uow.commit()
    assert place(storage, "run_1") is QueuePlace.WAITING
    assert place(storage, "run_1", attempt=2) is None
    assert place(storage, "run_2") is None
    assert place(storage, "run_1", phase="build_bundle") is None


@pytest.mark.parametrize("status", [*PLACES, *ENDED, "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
def test_a_phase_has_a_place_until_it_ends_however_it_does(storage: Storage, status: str) -> None:
    enqueue(storage, "run_1")
    set_status(storage, status)
    assert place(storage, "run_1") is PLACES.get(status)


@pytest.mark.parametrize("status", PLACES)
def test_what_waits_or_runs_is_never_forgotten(storage: Storage, status: str) -> None:
    enqueue(storage, "run_1")
    set_status(storage, status)
    assert forget(storage, later(days=365)) == 0
    assert place(storage, "run_1") is PLACES[status]


@pytest.mark.parametrize("status", [*ENDED, "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
def test_what_ended_is_forgotten_with_all_that_belongs_to_it(storage: Storage, status: str) -> None:
    enqueue(storage, "run_1", "run_2")
    set_status(storage, status, "run_1")
    assert forget(storage, later(days=-1)) == 0  # it ended only now
    assert forget(storage, later(minutes=1)) == 1
    assert place(storage, "run_1") is None
    assert place(storage, "run_2") is PLACES["ENQUEUED"]
    set_status(storage, status, "run_2")
    assert forget(storage, later(minutes=1)) == 1
    assert kept(storage) == {}


def test_so_many_are_forgotten_at_a_time(storage: Storage) -> None:
    enqueue(storage, *(f"run_{number}" for number in range(5)))
    set_status(storage, "SUCCESS")
    assert [forget(storage, later(minutes=1), limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_what_was_forgotten_can_be_enqueued_again(storage: Storage) -> None:
    enqueue(storage, "run_1")
    set_status(storage, "SUCCESS")
    enqueue(storage, "run_1")
    assert place(storage, "run_1") is None  # the same attempt is enqueued once
    forget(storage, later(minutes=1))
    enqueue(storage, "run_1")
    assert place(storage, "run_1") is QueuePlace.WAITING
