"""What the database refuses of deliveries, whatever the code asks for."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.domain.delivery import Delivery
from control_plane.domain.errors import Conflict
from tests.entities import Entities
from tests.storage import Storage

MAKE = Entities()
DECIDED = "decided_by = 'a', decision_reason = 'b', decided_at = now()"


def kept(storage: Storage, **changes: Any) -> Delivery:
    delivery = MAKE.delivery(**changes)
    with storage.unit_of_work() as uow:
        uow.intake.keep(delivery)
        uow.commit()
    return delivery


def constraint(storage: Storage, statement: str, **given: Any) -> str:
    """Return what refuses a statement of the application's role."""
    with storage.unit_of_work() as uow, pytest.raises(DBAPIError) as refused:
        uow.connection.execute(text(statement), given)
    cause = refused.value.orig
    assert isinstance(cause, psycopg.Error)
    return str(cause.diag.constraint_name)


def done(storage: Storage, statement: str, **given: Any) -> None:
    with storage.unit_of_work() as uow:
        uow.connection.execute(text(statement), given)
        uow.commit()


def test_equal_content_is_one_row_and_a_count(storage: Storage) -> None:
    first = kept(storage)
    again = MAKE.delivery(dedupe_key=first.dedupe_key)
    with storage.unit_of_work() as uow:
        assert uow.intake.keep(again) == (first.id, False)
        uow.commit()
    assert storage.rows("delivery")[first.id].times_received == 2
    assert storage.rows("delivery")[first.id].version == 1  # nobody's change gets in the way


@pytest.mark.parametrize("change", [
    "body = '{}'::bytea || '1'", "sha256 = 'x'", "key_name = 'another'", "source = 'x'",
    "dedupe_key = 'x'", "envelope_id = 'x'", "event = 'x'", "size = 3", "received_at = now()",
])  # fmt: skip
def test_what_came_is_never_changed(storage: Storage, change: str) -> None:
    found = kept(storage)
    statement = f"UPDATE delivery SET {change} WHERE id = :id"  # noqa: S608 - our own words
    assert constraint(storage, statement, id=found.id) == "delivery_is_as_it_came"


@pytest.mark.parametrize(("change", "name"), [
    (f"status = 'dismissed', settled_at = now(), {DECIDED}", "delivery_moves"),
    ("status = 'accepted', settled_at = now()", "ck_delivery_made_a_tenant"),
    ("status = 'refused', settled_at = now()", "ck_delivery_open_for_a_reason"),
    ("status = 'ignored'", "ck_delivery_settled"),
    ("body = NULL", "ck_delivery_has_its_content"),
    ("is_additional = true", "ck_delivery_additional_by_somebody"),
    ("decided_by = 'a'", "ck_delivery_decided_by_somebody"),
    ("code = 'x'", "ck_delivery_code_of_error"),
    ("turn = 0", "delivery_counts"),
    ("times_received = 0", "delivery_counts"),
])  # fmt: skip
def test_a_status_has_what_it_says(storage: Storage, change: str, name: str) -> None:
    found = kept(storage)
    statement = f"UPDATE delivery SET {change} WHERE id = :id"  # noqa: S608 - our own words
    assert constraint(storage, statement, id=found.id) == name


def test_what_is_settled_stays_so_and_its_content_can_be_erased(storage: Storage) -> None:
    found = kept(storage)
    done(storage, "UPDATE delivery SET status = 'ignored', settled_at = now() WHERE id = :id",
         id=found.id)  # fmt: skip
    back = "UPDATE delivery SET status = 'received', settled_at = NULL WHERE id = :id"
    assert constraint(storage, back, id=found.id) == "delivery_moves"
    done(storage, "UPDATE delivery SET body = NULL WHERE id = :id", id=found.id)
    again = "UPDATE delivery SET body = '{}' WHERE id = :id"
    assert constraint(storage, again, id=found.id) == "delivery_is_as_it_came"
    assert constraint(storage, "DELETE FROM delivery WHERE id = :id", id=found.id) == (
        "delivery_is_kept"
    )


@pytest.mark.parametrize("changes", [
    {"key_name": None}, {"key_name": None, "body": None}, {"status": "accepted"}, {"size": 3},
])  # fmt: skip
def test_a_delivery_begins_as_received_with_its_content(
    storage: Storage, changes: dict[str, Any]
) -> None:
    with pytest.raises(Conflict) as refused:
        kept(storage, **changes)
    assert refused.value.data["constraint"] == "delivery_begins"


def test_what_nobody_signed_has_no_content_and_is_deleted_in_time(storage: Storage) -> None:
    unsigned = {
        "key_name": None, "status": "refused", "code": "signature_invalid",
        "error": {"code": "signature_invalid"}, "settled_at": MAKE.clock.now(),
    }  # fmt: skip
    with pytest.raises(Conflict) as refused:
        kept(storage, **unsigned)
    assert refused.value.data["constraint"] == "ck_delivery_authentic"
    found = kept(storage, **unsigned, body=None)
    with storage.unit_of_work() as uow:
        assert uow.intake.forget_unsigned(MAKE.clock.now(), limit=10) == 0
        assert uow.intake.forget_unsigned(MAKE.clock.advance(seconds=1), limit=10) == 1
        uow.commit()
    assert found.id not in storage.rows("delivery")
