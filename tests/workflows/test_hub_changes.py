"""Changing a shared Hub: its plan waits for a decision that names the tenants on it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import (
    DomainError,
    DowngradeRefused,
    HubTooSmall,
    InvalidInput,
    RunInProgress,
)
from control_plane.domain.hub import HubWish
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.services import approvals, hub_changes, hubs, runs
from control_plane.services.hub_changes import HubChange
from control_plane.services.performing import perform
from tests.world import ADMIN, OPS, World

S = RunStatus


class Shared:
    """A ready Hub with two slices on it, and changes of it."""

    def __init__(self, world: World, capacity: int = 10) -> None:
        self.world = world
        self.hub_id = world.ready_hub(capacity=capacity)
        self.tenants = [world.submit("A", number).tenant for number in (1, 2)]
        world.work()

    def change(self, *, works: bool = True, **wish: Any) -> HubChange:
        """Request a change and do what follows, up to the decision on it."""
        found = perform(
            self.world.core, ADMIN, hub_changes.request_change, self.hub_id, HubWish(**wish),
            reason="more room",
        )  # fmt: skip
        if works:
            self.world.work()
        return found

    def refused(self, kind: type[DomainError], **wish: Any) -> DomainError:
        """Expect a change to be refused, and nothing to be stored."""
        before = self.world.storage.everything()
        with pytest.raises(kind) as caught:
            self.change(**wish)
        assert self.world.storage.everything() == before
        assert self.world.actions("platform")[-1] == "hub.change_refused:denied"
        return caught.value

    @property
    def details(self) -> hubs.HubDetails:
        return perform(self.world.core, ADMIN, hubs.get_hub, self.hub_id)


@pytest.fixture
def shared(world: World) -> Shared:
    return Shared(world)


def test_more_capacity_needs_no_run_and_lets_slices_that_wait_continue(world: World) -> None:
    shared = Shared(world, capacity=2)
    waits = world.submit("A", 3).run_id
    world.work()
    assert world.run(waits).blocked_on is BlockedOn.HUB_UNAVAILABLE
    found = shared.change(capacity=3)
    assert (found.changed, found.spec, found.run_id) == (("capacity",), (), None)
    assert world.run(waits).status is S.APPLIED


def test_a_hub_keeps_room_for_its_slices_also_by_sql(shared: Shared) -> None:
    refused = shared.refused(HubTooSmall, capacity=1)
    assert (refused.message, refused.data["slices"]) == (
        "2 slices are on this Hub, more than 1", 2
    )  # fmt: skip
    assert shared.change(capacity=2).hub.capacity == 2
    with (
        psycopg.connect(shared.world.storage.database.app) as connection,
        pytest.raises(psycopg.Error) as by_sql,
    ):
        connection.execute("UPDATE hub SET capacity = 1")
    assert by_sql.value.diag.constraint_name == "hub_has_room_for_its_slices"


def test_a_version_is_an_update_whose_approval_and_record_name_the_tenants(shared: Shared) -> None:
    found = shared.change(environment={"version": "2026.2"})
    slugs = sorted(tenant.slug for tenant in shared.tenants)
    assert [each.slug for each in found.affected] == slugs
    run = shared.world.run(found.run_id)
    assert (run.kind, run.status) == (RunKind.UPDATE, S.AWAITING_APPROVAL)
    asked = perform(shared.world.core, OPS, approvals.get_approval, run.approval_id)
    assert [each.slug for each in asked.affected] == slugs
    (event,) = [e for e in shared.world.events() if e.action == "hub.change_requested"]
    assert sorted(event.data["tenants"]) == sorted(tenant.id for tenant in shared.tenants)
    shared.world.approve(found.run_id)
    assert shared.world.run(found.run_id).status is S.APPLIED
    assert (shared.details.version, shared.details.outdated_slices) == ("2026.2", 0)


def test_slices_over_other_outputs_are_counted_and_updated_when_somebody_asks(
    shared: Shared,
) -> None:
    shared.world.approve(shared.change(environment={"zones": 3}).run_id)
    assert (shared.details.zones, shared.details.outdated_slices) == (3, 2)
    assert "update-slices" in shared.details.allowed_actions
    made = perform(
        shared.world.core, ADMIN, hub_changes.update_slices, shared.hub_id, reason="third zone"
    )
    assert (len(made.run_ids), made.skipped, made.left) == (2, (), 0)
    again = perform(
        shared.world.core, ADMIN, hub_changes.update_slices, shared.hub_id, reason="once more"
    )
    assert again.run_ids == ()  # the runs before are still to be planned
    assert {why for _, why in again.skipped} == {
        f"{run_id} brings it to what the Hub is now" for run_id in made.run_ids
    }
    shared.world.work()
    assert {shared.world.run(run_id).status for run_id in made.run_ids} == {S.APPLIED}
    assert shared.details.outdated_slices == 0
    assert "update-slices" not in shared.details.allowed_actions


def test_a_dry_run_says_the_same_and_stores_nothing(shared: Shared) -> None:
    wish = HubWish(environment={"zones": 3})
    before, events = shared.world.storage.everything(), len(shared.world.events())
    said = perform(shared.world.core, ADMIN, hub_changes.dry_run_change, shared.hub_id, wish)
    assert (shared.world.storage.everything(), len(shared.world.events())) == (before, events)
    made = shared.change(environment={"zones": 3})
    assert (said.changed, said.spec, said.affected) == (made.changed, made.spec, made.affected)
    assert [each.path for each in made.spec] == ["network.zones"]


def test_a_newer_change_supersedes_the_waiting_one_by_name(shared: Shared) -> None:
    first = shared.change(environment={"zones": 3})
    second = shared.change(environment={"version": "2026.2"})
    assert second.supersedes == first.run_id
    assert shared.world.run(first.run_id).status is S.SUPERSEDED
    assert [each.path for each in second.spec] == ["network.zones", "version"]


def test_what_changes_nothing_makes_no_run(shared: Shared) -> None:
    before = shared.world.storage.everything()
    found = shared.change(capacity=10, environment={"zones": 2, "version": "2026.1"})
    assert (found.changed, found.needs_run) == ((), False)
    assert found.summary == "Nothing changes: no run is needed."
    assert shared.world.storage.everything() == before


@pytest.mark.parametrize(
    ("wish", "kind", "field"),
    [
        ({}, InvalidInput, "capacity"),
        ({"capacity": 901}, InvalidInput, "capacity"),
        ({"environment": {"size": "large"}}, InvalidInput, "environment.size"),
        ({"environment": {"version": "2026.3"}}, InvalidInput, "environment.version"),
        ({"environment": {"zones": 4}}, InvalidInput, "environment.zones"),
    ],
)
def test_what_cannot_be_changed_is_named(
    shared: Shared, wish: dict[str, Any], kind: type[DomainError], field: str
) -> None:
    assert shared.refused(kind, **wish).data["field"] == field


def test_a_hub_is_not_brought_back(shared: Shared) -> None:
    shared.world.approve(shared.change(environment={"version": "2027.1"}).run_id)
    refused = shared.refused(DowngradeRefused, environment={"version": "2026.2"})
    assert refused.data["present"] == "2027.1"


def test_a_change_while_the_hub_s_run_applies_is_refused_by_name(shared: Shared) -> None:
    found = shared.change(environment={"zones": 3})
    seen: list[DomainError] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change":
            seen.append(shared.refused(RunInProgress, capacity=5))

    shared.world.engine.during = meanwhile
    shared.world.approve(found.run_id)
    assert [refused.data["run"] for refused in seen] == [found.run_id]
    assert perform(shared.world.core, OPS, runs.get_run, found.run_id).status is S.APPLIED
