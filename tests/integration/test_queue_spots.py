"""Where turns are in the queue, and a pause of it, with real workers on a real PostgreSQL."""

from __future__ import annotations

import time

import psycopg
import pytest

from control_plane.adapters.db.engine import connect
from control_plane.adapters.dbos.claiming import Claims
from control_plane.domain.waiting import QueueSpot
from tests.integration.queue_plant import Plant
from tests.statements import counted_statements

pytestmark = pytest.mark.slow

PAUSE = (
    "INSERT INTO queue_pause (id, reason, paused_by, paused_at, version)"
    " VALUES ('pau_1', 'new disks', 'olga', now(), 1)"
)
RESUME = (
    "UPDATE queue_pause SET resumed_by = 'olga', resume_reason = 'done', resumed_at = now(),"
    " version = 2"
)


def spots(plant: Plant, *subjects: str) -> dict[str, QueueSpot]:
    with plant.transaction() as queue:
        return dict(queue.spots("advance_run", dict.fromkeys(subjects, 1))[0])


def done(plant: Plant, statement: str) -> None:
    with psycopg.connect(plant.database.app, autocommit=True) as session:
        session.execute(statement)


def test_a_position_is_the_order_in_which_workers_take_turns(plant: Plant) -> None:
    """An owner with many waits with all but the first for the first of everybody else."""
    plant.enqueue(("a1", "pa1"), ("a2", "pa2"), ("a3", "pa3"), owner="a")
    plant.enqueue(("b1", "pb1"), owner="b")
    plant.enqueue(("c1", "pc1"), ("c2", "pc1"), owner="c")
    names = ("a1", "a2", "a3", "b1", "c1", "c2")
    found = spots(plant, *names)
    assert {found[name].length for name in names} == {6}
    promised = sorted(names, key=lambda name: found[name].position or 0)
    assert [found[name].position for name in promised] == [1, 2, 3, 4, 5, 6]
    assert set(promised[:3]) == {"a1", "b1", "c1"}
    assert found["c2"].behind == "c1"
    assert {found[name].behind for name in names if name != "c2"} == {None}
    engine = connect(plant.database.app, name="claims", connections=1, overflow=0)
    claims = Claims(engine, "w1", globally=10)
    taken = [claimed[0].split(":")[1] for claimed in iter(claims.claim, None)]
    engine.dispose()
    assert taken == [name for name in promised if name != "c2"]
    after = spots(plant, *names)
    assert after["a1"].worker == "w1"
    assert not after["a1"].worker_lives  # nobody holds that name
    assert (after["c2"].position, after["c2"].length, after["c2"].behind) == (1, 1, "c1")


def test_a_thousand_waiting_turns_are_placed_by_two_statements(plant: Plant) -> None:
    plant.enqueue(*((f"s{number}", f"p{number}") for number in range(1000)))
    names = [f"s{number}" for number in range(0, 1000, 20)]
    with counted_statements() as asked:
        begun = time.monotonic()
        found = spots(plant, *names)
        seconds = time.monotonic() - begun
    assert len(found) == 50
    assert len(asked) == 2  # the places, and who lives
    assert seconds < 2


def test_what_has_ended_or_was_never_enqueued_has_no_place(plant: Plant) -> None:
    assert spots(plant, "nothing") == {}
    with counted_statements() as asked, plant.transaction() as queue:
        assert queue.spots("advance_run", {}) == ({}, 0)
    assert asked == []


def test_while_a_pause_stands_nothing_is_taken_up_and_afterwards_all_of_it(plant: Plant) -> None:
    plant.work("w1")
    done(plant, PAUSE)
    plant.enqueue(("0-a", "p"), ("0-b", "q"))
    time.sleep(2)  # a worker looks at once, and would have taken them
    assert plant.ran() == []
    found = spots(plant, "0-a", "0-b")
    assert sorted(spot.position or 0 for spot in found.values()) == [1, 2]
    done(plant, RESUME)
    with plant.transaction() as queue:
        queue.wake()
    plant.wait_for(lambda: len(plant.ran()) == 2)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (PAUSE.replace("pau_1", "pau_2"), "uq_queue_pause_one_stands"),
        ("UPDATE queue_pause SET reason = 'another'", "pause_ends_once"),
        ("UPDATE queue_pause SET resumed_at = now()", "ck_queue_pause_resumed_by_somebody"),
    ],
)
def test_the_database_keeps_one_pause_and_what_was_said_of_it(
    plant: Plant, statement: str, constraint: str
) -> None:
    done(plant, PAUSE)
    with pytest.raises(psycopg.Error) as refused:
        done(plant, statement)
    assert refused.value.diag.constraint_name == constraint


def test_a_pause_that_has_ended_stays_as_it_is(plant: Plant) -> None:
    done(plant, PAUSE)
    done(plant, RESUME)
    with pytest.raises(psycopg.Error) as refused:
        done(plant, RESUME)
    assert refused.value.diag.constraint_name == "pause_ends_once"
