"""What should have ended by now is listed, found by when it was due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.late_rows import SqlLateRows
from control_plane.domain.errors import NotFound
from control_plane.domain.journey import JourneyStatus
from control_plane.domain.task import TaskStatus
from control_plane.services import journeys, tasks
from control_plane.services.performing import perform
from tests.contracts.test_pages_by_index import Asked
from tests.journeys import go_on, sample, tasks_of, with_playbooks
from tests.storage import Storage
from tests.world import ADMIN, ARCHITECT, OPS, World, person

DUE = (
    "- {key: talk, kind: task, title: Talk, owner: ops,"
    " due: {anchor: signed, amount: 1, unit: elapsed_hour}}\n"
    "- {key: other, kind: task, title: Other, owner: csm}\n"
)


def signed(world: World, number: int) -> str:
    """Let a contract be signed now; returns its journey."""
    with_playbooks(world, sample(DUE))
    accepted = world.submit("A", number)
    go_on(world)
    (found,) = perform(world.core, OPS, journeys.journeys_of_tenant, accepted.tenant.slug)
    return found.id


def late_journeys(world: World, who: Any = OPS, **given: Any) -> list[str]:
    given = {"limit": 5, "before": None, "late": True, **given}
    return [each.id for each in perform(world.core, who, journeys.list_journeys, **given)]


def late_tasks(world: World, who: Any = OPS, **given: Any) -> list[str]:
    given = {"limit": 5, "before": None, "late": True, **given}
    return [each.about_id for each in perform(world.core, who, tasks.list_tasks, **given)]


@pytest.fixture
def late(world: World) -> tuple[str, str]:
    """Two journeys whose talk is late, the older one first."""
    first, second = signed(world, 1), signed(world, 2)
    world.clock.advance(seconds=30 * 86400)
    return first, second


def test_only_what_is_due_and_has_not_ended_is_late(world: World, late: tuple[str, str]) -> None:
    first, second = late
    newest_first = [second, first]
    assert late_journeys(world) == newest_first
    assert late_tasks(world) == [f"{each}.talk" for each in newest_first]
    perform(world.core, ADMIN, journeys.finish_step, second, "talk", reason="we talked")
    assert late_journeys(world) == [first]
    assert late_tasks(world) == [f"{first}.talk"]
    assert not perform(world.core, OPS, journeys.get_journey, second).is_late
    assert perform(world.core, OPS, journeys.get_journey, first).is_late


def test_what_is_due_later_is_not_late(world: World) -> None:
    with_playbooks(world, sample(DUE.replace("amount: 1,", "amount: 3000,")))
    world.submit("A")
    go_on(world)
    assert late_journeys(world) == late_tasks(world) == []
    (task,) = tasks_of(world, title="Talk")
    world.clock.advance(seconds=(task.due_at - world.clock.now()).total_seconds())
    assert late_tasks(world) == []  # its instant is in time
    world.clock.advance(seconds=timedelta(microseconds=1).total_seconds())
    assert len(late_tasks(world)) == len(late_journeys(world)) == 1


def test_other_filters_hold_too(world: World, late: tuple[str, str]) -> None:
    first, second = late
    assert late_journeys(world, limit=1) == [second]
    assert late_journeys(world, before=second) == [first]
    assert late_journeys(world, status=JourneyStatus.OPEN) == [second, first]
    assert late_journeys(world, status=JourneyStatus.DONE) == []
    assert late_tasks(world, status=TaskStatus.DONE) == []
    assert late_tasks(world, owner="csm") == late_tasks(world, ARCHITECT, mine=True) == []
    assert len(late_tasks(world, mine=True)) == len(late_tasks(world, owner="ops")) == 2
    tenant_id = perform(world.core, OPS, journeys.get_journey, first).journey.tenant_id
    only = person("olaf", *OPS.actor.roles, tenants=(tenant_id,))
    assert late_journeys(world, only) == [first]
    assert late_tasks(world, only) == [f"{first}.talk"]


def test_a_canceled_journey_is_not_late(world: World, late: tuple[str, str]) -> None:
    perform(world.core, OPS, journeys.cancel_journey, late[0], reason="void")
    assert late_journeys(world) == [late[1]]


def test_all_journeys_of_a_tenant_are_listed(world: World, late: tuple[str, str]) -> None:
    tenant = world.tenant(perform(world.core, OPS, journeys.get_journey, late[0]).tenant.id)
    found = perform(world.core, OPS, journeys.journeys_of_tenant, tenant.id)
    assert [each.id for each in found] == [late[0]]
    with pytest.raises(NotFound):
        perform(world.core, OPS, journeys.journeys_of_tenant, "nobody")


def plant(url: str) -> None:
    """Let there be many steps and tasks that are due in a year, as a grown installation has."""
    with psycopg.connect(url) as admin:
        admin.execute("SET session_replication_role = replica")  # of journeys that are not there
        for table, named in (
            ("journey_step", "'id', n || '.talk', 'journey_id', 'jny_' || n, 'status', 'asked'"),
            ("task", "'id', 'tsk_' || n, 'dedupe_key', 'd_' || n"),
        ):
            admin.execute(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(t) || "  # noqa: S608 - our own words
                f"jsonb_build_object({named}, 'due_at', t.due_at + make_interval(years => 1)))).* "
                f"FROM (SELECT * FROM {table} WHERE due_at IS NOT NULL LIMIT 1) t, "
                "generate_series(1, 5000) n"
            )
        admin.execute("ANALYZE journey_step, task")


def test_what_is_late_is_found_by_the_time_when_it_was_due(world: World, storage: Storage) -> None:
    signed(world, 1)
    plant(storage.database.admin)
    engine = connect(storage.database.app, name="tests", connections=0)
    now, (tenant_id,) = world.clock.now(), world.rows("tenant")
    with engine.connect() as connection:
        rows = SqlLateRows(connection)
        asks: list[tuple[Callable[[], object], str]] = [
            (lambda: rows.journeys(now, limit=5), "ix_journey_step_due_at"),
            (lambda: rows.journeys(now, limit=5, before="z", tenants=[tenant_id]),
             "ix_journey_step_due_at"),
            (lambda: rows.tasks(now, limit=5), "ix_task_due_at"),
            (lambda: rows.tasks(now, limit=5, tenants=[tenant_id, None], owners=["ops"]),
             "ix_task_due_at"),
        ]  # fmt: skip
        for ask, index in asks:
            with Asked(connection) as asked:
                ask()
            assert index in {node.get("Index Name") for node in asked.nodes}, asked.nodes
