"""The pool of accounts: who waits for one goes on, and what is in use stays."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.errors import Conflict, InvalidInput, NotFound
from control_plane.services import accounts, approvals, runs
from control_plane.services.performing import perform
from control_plane.services.starting import request_run
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import Fault
from tests.storage import Storage
from tests.world import ACCOUNT, ADMIN, OPS, World

OWN = "222233334444"


@pytest.fixture
def world(storage: Storage) -> World:
    """A control plane whose pool is empty."""
    made = World(storage)
    perform(made.core, ADMIN, accounts.remove_account, ACCOUNT)
    return made


def add(world: World, number: str = OWN, **changes: Any) -> Account:
    given: dict[str, Any] = {"role_arn": None, "external_id": None, "shared": False, **changes}
    return perform(world.core, ADMIN, accounts.add_account, account_id=number, **given)


def deployment_of(world: World, run_id: str | None) -> Deployment:
    with world.core.uow() as uow:
        found = uow.deployments.get(world.run(run_id).deployment_id)
    assert found is not None
    return found


def waiting(world: World, *numbers: int) -> list[Any]:
    runs = [world.submit("B", number).run_id for number in numbers]
    world.work()
    assert {world.run(run).blocked_on for run in runs} == {"no_account"}
    return runs


def test_a_run_that_waits_for_an_account_goes_on_by_itself(world: World) -> None:
    (run,) = waiting(world, 1)
    add(world)
    world.work()
    assert world.run(run).status == "awaiting_approval"
    assert (
        perform(world.core, ADMIN, accounts.get_account, OWN).claimed_by
        == world.run(run).deployment_id
    )


def test_one_account_wakes_the_oldest_run_and_a_shared_one_all(world: World) -> None:
    first, second, third = waiting(world, 1, 2, 3)
    add(world)
    world.work()
    statuses = [world.run(run).status for run in (first, second, third)]
    assert statuses == ["awaiting_approval", "blocked", "blocked"]
    assert world.run(second).attempt == 1  # it was not woken in vain
    add(world, "333344445555", shared=True)
    world.work()
    assert {world.run(run).status for run in (second, third)} == {"awaiting_approval"}


def test_an_account_that_is_in_use_stays(world: World) -> None:
    for number, shared in ((OWN, False), ("333344445555", True)):
        add(world, number, shared=shared)
        world.submit("B", int(number[0]))
        world.work()
        with pytest.raises(Conflict, match="so it stays"):
            perform(world.core, ADMIN, accounts.remove_account, number)
        assert perform(world.core, ADMIN, accounts.get_account, number)


def reject(world: World, run_id: str | None) -> None:
    with world.core.uow() as uow:
        approval = uow.approvals.get(world.run(run_id).approval_id)
    assert approval is not None
    perform(
        world.core, OPS, approvals.decide, approval.id,
        verdict="reject", plan_digest=approval.plan_digest, reason="too dear",
    )  # fmt: skip


def cancel(world: World, run_id: str | None) -> None:
    perform(world.core, OPS, runs.cancel_run, run_id or "")


def expire(world: World, run_id: str | None) -> None:
    world.clock.advance(hours=80)
    fire_due(world.core)


ENDS = {"rejected": reject, "canceled": cancel, "expired": expire}


@pytest.mark.parametrize("status", list(ENDS))
def test_an_end_before_any_apply_gives_the_account_to_who_waits(world: World, status: str) -> None:
    add(world)
    first = world.submit("B", 1).run_id
    world.work()
    (second,) = waiting(world, 2)
    ENDS[status](world, first)
    world.work()
    assert world.run(first).status == status
    assert deployment_of(world, first).account_id == ""
    (freed,) = [e for e in world.events() if e.action == "account.released"]
    assert (freed.tree, freed.data["account"]) == (world.run(first).tenant_id, OWN)
    assert world.run(second).status == "awaiting_approval"
    ENDS[status](world, second)
    world.work()
    perform(world.core, ADMIN, accounts.remove_account, OWN)  # nobody is in it any more


def test_a_plan_that_policies_refuse_gives_the_account_back(world: World) -> None:
    add(world)
    world.policies.violations = [
        {"rule": "r", "enforcement": "mandatory", "urn": "u", "type": "t", "name": "n",
         "reason": "no", "remedy": "do"}
    ]  # fmt: skip
    run = world.submit("B", 1).run_id
    world.work()
    assert world.run(run).status == "policy_failed"
    assert perform(world.core, ADMIN, accounts.get_account, OWN).claimed_by is None


def test_a_retry_after_that_claims_an_account_anew(world: World) -> None:
    add(world)
    first = world.submit("B", 1).run_id
    world.work()
    reject(world, first)
    again = perform(world.core, OPS, runs.retry_run, first or "").id
    world.work()
    assert world.run(again).status == "awaiting_approval"
    assert deployment_of(world, again).account_id == OWN
    assert perform(world.core, ADMIN, accounts.get_account, OWN).claimed_by is not None


def test_an_account_in_which_something_may_exist_stays_claimed(world: World) -> None:
    add(world)
    first = world.submit("B", 1).run_id
    world.work()
    world.engine.faults.append(Fault(kind="fails"))
    world.approve(first)
    assert world.run(first).status == "errored"
    again = perform(world.core, ADMIN, runs.retry_run, first or "").id
    world.work()
    assert world.run(again).status == "awaiting_approval"
    reject(world, again)
    assert deployment_of(world, again).account_id == OWN
    assert (
        perform(world.core, ADMIN, accounts.get_account, OWN).claimed_by
        == world.run(first).deployment_id
    )
    assert "account.released:completed" not in world.actions()


def test_an_end_that_a_newer_run_follows_gives_nothing_back(world: World) -> None:
    add(world)
    first = world.submit("B", 1).run_id
    world.work()
    fresh = perform(world.core, OPS, request_run, deployment_of(world, first))
    world.work()
    assert world.run(first).status == "superseded"
    assert world.run(fresh.id).status == "awaiting_approval"
    assert deployment_of(world, first).account_id == OWN
    assert "account.released:completed" not in world.actions()


def test_a_shared_account_with_one_deployment_becomes_its_own(world: World) -> None:
    add(world, shared=True)
    run = world.submit("B", 1).run_id
    world.work()
    changed = perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": False})
    assert changed.claimed_by == world.run(run).deployment_id
    assert waiting(world, 2)
    shared = perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": True})
    assert shared.claimed_by is None


def test_the_slices_of_a_hub_are_no_deployments_of_their_own_in_its_account(world: World) -> None:
    add(world, shared=True)
    world.ready_hub()
    world.submit("A", 1)
    world.work()
    changed = perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": False})
    hub = next(d for d in world.rows("deployment").values() if d.kind == "hub")
    assert changed.claimed_by == hub.id


def test_what_changes_of_an_account_is_what_was_named(world: World) -> None:
    add(world)
    role = f"arn:aws:iam::{OWN}:role/provision"
    changes = {"role_arn": role, "external_id": "vendor-7"}
    perform(world.core, ADMIN, accounts.update_account, OWN, changes)
    perform(world.core, ADMIN, accounts.update_account, OWN, {"external_id": "vendor-8"})
    found = perform(world.core, ADMIN, accounts.get_account, OWN)
    assert (found.role_arn, found.external_id, found.shared) == (role, "vendor-8", False)
    assert world.events()[-1].data["fields"] == ["external_id"]
    assert "vendor-8" not in repr(world.events()[-1])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role_arn": "arn:aws:iam::999999999999:role/provision"}, "role_arn"),
        ({"role_arn": f"arn:aws:iam::{OWN}:user/provision"}, "role_arn"),
        ({"role_arn": f"arn:aws:iam::{OWN}:role/a\n"}, "role_arn"),
        ({"external_id": "without-a-role"}, "external_id"),
    ],
)
def test_what_aws_would_refuse_later_is_refused_now(
    world: World, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        add(world, **changes)
    assert refused.value.data["field"] == field
    add(world)
    with pytest.raises(InvalidInput):
        perform(world.core, ADMIN, accounts.update_account, OWN, changes)


def test_an_account_that_is_not_in_the_pool_is_not_found(world: World) -> None:
    for act in (
        lambda: perform(world.core, ADMIN, accounts.get_account, OWN),
        lambda: perform(world.core, ADMIN, accounts.remove_account, OWN),
        lambda: perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": True}),
    ):
        with pytest.raises(NotFound):
            act()
