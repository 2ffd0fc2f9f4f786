"""What the database refuses of findings of looks and their positions, whatever the code asks."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.domain.errors import Conflict
from tests.entities import Entities
from tests.storage import Storage

MAKE = Entities()
ENDED = "ended_at = now(), reason = 'b'"


def added(storage: Storage, repository: str, row: Any) -> str:
    with storage.unit_of_work() as uow:
        getattr(uow, repository).add(row)
        uow.commit()
    return str(row.id)


def constraint(storage: Storage, statement: str, **given: Any) -> str:
    """Return what refuses a statement of the application's role."""
    with storage.unit_of_work() as uow, pytest.raises(DBAPIError) as refused:
        uow.connection.execute(text(statement), given)
    cause = refused.value.orig
    assert isinstance(cause, psycopg.Error)
    return str(cause.diag.constraint_name)


@pytest.mark.parametrize(("change", "name"), [
    ("status = 'settled'", "ck_intake_finding_ended"),
    (f"status = 'settled', {ENDED}", "ck_intake_finding_settled_by_somebody"),
    (f"status = 'agreed', settled_by = 'a', {ENDED}", "ck_intake_finding_settled_by_somebody"),
    ("status = 'agreed', ended_at = now()", "ck_intake_finding_ended_for_a_reason"),
    ("explanation = 'x'", "intake_finding_is_as_it_was"),
    ("digest = 'x'", "intake_finding_is_as_it_was"),
])  # fmt: skip
def test_a_finding_is_kept_as_it_was_made(storage: Storage, change: str, name: str) -> None:
    found = added(storage, "intake_findings", MAKE.intake_finding())
    statement = f"UPDATE intake_finding SET {change} WHERE id = :id"  # noqa: S608 - our own words
    assert constraint(storage, statement, id=found) == name


def test_one_difference_has_one_open_finding_and_what_has_ended_stays_so(
    storage: Storage,
) -> None:
    found = added(storage, "intake_findings", MAKE.intake_finding())
    with pytest.raises(Conflict):
        added(storage, "intake_findings", MAKE.intake_finding())
    agreed = f"UPDATE intake_finding SET status = 'agreed', {ENDED} WHERE id = :id"  # noqa: S608
    with storage.unit_of_work() as uow:
        uow.connection.execute(text(agreed), {"id": found})
        uow.commit()
    assert constraint(storage, agreed, id=found) == "intake_finding_has_ended"
    added(storage, "intake_findings", MAKE.intake_finding())


@pytest.mark.parametrize("change", [
    "position = position - interval '1 second'", "turn = turn - 1", "checked = ''",
])  # fmt: skip
def test_a_position_never_goes_back(storage: Storage, change: str) -> None:
    added(storage, "intake_looks", MAKE.intake_look(checked="dlv_1"))
    statement = f"UPDATE intake_look SET {change} WHERE id = 'docusign'"  # noqa: S608
    assert constraint(storage, statement) == "intake_look_goes_on"
