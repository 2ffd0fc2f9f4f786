"""One transaction of PostgreSQL: rows, audit log and queue together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, text

from control_plane.adapters.audit.recorder import TransactionAuditLog
from control_plane.adapters.db import mapping
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.queries import SqlQueries
from control_plane.adapters.db.repositories import Known, SqlRepository, SqlRunEvents, add_rows
from control_plane.adapters.db.timers import SqlTimers
from control_plane.ports.rows import RunQueue, UnitOfWork

_TAKE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class SqlUnitOfWork(UnitOfWork):
    """The port ``UnitOfWork``: a connection of the pool for the length of a block.

    ``queue`` gives the durable queue on that connection, so that a phase is enqueued exactly when
    the rows that ask for it are committed. After ``commit`` a next transaction may follow in the
    same block; leaving the block rolls back what is not committed.
    """

    def __init__(self, engine: Engine, *, queue: Callable[[Connection], RunQueue]) -> None:
        self._engine = engine
        self._make_queue = queue

    def __enter__(self) -> Self:
        with translated():
            connection = self._engine.connect()
        self._connection = connection
        self._known = known = Known()
        self.tenants = SqlRepository(connection, mapping.TENANT, known)
        self.contracts = SqlRepository(connection, mapping.CONTRACT, known)
        self.requests = SqlRepository(connection, mapping.REQUEST, known)
        self.refusals = SqlRepository(connection, mapping.REFUSAL, known)
        self.hubs = SqlRepository(connection, mapping.HUB, known)
        self.accounts = SqlRepository(connection, mapping.ACCOUNT, known)
        self.deployments = SqlRepository(connection, mapping.DEPLOYMENT, known)
        self.specs = SqlRepository(connection, mapping.SPEC, known)
        self.runs = SqlRepository(connection, mapping.RUN, known)
        self.calls = SqlRepository(connection, mapping.CALL, known)
        self.evidence = SqlRepository(connection, mapping.EVIDENCE, known)
        self.run_events = SqlRunEvents(connection)
        self.plans = SqlRepository(connection, mapping.PLAN, known)
        self.approvals = SqlRepository(connection, mapping.APPROVAL, known)
        self.barred = SqlRepository(connection, mapping.BARRED, known)
        self.decisions = SqlRepository(connection, mapping.DECISION, known)
        self.bundles = SqlRepository(connection, mapping.BUNDLE, known)
        self.handovers = SqlRepository(connection, mapping.HANDOVER, known)
        self.links = SqlRepository(connection, mapping.LINK, known)
        self.receipts = SqlRepository(connection, mapping.RECEIPT, known)
        self.idempotency = SqlRepository(connection, mapping.IDEMPOTENCY, known)
        self.documents = SqlRepository(connection, mapping.DOCUMENT, known)
        self.timers = SqlTimers(connection)
        self.queries = SqlQueries(connection)
        self.audit = TransactionAuditLog(connection)
        self.queue = self._make_queue(connection)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # rolls back what was not committed

    def commit(self) -> None:
        """Make everything of the block durable, or nothing.

        Raises ``Conflict``, and ``AuditUnavailable`` when its events cannot be written.
        """
        driver = self._connection.connection.driver_connection
        if driver is not None and driver.info.transaction_status == TransactionStatus.INERROR:
            # PostgreSQL would roll back and say that it has committed
            raise RuntimeError("a write of this transaction was refused: it can only be left")
        self.audit.write()
        with translated():
            self._connection.commit()
        self._known.clear()

    def add(self, *entities: object) -> None:
        """Insert entities of whatever kinds together: all of them or none.

        Raises ``Conflict`` as ``Repository.add`` does; the transaction continues.
        """
        with translated(), self._connection.begin_nested():
            add_rows(self._connection, self._known, *entities)

    def serialize_on(self, name: str) -> None:
        """Wait until no other transaction holds ``name``; released at the end of this one.

        Raises ``Unavailable`` after the session's lock timeout.
        """
        with translated():
            self._connection.execute(_TAKE, {"name": name})
