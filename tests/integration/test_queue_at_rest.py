"""Workers with little to do: they hear of what is enqueued, and begin again after an outage."""

from __future__ import annotations

import ast
import time

import psycopg
import pytest

from control_plane.adapters.dbos.executor import Executor
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.workflows import PHASES
from tests.integration.queue_plant import SOURCE, Plant
from tests.integration.queue_worker import (
    AT_A_TIME,
)

pytestmark = pytest.mark.slow


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
    assert set(PHASES) == {
        "advance_run", "build_bundle", "advance_saga", "take_delivery", "look_at_source",
        "send_message", "advance_journey",
    }  # fmt: skip
