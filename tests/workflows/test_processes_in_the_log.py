"""Which workers run, and on which schema, stands in the platform's log."""

from __future__ import annotations

import pytest

from control_plane.domain.errors import AuditUnavailable
from control_plane.services.performing import perform
from control_plane.services.processes import record_schema, record_worker
from control_plane.workflows.core import WORKER
from tests.world import World


def recorded(world: World) -> list[tuple[str, dict[str, object]]]:
    return [(e.action, dict(e.data)) for e in world.events() if e.tree == "platform"]


def test_an_upgrade_is_recorded_once_with_the_schema_before(world: World) -> None:
    told = [perform(world.core, WORKER, record_schema, r) for r in ("0009", "0009", "0010", "0010")]
    assert told == [True, False, True, False]
    assert recorded(world) == [
        ("database.upgraded", {"revision": "0009"}),
        ("database.upgraded", {"revision": "0010", "previous_revision": "0009"}),
    ]


def test_an_upgrade_that_cannot_be_recorded_is_recorded_later(world: World) -> None:
    with world.storage.without_log(), pytest.raises(AuditUnavailable):
        perform(world.core, WORKER, record_schema, "0010")
    assert perform(world.core, WORKER, record_schema, "0010")


def test_a_worker_leaves_its_start_and_its_end(world: World) -> None:
    perform(world.core, WORKER, record_worker, "w1", "worker.started")
    perform(world.core, WORKER, record_worker, "w1", "worker.stopped")
    perform(world.core, WORKER, record_worker, "w2", "worker.stopped", code="name_taken")
    assert recorded(world) == [
        ("worker.started", {"worker": "w1"}),
        ("worker.stopped", {"worker": "w1"}),
        ("worker.stopped", {"worker": "w2", "code": "name_taken"}),
    ]
