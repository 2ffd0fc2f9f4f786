"""Rows whose time is over are forgotten by a timer that sets itself again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import pytest

from control_plane.domain.timers import TimerKind
from control_plane.workflows.timers import fire_due
from tests.entities import Entities
from tests.world import World

ANSWERS: Final = "idempotency"
QUEUE: Final = "queue"


def set_timer(world: World, subject: str) -> None:
    """Let the retention of something be due now, as the migration does."""
    with world.core.uow() as uow:
        uow.timers.set(TimerKind.RETENTION, subject, world.clock.now())
        uow.commit()


def fires_after(world: World, subject: str) -> timedelta:
    """Fire what is due; return when the subject's timer is due again, from now on."""
    assert fire_due(world.core) == 1
    with psycopg.connect(world.storage.database.admin) as admin:
        ((due_at,),) = admin.execute(
            "SELECT due_at FROM timer WHERE kind = 'retention' AND subject = %s", [subject]
        ).fetchall()
    assert isinstance(due_at, datetime)
    return due_at - world.clock.now()


def add_answers(world: World, count: int, life: timedelta) -> None:
    make = Entities()
    with world.core.uow() as uow:
        for _ in range(count):
            make.count += 1
            uow.idempotency.add(
                make.idempotency(
                    id=f"{count:04d}{make.count:060x}", created_at=world.clock.now(),
                    expires_at=world.clock.now() + life,
                )
            )  # fmt: skip
        uow.commit()


def test_answers_are_forgotten_when_their_life_is_over_and_not_before(world: World) -> None:
    add_answers(world, 3, timedelta(hours=48))
    set_timer(world, ANSWERS)
    for _ in range(3):
        assert fires_after(world, ANSWERS) == timedelta(minutes=10)
        assert fire_due(world.core) == 0  # until its time has come again
        world.clock.advance(minutes=10)
    assert len(world.rows("idempotency_record")) == 3
    world.clock.advance(hours=48)
    add_answers(world, 1, timedelta(hours=48))
    assert fires_after(world, ANSWERS) == timedelta(minutes=10)
    assert len(world.rows("idempotency_record")) == 1


def test_many_answers_are_forgotten_a_thousand_at_a_time_without_a_pause(world: World) -> None:
    add_answers(world, 1200, timedelta(hours=48))
    world.clock.advance(hours=49)
    set_timer(world, ANSWERS)
    assert fires_after(world, ANSWERS) == timedelta(0)
    assert len(world.rows("idempotency_record")) == 200
    assert fires_after(world, ANSWERS) == timedelta(minutes=10)
    assert world.rows("idempotency_record") == {}


def test_phases_that_ended_are_forgotten_after_a_week(world: World) -> None:
    world.submit("B", 1)
    world.work()  # one that has ended
    world.submit("B", 2)  # and one that waits
    # the queue writes down its own times, which are those of the machine
    world.clock.advance(seconds=(datetime.now(UTC) - world.clock.now()).total_seconds())
    world.clock.advance(days=6)
    set_timer(world, QUEUE)
    assert fired_queue(world) == timedelta(hours=1)
    statuses = [status for _, status in world.storage.enqueued()]
    assert sorted(statuses) == ["ENQUEUED", "SUCCESS"]
    world.clock.advance(days=2)
    assert fired_queue(world) == timedelta(hours=1)
    assert [status for _, status in world.storage.enqueued()] == ["ENQUEUED"]


def fired_queue(world: World) -> timedelta:
    """Fire the queue's retention alone: the timers of the runs have their own tests."""
    with psycopg.connect(world.storage.database.admin, autocommit=True) as admin:
        admin.execute("DELETE FROM timer WHERE kind <> 'retention'")
    return fires_after(world, QUEUE)


@pytest.mark.parametrize("subject", ["run_event", "sealed_plan"])
def test_a_timer_of_an_earlier_release_ends(world: World, subject: str) -> None:
    set_timer(world, subject)
    assert fire_due(world.core) == 1
    world.clock.advance(days=1)
    assert fire_due(world.core) == 0
