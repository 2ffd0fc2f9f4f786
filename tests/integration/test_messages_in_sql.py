"""What the code refuses of messages and suppressions, the database refuses too."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import Conflict
from control_plane.domain.message import MessageStatus, Reason
from tests.entities import Entities
from tests.storage import Storage

ERASE = "recipient_name = '', recipient_email = '', data = '{}', secrets = '{}', erased_at = now()"


@pytest.fixture
def sql(storage: Storage) -> Any:
    """A message, a suppression, and a connection of the application."""
    make = Entities()
    tenant = make.tenant()
    with storage.unit_of_work() as uow:
        uow.tenants.add(tenant)
        uow.messages.add(make.message(tenant))
        uow.suppressions.add(make.suppression("ida"))
        uow.commit()
    with psycopg.connect(storage.database.app, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "change",
    [
        "recipient_email = 'other@example.com'",
        'data = \'{"missing": "something else"}\'',
        "secrets = '{\"link\": {}}'",
        "dedupe_key = 'another'",
        "message_id = '<other@example.com>'",
        "tenant_id = 'ten_other'",
        (
            "status = 'sent', settled_at = now(), template = 'x/1', template_digest = 'y', "
            "system = 'z'"
        ),
        "status = 'dead', settled_at = now()",
        "status = 'suppressed', reason = 'opted_out'",
        "status = 'sending', reason = 'hold'",
        "reason = 'a whim'",
        "turn = 0",
        "erased_at = now()",
        ERASE,
    ],
)
def test_a_message_is_kept_as_it_was_queued(sql: Any, change: str) -> None:
    with pytest.raises(psycopg.Error):
        sql.execute(f"UPDATE message SET {change}")  # noqa: S608 - our own words


def test_content_is_erased_whole_and_only_once_it_is_settled(sql: Any) -> None:
    sql.execute("UPDATE message SET status = 'canceled', reason = 'by_person', settled_at = now()")
    with pytest.raises(psycopg.Error):
        sql.execute("UPDATE message SET recipient_email = '', erased_at = now()")
    sql.execute(f"UPDATE message SET {ERASE}")  # noqa: S608 - our own words
    with pytest.raises(psycopg.Error):
        sql.execute("UPDATE message SET status = 'queued', reason = NULL, settled_at = NULL")


def test_a_possible_duplicate_stays_one(sql: Any) -> None:
    sql.execute("UPDATE message SET may_be_twice = true")
    with pytest.raises(psycopg.Error):
        sql.execute("UPDATE message SET may_be_twice = false")


@pytest.mark.parametrize("statement", ["DELETE FROM message", "DELETE FROM suppression",
                                       "UPDATE suppression SET address_sha256 = repeat('0', 64)",
                                       "UPDATE suppression SET lifted_at = now()"])  # fmt: skip
def test_nothing_is_deleted_and_a_suppression_is_lifted_whole(sql: Any, statement: str) -> None:
    with pytest.raises(psycopg.Error):
        sql.execute(statement)


def test_a_suppression_is_lifted_once(sql: Any) -> None:
    lift = "UPDATE suppression SET lifted_at = now(), lifted_by = 'x', lift_reason = 'y'"
    sql.execute(lift)
    with pytest.raises(psycopg.Error):
        sql.execute(lift)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": MessageStatus.CANCELED, "reason": Reason.BY_PERSON},
        {"attempts": 1},
        {"may_be_twice": True},
        {"recipient_name": "Ida\nBcc: all@example.com"},
        {"recipient_email": "ida@example.com\r\n"},
        {"recipient_email": ""},
        {"calendar_method": "REQUEST"},
    ],
)
def test_a_message_begins_as_queued(storage: Storage, changes: dict[str, Any]) -> None:
    make = Entities()
    tenant = make.tenant()
    message = make.message(tenant, **changes)
    if message.status is not MessageStatus.QUEUED:
        message = make.message(tenant, settled_at=message.queued_at, **changes)
    with storage.unit_of_work() as uow:
        uow.tenants.add(tenant)
        with pytest.raises(Conflict, match=r"rule|immutable"):
            uow.messages.add(message)
