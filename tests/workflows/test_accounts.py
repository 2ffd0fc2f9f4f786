"""The pool of accounts: who waits for one goes on, and what is in use stays."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.errors import Conflict, InvalidInput, NotFound
from control_plane.services import accounts
from control_plane.services.performing import perform
from tests.storage import Storage
from tests.world import ACCOUNT, ADMIN, World

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


def test_a_released_account_is_free_for_who_waits(world: World) -> None:
    add(world)
    first = world.submit("B", 1).run_id
    world.work()
    (second,) = waiting(world, 2)
    freed = perform(world.core, ADMIN, accounts.release_account, deployment_of(world, first))
    again = perform(world.core, ADMIN, accounts.release_account, freed)
    assert again == freed  # nothing is left
    assert freed.account_id == ""
    world.work()
    assert world.run(second).status == "awaiting_approval"
    assert "account.released:completed" in world.actions(world.run(first).tenant_id)
    perform(world.core, ADMIN, accounts.release_account, deployment_of(world, second))
    perform(world.core, ADMIN, accounts.remove_account, OWN)  # nobody is in it any more


def test_a_shared_account_with_one_deployment_becomes_its_own(world: World) -> None:
    add(world, shared=True)
    run = world.submit("B", 1).run_id
    world.work()
    changed = perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": False})
    assert changed.claimed_by == world.run(run).deployment_id
    assert waiting(world, 2)
    shared = perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": True})
    assert shared.claimed_by is None


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
