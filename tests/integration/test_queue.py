"""The queue on a real PostgreSQL: what is enqueued, whose turn it is, how much runs at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from control_plane.adapters.dbos.claiming import Claims
from control_plane.ports.rows import QueuePlace
from tests.integration.queue_plant import Plant
from tests.integration.queue_worker import (
    AT_A_TIME,
)

pytestmark = pytest.mark.slow


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
    def place() -> QueuePlace | None:
        with plant.transaction() as queue:
            return queue.place("advance_run", "hold-a", attempt=1)

    plant.enqueue(("hold-a", "p"))
    plant.work("one")
    plant.wait_for(lambda: len(plant.ran()) == 1)
    assert place() is QueuePlace.TAKEN
    assert plant.rows("status = 'PENDING'") == 1
    with plant.transaction() as queue:
        assert queue.forget(datetime.now(UTC) + timedelta(days=1), limit=9) == 0
    plant.let_go()
    plant.wait_done(1)
    assert place() is None
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


def test_a_run_is_looked_for_from_its_claim_on_and_not_while_it_waits(plant: Plant) -> None:
    plant.enqueue(("0-a", "p"), ("0-b", "q"))
    with plant.transaction() as queue:
        queue.enqueue("build_bundle", "0-c", partition="r", owner="r")
    claims = Claims(plant.engine, "one", globally=100)
    assert plant.timers() == []
    claims.claim()
    assert plant.timers() == [("run_watch", "0-a")]
    assert claims.take_back("one") == ["advance_run:0-a:1"]
    while claims.claim() is not None:  # again, and the others: a build has its own timer
        pass
    assert plant.timers() == [("run_watch", "0-a"), ("run_watch", "0-b")]


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
