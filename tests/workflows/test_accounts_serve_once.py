"""An AWS account serves one owner, ever: what services refuse, and what the database does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from control_plane.domain.removal_errors import AccountHasServed
from control_plane.domain.run import BlockedOn
from control_plane.services import accounts
from control_plane.services.performing import perform
from tests.storage import Storage
from tests.workflows.removed import remove_all
from tests.world import ADMIN, World

OWN = "111111111111"


def add(world: World, number: str = OWN) -> None:
    perform(
        world.core, ADMIN, accounts.add_account,
        account_id=number, role_arn=None, external_id=None, shared=False,
    )  # fmt: skip


def account(world: World, number: str = OWN) -> Any:
    (found,) = [each for each in world.rows("account").values() if each.account_id == number]
    return found


@pytest.fixture
def served(world: World) -> str:
    """Build a dedicated tenant in an account of its own; returns its deployment."""
    add(world)
    accepted = world.submit("B")
    world.work()
    assert account(world).served is None  # it only has it claimed
    world.approve(accepted.run_id)
    deployment = str(world.run(accepted.run_id).deployment_id)
    assert (account(world).claimed_by, account(world).served) == (deployment, deployment)
    return deployment


def tenant_of(world: World, deployment: str) -> str:
    return str(world.rows("deployment")[deployment].tenant_id)


def test_a_removed_tenant_s_account_is_retired_and_never_claimed_again(
    world: World, served: str
) -> None:
    remove_all(world, tenant_of(world, served))
    found = account(world)
    assert (found.claimed_by, found.served) == (None, served)
    assert found.retired_at == world.clock.now()
    assert accounts.status_of(found) == "retired"
    (certificate,) = world.rows("certificate").values()
    assert certificate.body["account_retired"] == OWN
    assert "account.retired:completed" in world.actions()
    with world.core.uow() as uow:  # leave nothing but the retired one
        (shared,) = [each for each in uow.accounts.find() if each.shared]
        uow.accounts.remove(shared.id)
        uow.commit()
    second = world.submit("B", number=2)
    world.work()
    assert world.run(second.run_id).blocked_on is BlockedOn.NO_ACCOUNT
    add(world, "222222222222")
    world.work()
    assert account(world, "222222222222").claimed_by == world.run(second.run_id).deployment_id


@pytest.mark.parametrize("is_removed", [False, True])
def test_what_served_is_neither_shared_nor_taken_out_of_the_pool(
    world: World, served: str, is_removed: bool
) -> None:
    if is_removed:
        remove_all(world, tenant_of(world, served))
    for change in (
        lambda: perform(world.core, ADMIN, accounts.update_account, OWN, {"shared": True}),
        lambda: perform(world.core, ADMIN, accounts.remove_account, OWN),
    ):
        with pytest.raises(AccountHasServed) as error:
            change()
        assert error.value.data == {"account": OWN, "deployment": served}
        assert world.actions()[-1] == "account.refused:denied"


@pytest.fixture(params=["app", "owner"])
def session(request: pytest.FixtureRequest, storage: Storage) -> Iterator[psycopg.Connection[Any]]:
    """A session of a role that could write the table."""
    url = str(getattr(storage.database, request.param))
    with psycopg.connect(url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE account SET claimed_by = 'dep_x' WHERE served IS NOT NULL",
         "ck_account_retired_is_never_claimed"),
        ("UPDATE account SET served = NULL, retired_at = NULL WHERE served IS NOT NULL",
         "account_serves_one"),
        ("UPDATE account SET served = 'dep_x' WHERE served IS NOT NULL", "account_serves_one"),
        ("UPDATE account SET retired_at = NULL WHERE served IS NOT NULL", "account_serves_one"),
        ("UPDATE account SET shared = true WHERE served IS NOT NULL",
         "ck_account_shared_serves_many"),
        ("UPDATE account SET account_id = '9' WHERE served IS NOT NULL", "account_serves_one"),
        ("DELETE FROM account WHERE served IS NOT NULL", "account_serves_one"),
    ],
)  # fmt: skip
def test_no_statement_gives_a_retired_account_to_another(
    world: World, served: str, session: psycopg.Connection[Any], statement: str, constraint: str
) -> None:
    remove_all(world, tenant_of(world, served))
    with pytest.raises(psycopg.Error) as error:
        session.execute(statement.encode())
    assert error.value.diag.constraint_name == constraint


def test_no_run_of_another_deployment_begins_to_apply_in_it(
    world: World, served: str, session: psycopg.Connection[Any]
) -> None:
    """A deployment that SQL sent there past the pool is stopped where it would matter."""
    remove_all(world, tenant_of(world, served))
    other = world.submit("B", number=2)
    world.work()
    session.execute(
        "UPDATE deployment SET account_id = %s WHERE tenant_id = %s", [OWN, other.tenant.id]
    )
    begins = """
        INSERT INTO run SELECT (jsonb_populate_record(run, '{"id": "run_x", "number": 99,
            "status": "applying", "approval_id": null, "plan_id": null}')).*
        FROM run WHERE id = %s
    """
    with pytest.raises(psycopg.Error) as error:
        session.execute(begins, [other.run_id])
    assert error.value.diag.constraint_name == "account_serves_one"


def test_what_was_removed_stays_removed_in_sql(
    world: World, served: str, session: psycopg.Connection[Any]
) -> None:
    tenant_id = tenant_of(world, served)
    remove_all(world, tenant_id)
    for statement in (
        "UPDATE tenant SET removed_at = NULL", "UPDATE tenant SET slug = 'another'",
        "UPDATE deployment SET removed_at = NULL WHERE removed_at IS NOT NULL",
    ):  # fmt: skip
        with pytest.raises(psycopg.Error) as error, session.transaction():
            session.execute(statement.encode())
        assert error.value.diag.constraint_name == "removed_stays_removed"
