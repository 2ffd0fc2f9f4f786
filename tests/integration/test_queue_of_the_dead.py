"""Workers that are killed or lose their names, and who does what they left in the queue."""

from __future__ import annotations

import threading
import time

import pytest

from control_plane.adapters.dbos.liveness import Liveness
from control_plane.domain.errors import Unavailable
from tests.integration.queue_plant import SECONDS, Plant
from tests.integration.queue_worker import (
    ALREADY_RUNS,
    GRACE_SECONDS,
    SWEEP_SECONDS,
)

pytestmark = pytest.mark.slow


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
