"""Writing events: in the business transaction, or alone for what is refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.db.audit_tables import audit_disclosure, audit_pending
from control_plane.domain.audit import SALT_BYTES, AuditEvent, encode_body, event_uuid
from control_plane.domain.canonical import canonical_json
from control_plane.domain.errors import AuditUnavailable

DEADLINE_MS: Final = 2000


def random_salt() -> bytes:
    """Return a fresh salt of a commitment."""
    return secrets.token_bytes(SALT_BYTES)


class SqlAuditLog:
    """The port ``AuditLog`` over one connection: its transaction is the caller's.

    The event is durable exactly when what it records is. ``salt`` is the source of 32 random bytes
    per personal value.
    """

    def __init__(self, connection: Connection, *, salt: Callable[[], bytes] = random_salt) -> None:
        self._connection = connection
        self._salt = salt

    def record(self, event: AuditEvent) -> None:
        """Write the event and its disclosures. Raises ``AuditUnavailable``: then nothing counts."""
        salts = {path: self._salt() for path in event.personal}
        row = {
            "event_id": event_uuid(event.id),
            "tenant_id": event.tree,
            "body": encode_body(event, salts),
        }
        disclosures = [
            {
                "tenant_id": event.tree,
                "event_id": row["event_id"],
                "path": path,
                "salt": salts[path],
                "value": canonical_json(value).decode(),
            }
            for path, value in event.personal.items()
        ]
        try:
            self._connection.execute(audit_pending.insert().inline(), row)
            if disclosures:
                self._connection.execute(audit_disclosure.insert().inline(), disclosures)
        except SQLAlchemyError as exc:
            raise AuditUnavailable from exc


def record_alone(engine: Engine, event: AuditEvent, *, deadline_ms: int = DEADLINE_MS) -> None:
    """Write an event in a transaction of its own, before its refusal is answered.

    What was denied or failed rolls back, and would take its event with it. No statement waits
    longer than ``deadline_ms``. Raises ``AuditUnavailable``: the caller then answers that instead.
    """
    try:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT set_config('statement_timeout', :ms, true),"
                    " set_config('lock_timeout', :ms, true)"
                ),
                {"ms": str(deadline_ms)},
            )
            SqlAuditLog(connection).record(event)
    except SQLAlchemyError as exc:
        raise AuditUnavailable from exc
