"""Sweeps: everything is looked at once, spread over minutes, and each look is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import InvalidInput, NotAllowed, NotFound
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import RunKind
from control_plane.domain.sweep import SweepOutcome
from control_plane.services import drift, holds, sweeps
from control_plane.services.performing import perform
from control_plane.workflows.drift import LOOKS_KEPT
from control_plane.workflows.timers import fire_due
from tests.storage import Storage
from tests.workflows.test_drift import ROTATION, STACK, Looked
from tests.world import AUTOMATION, OPS, World, person

O = SweepOutcome  # noqa: E741 - read as a table


class Swept(Looked):
    """Several ready tenants that a sweep looks at."""

    def sweep(self, minutes: int = 10) -> Any:
        return perform(self.world.core, OPS, sweeps.request_sweep, minutes=minutes)

    def pass_by(self, minutes: int = 10) -> None:
        """Let the time of a sweep pass, and do what falls due."""
        self.world.clock.advance(minutes=minutes)
        fire_due(self.world.core)
        self.world.work()

    def progress(self, sweep_id: str) -> tuple[dict[SweepOutcome, int], int]:
        found = perform(self.world.core, OPS, sweeps.get_sweep, sweep_id).progress
        return dict(found.outcomes), found.waiting

    def looks(self) -> list[Any]:
        return [r for r in self.world.rows("run").values() if r.kind is RunKind.REFRESH]


@pytest.fixture
def swept(world: World) -> Swept:
    return Swept(world)


def due(world: World) -> list[timedelta]:
    """Return in what time each look is due, sorted."""
    with psycopg.connect(world.storage.database.admin) as admin:
        rows = admin.execute("SELECT due_at FROM timer WHERE kind = 'drift_look'").fetchall()
    return sorted(due_at - world.clock.now() for (due_at,) in rows)


def test_a_sweep_brings_every_look_forward_and_counts_what_they_find(swept: Swept) -> None:
    world = swept.world
    world.ready_hub()
    other = world.submit("B", 2)
    world.work()
    world.approve(other.run_id)
    assert min(due(world)) > timedelta(hours=20)
    found = swept.sweep(minutes=10)
    assert (found.progress.deployments, found.progress.waiting) == (3, 3)
    assert [timedelta(0) <= each <= timedelta(minutes=10) for each in due(world)] == [True] * 3
    world.engine.change(STACK, "aws:ssm/parameter:Parameter::owner", type="by hand")
    swept.pass_by()
    assert swept.progress(found.sweep.id) == ({O.AGREES: 2, O.DIFFERS: 1}, 0)
    assert min(due(world)) > timedelta(hours=20)  # then each day again
    (event,) = [e for e in world.events() if e.action == "drift.sweep_requested"]
    assert (event.tree, event.data["count"], event.data["minutes"]) == ("platform", 3, 10)


def test_what_cannot_be_looked_at_and_what_gives_way_is_counted_apart(swept: Swept) -> None:
    swept.world.engine.unanswered = "not checked: data"
    first = swept.sweep()
    swept.pass_by()
    assert swept.progress(first.sweep.id) == ({O.NOT_LOOKED_AT: 1}, 0)
    swept.world.engine.unanswered = ""
    second = swept.sweep()
    swept.world.clock.advance(minutes=10)
    fire_due(swept.world.core)
    swept.change()  # before the look began
    swept.world.work()
    assert swept.progress(second.sweep.id) == ({O.GAVE_WAY: 1}, 0)
    assert swept.progress(first.sweep.id) == ({O.NOT_LOOKED_AT: 1}, 0)  # it stays as it was


def test_a_look_that_is_under_way_counts_for_the_sweep(swept: Swept) -> None:
    swept.ask()
    found = swept.sweep()
    assert found.progress.deployments == 1
    swept.world.work()
    assert swept.progress(found.sweep.id) == ({O.AGREES: 1}, 0)


def test_a_second_sweep_is_the_one_whose_looks_have_not_all_come(swept: Swept) -> None:
    first = swept.sweep()
    assert swept.sweep().sweep.id == first.sweep.id
    swept.pass_by()
    assert swept.sweep().sweep.id != first.sweep.id
    listed = perform(swept.world.core, OPS, sweeps.list_sweeps, limit=5, before=None)
    assert [each.progress.waiting for each in listed] == [1, 0]


def test_a_sweep_looks_also_while_daily_looks_are_turned_off(storage: Storage) -> None:
    swept = Swept(World(storage, look_every=None))
    found = swept.sweep()
    swept.pass_by()
    assert swept.progress(found.sweep.id) == ({O.AGREES: 1}, 0)
    swept.pass_by(minutes=60 * 27)
    assert len(swept.looks()) == 1


@pytest.mark.parametrize("minutes", [-1, 24 * 60 + 1])
def test_a_sweep_is_spread_over_a_day_at_most(swept: Swept, minutes: int) -> None:
    with pytest.raises(InvalidInput):
        swept.sweep(minutes=minutes)


def test_a_sweep_is_asked_for_by_who_sees_everything(swept: Swept) -> None:
    with pytest.raises(NotAllowed):
        perform(swept.world.core, AUTOMATION, sweeps.request_sweep)
    limited = person("lena", *OPS.actor.roles, tenants=(swept.tenant_id,))
    with pytest.raises(NotFound):
        perform(swept.world.core, limited, sweeps.request_sweep)
    assert perform(swept.world.core, limited, sweeps.list_sweeps, limit=5, before=None) == []


# --- what is kept of looks -------------------------------------------------------------------
def test_looks_that_found_nothing_are_kept_for_some_time_only(swept: Swept) -> None:
    swept.world.engine.drift = (ROTATION,)
    first = swept.look()
    swept.world.engine.drift = ()
    closing = swept.look()
    for _ in range(LOOKS_KEPT + 5):
        swept.look()
    looks = swept.looks()
    kept = {run.id for run in looks}
    assert {first.id, closing.id} <= kept  # findings refer to them
    assert len(looks) == LOOKS_KEPT + 2
    newest = max(run.number for run in looks)
    assert swept.look().number == newest + 1
    evidence = swept.world.rows("evidence").values()
    assert {each.run_id for each in evidence} == {swept.first_run, *map(_id, swept.looks())}
    assert swept.world.actions(swept.tenant_id).count("run.no_changes:completed") == (
        LOOKS_KEPT + 8
    )  # the log has them all


def _id(run: Any) -> str:
    return str(run.id)


def test_while_a_hold_stands_no_look_is_deleted(swept: Swept) -> None:
    perform(
        swept.world.core, OPS, holds.place_on_tenant, swept.tenant_id,
        kind=HoldKind.LEGAL, reason="a court asked for it",
    )  # fmt: skip
    for _ in range(LOOKS_KEPT + 4):
        swept.look()
    assert len(swept.looks()) == LOOKS_KEPT + 4


def test_a_hub_is_looked_at_on_demand(world: World) -> None:
    hub_id = world.ready_hub()
    world.engine.drift = (ROTATION,)
    run = perform(world.core, OPS, drift.request_hub_check, hub_id)
    world.work()
    (found,) = perform(world.core, OPS, drift.list_hub_findings, hub_id, limit=5, before=None)
    assert (found.first_seen_by, found.tenant_id) == (run.id, None)
