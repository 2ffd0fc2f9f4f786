"""What the database refuses of deployments beside each other, whoever writes to it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.entities import Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def owner(storage: Storage) -> Iterator[tuple[psycopg.Connection, str]]:
    """The session of the tables' owner, and the id of a tenant's current deployment."""
    make = Entities()
    with storage.unit_of_work() as uow:
        tenant = make.tenant()
        deployment = make.deployment(tenant)
        uow.add(tenant, deployment)
        uow.commit()
    with psycopg.connect(storage.database.owner, autocommit=True) as connection:
        yield connection, deployment.id


def moved(connection: psycopg.Connection, deployment_id: str, position: str) -> str:
    """Return the constraint that refuses a move, or ''."""
    try:
        connection.execute(
            "UPDATE deployment SET position = %s WHERE id = %s", [position, deployment_id]
        )
    except psycopg.Error as error:
        return error.diag.constraint_name or ""
    return ""


def test_what_was_current_is_never_current_again(
    owner: tuple[psycopg.Connection, str],
) -> None:
    connection, deployment_id = owner
    assert moved(connection, deployment_id, "next") == "deployment_position"
    assert moved(connection, deployment_id, "former") == ""
    assert moved(connection, deployment_id, "current") == "deployment_position"
    assert moved(connection, deployment_id, "next") == ""
    assert moved(connection, deployment_id, "elsewhere") in {
        "deployment_position", "ck_deployment_position"
    }  # fmt: skip


def test_one_deployment_is_current_for_a_tenant_and_environment(
    owner: tuple[psycopg.Connection, str],
) -> None:
    connection, deployment_id = owner
    columns = [
        str(name)
        for (name,) in connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'deployment'"
            " AND table_schema = 'public' AND column_name NOT IN ('id', 'stack', 'position')"
        )
    ]
    listed = ", ".join(columns)
    statement = (
        f"INSERT INTO deployment (id, stack, position, {listed})"  # noqa: S608 - names of columns
        f" SELECT %s, %s, %s, {listed} FROM deployment WHERE id = %s"
    )
    with pytest.raises(psycopg.errors.UniqueViolation) as second:
        connection.execute(statement.encode(), ["dep_x", "x.y.b", "current", deployment_id])
    assert second.value.diag.constraint_name == "uq_deployment_one_is_current"
    connection.execute(statement.encode(), ["dep_x", "x.y.b", "next", deployment_id])
    assert moved(connection, "dep_x", "current") == "uq_deployment_one_is_current"
    assert moved(connection, deployment_id, "former") == ""
    assert moved(connection, "dep_x", "current") == ""


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (
            (
                "UPDATE deployment SET kind = 'customer_run', transfer = '{\"frozen\": true}'"
                " WHERE id = %s"
            ),
            "ck_deployment_transfer_of_ours",
        ),
        (
            (
                "UPDATE deployment SET kind = 'slice', inherited = '{\"data_prefix\": \"\"}'"
                " WHERE id = %s"
            ),
            "ck_deployment_inherited_by_a_whole_hub",
        ),
    ],
)
def test_what_is_the_customer_s_is_not_transferred_and_a_slice_inherits_nothing(
    owner: tuple[psycopg.Connection, str], statement: str, broken: str
) -> None:
    connection, deployment_id = owner
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute(statement.encode(), [deployment_id])
    assert refused.value.diag.constraint_name == broken
