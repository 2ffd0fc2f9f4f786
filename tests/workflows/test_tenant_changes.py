"""Changing a tenant: one change is one update, and what changes nothing makes no run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    ModeWouldChange,
    NotFound,
    RunInProgress,
    SeparationOfDuties,
)
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import approvals, runs, tenants
from control_plane.services.changes import Change, dry_run_change, request_change
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.world import ADMIN, ARCHITECT, AUTOMATION, OPS, World, person

T, W, S = TenantStatus, WaitingOn, RunStatus
LARGER = {"seats": 2000}
OFFICE = {"ip_allow_list": ["203.0.113.0/24"]}


class Living:
    """A tenant that is ready, and changes of it."""

    def __init__(self, world: World, mode: str = "B") -> None:
        self.world = world
        if mode == "A":
            world.ready_hub()
        accepted = world.submit(mode)
        world.work()
        if mode == "B":
            world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id
        self.first_run = accepted.run_id or ""

    def change(
        self, facts: dict[str, Any], who: Caller = AUTOMATION, *, works: bool = True
    ) -> Change:
        """Request a change, and do what follows as far as it goes."""
        found = perform(
            self.world.core, who, request_change, self.tenant_id, facts=facts, reason="it grows"
        )
        if works:
            self.world.work()
        return found

    def refused(self, kind: type[DomainError], facts: dict[str, Any]) -> DomainError:
        """Expect a change to be refused, with an event, and nothing to be stored."""
        with pytest.raises(kind) as dry:
            perform(self.world.core, AUTOMATION, dry_run_change, self.tenant_id, facts)
        before = self.rows()
        with pytest.raises(kind) as caught:
            self.change(facts)
        assert self.rows() == before
        assert self.world.actions()[-1] == "change.refused:denied"
        assert dry.value.message == caught.value.message
        return caught.value

    def rows(self) -> tuple[Any, ...]:
        """Return what a change could have changed."""
        tables = ("tenant", "deployment", "deployment_spec", "run")
        return tuple(self.world.rows(table) for table in tables)

    def shown(self) -> tuple[TenantStatus, WaitingOn | None]:
        """Return what the tenant's row says."""
        tenant = self.world.tenant(self.tenant_id)
        return tenant.status, tenant.waiting_on

    def newest_spec(self) -> dict[str, Any]:
        """Return the document of the newest spec."""
        return dict(list(self.world.rows("deployment_spec").values())[-1].document)

    def run(self, run_id: str | None) -> Any:
        """Return a run as it is now."""
        return self.world.run(run_id)


@pytest.fixture
def living(world: World) -> Living:
    return Living(world)


def test_a_change_is_an_update_that_waits_while_the_tenant_is_ready(living: Living) -> None:
    found = living.change(LARGER)
    run = living.run(found.run_id)
    assert (run.kind, run.status, run.supersedes) == (
        RunKind.UPDATE, S.AWAITING_APPROVAL, None
    )  # fmt: skip
    assert [(each.path, each.before, each.after) for each in found.spec] == [
        ("database.instance_class", "db.t4g.medium", "db.r6g.large"),
        ("database.storage_gb", 50, 200),
    ]
    assert living.shown() == (T.READY, W.OPS)
    living.world.approve(found.run_id)
    assert living.run(found.run_id).status is S.APPLIED
    assert living.shown() == (T.READY, None)
    assert living.newest_spec()["database"]["storage_gb"] == 200
    assert living.world.tenant(living.tenant_id).facts["seats"] == 2000


@pytest.mark.requirement("K-064")
def test_a_dry_run_says_the_same_and_stores_nothing(living: Living) -> None:
    before, events = living.rows(), len(living.world.events())
    said = perform(living.world.core, AUTOMATION, dry_run_change, living.tenant_id, LARGER)
    assert (living.rows(), len(living.world.events())) == (before, events)
    made = living.change(LARGER)
    assert said.needs_run
    assert said.run_id is None
    assert (said.changed, said.spec, said.summary) == (made.changed, made.spec, made.summary)


def test_a_change_that_changes_nothing_makes_no_run_and_says_so(living: Living) -> None:
    before, events = living.rows(), len(living.world.events())
    found = living.change({"seats": 100, "ip_allow_list": []})
    assert (found.changed, found.spec, found.needs_run, found.run_id) == ((), (), False, None)
    assert found.summary == "Nothing changes: no run is needed."
    assert (living.rows(), len(living.world.events())) == (before, events)


def test_facts_that_leave_the_spec_as_it_is_are_stored_without_a_run(living: Living) -> None:
    found = living.change({"seats": 101}, ADMIN)
    assert (found.changed, found.spec, found.run_id) == (("seats",), (), None)
    tenant = living.world.tenant(living.tenant_id)
    assert tenant.facts["seats"] == 101
    assert tenant.editors == ("ada",)  # the next run is made of these facts
    assert len(living.world.rows("run")) == 1
    assert living.world.actions()[-2:] == ["change.requested:completed", "mode.resolved:completed"]


def test_a_slice_grows_without_a_run_as_long_as_mode_a_has_room(world: World) -> None:
    living = Living(world, "A")
    assert living.change({"seats": 199}).run_id is None
    refused = living.refused(ModeWouldChange, {"seats": 200})
    assert (refused.data["mode"], refused.data["required_mode"]) == ("A", "B")
    assert "M8" in refused.data["rules"]


@pytest.mark.requirement("F-024")
def test_a_change_that_needs_a_review_of_the_mode_is_refused(living: Living) -> None:
    refused = living.refused(ModeWouldChange, {"seats": 5001})
    assert "review" in refused.message


def test_a_waiting_plan_gives_way_by_name_and_its_approval_is_closed(living: Living) -> None:
    first = living.change(LARGER)
    second = living.change(OFFICE)
    assert second.supersedes == first.run_id
    assert living.run(second.run_id).supersedes == first.run_id
    assert living.run(first.run_id).status is S.SUPERSEDED
    approval = living.world.rows("approval")[living.run(first.run_id).approval_id]
    assert str(approval.status) == "superseded"
    living.world.approve(second.run_id)
    spec = living.newest_spec()
    assert (spec["database"]["storage_gb"], spec["network"]["client_cidrs"]) == (
        200, ["203.0.113.0/24"]
    )  # fmt: skip


def test_a_change_back_supersedes_and_applies_nothing(living: Living) -> None:
    first = living.change(LARGER)
    back = living.change({"seats": 100})
    assert (back.supersedes, back.spec) == (first.run_id, ())
    assert living.run(back.run_id).status is S.NO_CHANGES
    assert living.shown() == (T.READY, None)


def test_the_same_change_again_waits_for_the_run_that_brings_it(living: Living) -> None:
    first = living.change(LARGER)
    again = living.change(LARGER)
    assert (again.run_id, again.needs_run) == (first.run_id, False)
    assert first.run_id is not None
    assert first.run_id in again.summary


def test_a_rejected_change_may_be_sent_again(living: Living) -> None:
    first = living.change(LARGER)
    approval = living.world.rows("approval")[living.run(first.run_id).approval_id]
    perform(
        living.world.core, OPS, approvals.decide, approval.id,
        verdict="reject", plan_digest=approval.plan_digest, reason="not now",
    )  # fmt: skip
    assert living.shown() == (T.READY, None)
    again = living.change(LARGER)
    assert (again.changed, again.needs_run, again.supersedes) == ((), True, None)
    assert living.run(again.run_id).status is S.AWAITING_APPROVAL


def test_an_approved_run_that_has_not_begun_gives_way_to_a_change(living: Living) -> None:
    first = living.change(LARGER)
    approval = living.world.rows("approval")[living.run(first.run_id).approval_id]
    perform(
        living.world.core, OPS, approvals.decide, approval.id,
        verdict="approve", plan_digest=approval.plan_digest, reason="read it",
    )  # fmt: skip
    second = living.change(OFFICE)
    assert second.supersedes == first.run_id
    assert living.run(first.run_id).status is S.SUPERSEDED
    assert living.run(first.run_id).started_at is None
    assert living.run(second.run_id).status is S.AWAITING_APPROVAL


def test_a_change_while_a_run_applies_is_refused_by_the_run_s_name(living: Living) -> None:
    found = living.change(LARGER)
    refusals: list[DomainError] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change":
            refusals.append(living.refused(RunInProgress, OFFICE))

    living.world.engine.during = meanwhile
    living.world.approve(found.run_id)
    assert [refused.data["run"] for refused in refusals] == [found.run_id]
    assert living.run(found.run_id).status is S.APPLIED
    assert living.change(OFFICE).needs_run


def test_two_changes_at_once_become_one_run_that_has_both(living: Living) -> None:
    together = threading.Barrier(2)

    def change(facts: dict[str, Any]) -> Change:
        together.wait(30)
        return living.change(facts, works=False)

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(change, facts) for facts in (LARGER, OFFICE)]
        found = [each.result(60) for each in asked]
    assert len({change.run_id for change in found}) == 1
    assert sorted(change.needs_run for change in found) == [False, True]
    living.world.work()
    living.world.approve(found[0].run_id)
    spec = living.newest_spec()
    assert (spec["database"]["storage_gb"], spec["network"]["client_cidrs"]) == (
        200, ["203.0.113.0/24"]
    )  # fmt: skip


def test_a_change_meets_a_retry_without_a_deadlock(living: Living) -> None:
    found = living.change(LARGER)
    perform(living.world.core, OPS, runs.cancel_run, found.run_id or "")
    together = threading.Barrier(2)

    def at_once(act: Any) -> Any:
        together.wait(30)
        return act()

    acts = [
        lambda: living.change(OFFICE, works=False),
        lambda: perform(living.world.core, OPS, runs.retry_run, found.run_id or ""),
    ]
    with ThreadPoolExecutor(2) as pool:
        said = [pool.submit(at_once, act) for act in acts]
        errors = [each.exception(60) for each in said]
    assert errors[0] is None
    assert errors[1] is None or getattr(errors[1], "code", "") == "run_superseded"
    living.world.work()
    spec = living.newest_spec()
    assert spec["network"]["client_cidrs"] == ["203.0.113.0/24"]
    waiting = [r for r in living.world.rows("run").values() if r.status is S.AWAITING_APPROVAL]
    assert len(waiting) == 1


def test_a_change_before_the_first_build_is_built_in(world: World) -> None:
    living = Living(world, "C")  # only for its shortcuts
    accepted = world.submit("B", 2)
    world.work()
    living.tenant_id = accepted.tenant.id
    found = living.change(LARGER)
    assert found.supersedes == accepted.run_id
    assert living.run(found.run_id).kind is RunKind.PROVISION
    world.approve(found.run_id)
    assert living.newest_spec()["database"]["storage_gb"] == 200


def test_a_run_that_waits_for_its_place_takes_the_new_facts_with_it(world: World) -> None:
    accepted = world.submit("A")
    world.work()
    found = perform(
        world.core, AUTOMATION, request_change, accepted.tenant.id,
        facts={"seats": 150}, reason="it grows",
    )  # fmt: skip
    assert (found.needs_run, found.run_id) == (False, accepted.run_id)
    assert len(world.rows("run")) == 1
    assert world.tenant(accepted.tenant.id).facts["seats"] == 150


def test_who_asked_for_a_change_does_not_decide_on_it(living: Living) -> None:
    both = person("ada", Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
    found = living.change(LARGER, both)
    with pytest.raises(SeparationOfDuties):
        living.world.approve(found.run_id, both)


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({}, "facts"),
        ({"contract_mode": "C"}, "facts.contract_mode"),
        ({"residency": None}, "facts.residency"),
        ({"seats": -1}, "facts.seats"),
        ({"ip_allow_list": ["10.0.0.0/4"]}, "facts.ip_allow_list.0"),
    ],
)
def test_what_cannot_be_changed_is_named(living: Living, facts: dict[str, Any], field: str) -> None:
    assert living.refused(InvalidInput, facts).data["field"] == field


def test_what_the_customer_applies_or_nobody_resolved_is_not_changed_here(world: World) -> None:
    for mode, changes in (("C", {}), ("A", {"customer_managed_key": True})):
        number = 1 + len(world.rows("tenant"))
        tenant = world.submit(mode, number, **changes).tenant
        living = Living.__new__(Living)
        living.world, living.tenant_id = world, tenant.id
        living.refused(IllegalTransition, LARGER)
        shown = world.tenant(tenant.id)
        assert "change" not in tenants.allowed_actions(shown, AUTOMATION.actor)


def test_a_change_is_offered_to_those_who_may_ask_for_it(living: Living) -> None:
    tenant = living.world.tenant(living.tenant_id)
    offered = {who.actor.id: tenants.allowed_actions(tenant, who.actor)
               for who in (AUTOMATION, ADMIN, OPS, ARCHITECT)}  # fmt: skip
    assert offered == {
        "crm": ["change"], "ada": ["mode", "change", "check-drift", "hold", "remove"],
        "olga": ["check-drift", "hold", "remove"], "sam": ["mode"],
    }  # fmt: skip
    with pytest.raises(NotFound):
        perform(living.world.core, AUTOMATION, dry_run_change, "ten_none", LARGER)
