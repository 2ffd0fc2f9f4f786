"""Writing events: in the business transaction, or alone for what is refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Connection,
    Engine,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit.given import Bytes
from control_plane.adapters.audit.telling import TELL, values_of
from control_plane.adapters.db.audit_tables import audit_disclosure, audit_pending
from control_plane.domain.audit import SALT_BYTES, AuditEvent, encode_body, event_uuid
from control_plane.domain.canonical import canonical_json
from control_plane.domain.errors import AuditUnavailable
from control_plane.domain.public_events import PublicEvent, public_event

DEADLINE_MS: Final = 2000
_COLUMNS: Final = {"event_id": Uuid, "tenant_id": Text, "body": Bytes}
# one text for any number of events, made once: every mutation writes some
_INSERT: Final = audit_pending.insert().from_select(
    list(_COLUMNS),
    select(
        func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()))
        .table_valued(*(column(name, kind) for name, kind in _COLUMNS.items()))
        .render_derived(name="given")
    ),
)


def random_salt() -> bytes:
    """Return a fresh salt of a commitment."""
    return secrets.token_bytes(SALT_BYTES)


class SqlAuditLog:
    """Writes events over one connection: its transaction is the caller's.

    An event is durable exactly when what it records is. ``salt`` is the source of 32 random bytes
    per personal value.
    """

    def __init__(self, connection: Connection, *, salt: Callable[[], bytes] = random_salt) -> None:
        self._connection = connection
        self._salt = salt
        self._rows: list[tuple[Any, ...]] = []
        self._disclosures: list[dict[str, Any]] = []

    def record(self, event: AuditEvent) -> None:
        """Write the event and its disclosures. Raises ``AuditUnavailable``: then nothing counts."""
        self.keep(event)
        self.write()

    def keep(self, event: AuditEvent) -> None:
        """Keep the event until ``write``."""
        salts = {path: self._salt() for path in event.personal}
        key = event_uuid(event.id)
        self._rows.append((key, event.tree, encode_body(event, salts)))
        self._disclosures += [
            {
                "tenant_id": event.tree,
                "event_id": key,
                "path": path,
                "salt": salts[path],
                "value": canonical_json(value).decode(),
            }
            for path, value in event.personal.items()
        ]

    def write(self, public: Sequence[PublicEvent] = ()) -> None:
        """Write the events that were kept, in one statement with what is published of them.

        Raises ``AuditUnavailable``.
        """
        rows, disclosures = self._rows, self._disclosures
        self._rows, self._disclosures = [], []
        if not rows:
            return
        try:
            if public:
                self._connection.execute(TELL, values_of(rows, public))
            else:
                columns = zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)
                self._connection.execute(_INSERT, dict(columns))
            if disclosures:
                self._connection.execute(audit_disclosure.insert().inline(), disclosures)
        except SQLAlchemyError as exc:
            raise AuditUnavailable from exc


class TransactionAuditLog:
    """The port ``AuditLog``: the events of a unit of work, in one statement when it commits.

    What subscribers get and people watch of them goes out in the same statement.
    """

    def __init__(self, connection: Connection) -> None:
        self._log = SqlAuditLog(connection)
        self._public: list[PublicEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Write the event with the others of this transaction, when that is committed."""
        self._log.keep(event)
        public = public_event(event)
        if public is not None:
            self._public.append(public)

    def write(self) -> None:
        """Write what was recorded. Raises ``AuditUnavailable``: then nothing counts."""
        public, self._public = self._public, []
        self._log.write(public)


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
