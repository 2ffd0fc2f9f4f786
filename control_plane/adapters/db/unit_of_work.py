"""One transaction of PostgreSQL: rows, audit log and queue together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Self, TypeVar

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, text

from control_plane.adapters.audit.disclosures import SqlDisclosures
from control_plane.adapters.audit.quarantine import SqlQuarantine
from control_plane.adapters.audit.recorder import TransactionAuditLog
from control_plane.adapters.db import mapping
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.intake import SqlIntake
from control_plane.adapters.db.late_rows import SqlLateRows
from control_plane.adapters.db.looks import SqlLooks
from control_plane.adapters.db.mapping import Mapped
from control_plane.adapters.db.onboarding import SqlOnboarding
from control_plane.adapters.db.outbox import SqlOutbox
from control_plane.adapters.db.personal_rows import SqlPersonalRows
from control_plane.adapters.db.publications import SqlPublications
from control_plane.adapters.db.queries import SqlQueries
from control_plane.adapters.db.repositories import (
    Known,
    SqlRepository,
    SqlRunEvents,
    add_rows,
    alone,
)
from control_plane.adapters.db.staffing import SqlStaffing
from control_plane.adapters.db.timers import SqlTimers
from control_plane.adapters.db.transfers import SqlTransfers
from control_plane.domain.errors import Conflict
from control_plane.ports.rows import RunQueue, UnitOfWork

T = TypeVar("T")
_TAKE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class _Rows(Generic[T]):
    """A repository of a unit of work, made when it is used: most use cases take few of them."""

    def __init__(self, mapped: Mapped[T]) -> None:
        self._mapped = mapped

    def __get__(self, uow: SqlUnitOfWork, _: type[SqlUnitOfWork]) -> SqlRepository[T]:
        return SqlRepository(uow.connection, self._mapped, uow.known)


class SqlUnitOfWork(UnitOfWork):
    """The port ``UnitOfWork``: a connection of the pool for the length of a block.

    ``queue`` gives the durable queue on that connection, so that a phase is enqueued exactly when
    the rows that ask for it are committed. After ``commit`` a next transaction may follow in the
    same block; leaving the block rolls back what is not committed.
    """

    tenants = _Rows(mapping.TENANT)
    contracts = _Rows(mapping.CONTRACT)
    amendments = _Rows(mapping.AMENDMENT)
    requests = _Rows(mapping.REQUEST)
    refusals = _Rows(mapping.REFUSAL)
    deliveries = _Rows(mapping.DELIVERY)
    intake_findings = _Rows(mapping.INTAKE_FINDING)
    intake_looks = _Rows(mapping.INTAKE_LOOK)
    messages = _Rows(mapping.MESSAGE)
    suppressions = _Rows(mapping.SUPPRESSION)
    onboarding_links = _Rows(mapping.ONBOARDING_LINK)
    onboarding_sessions = _Rows(mapping.ONBOARDING_SESSION)
    onboarding_steps = _Rows(mapping.ONBOARDING_STEP)
    step_versions = _Rows(mapping.STEP_VERSION)
    console_sessions = _Rows(mapping.CONSOLE_SESSION)
    assignments = _Rows(mapping.ASSIGNMENT)
    meetings = _Rows(mapping.MEETING)
    hubs = _Rows(mapping.HUB)
    holds = _Rows(mapping.HOLD)
    sagas = _Rows(mapping.SAGA)
    saga_steps = _Rows(mapping.SAGA_STEP)
    removal_decisions = _Rows(mapping.REMOVAL_DECISION)
    certificates = _Rows(mapping.CERTIFICATE)
    import_reports = _Rows(mapping.IMPORT_REPORT)
    accounts = _Rows(mapping.ACCOUNT)
    deployments = _Rows(mapping.DEPLOYMENT)
    specs = _Rows(mapping.SPEC)
    runs = _Rows(mapping.RUN)
    calls = _Rows(mapping.CALL)
    evidence = _Rows(mapping.EVIDENCE)
    findings = _Rows(mapping.FINDING)
    finding_decisions = _Rows(mapping.FINDING_DECISION)
    sweeps = _Rows(mapping.SWEEP)
    residences = _Rows(mapping.RESIDENCE)
    plans = _Rows(mapping.PLAN)
    approvals = _Rows(mapping.APPROVAL)
    barred = _Rows(mapping.BARRED)
    decisions = _Rows(mapping.DECISION)
    withdrawals = _Rows(mapping.WITHDRAWAL)
    bundles = _Rows(mapping.BUNDLE)
    handovers = _Rows(mapping.HANDOVER)
    links = _Rows(mapping.LINK)
    receipts = _Rows(mapping.RECEIPT)
    idempotency = _Rows(mapping.IDEMPOTENCY)
    pauses = _Rows(mapping.PAUSE)
    documents = _Rows(mapping.DOCUMENT)
    salts = _Rows(mapping.SALT)
    event_subscriptions = _Rows(mapping.EVENT_SUBSCRIPTION)
    playbooks = _Rows(mapping.PLAYBOOK)
    journeys = _Rows(mapping.JOURNEY)
    journey_steps = _Rows(mapping.JOURNEY_STEP)
    tasks = _Rows(mapping.TASK)
    approver_keys = _Rows(mapping.APPROVER_KEY)
    grants = _Rows(mapping.DISCLOSURE_GRANT)
    erasures = _Rows(mapping.ERASURE)

    def __init__(self, engine: Engine, *, queue: Callable[[Connection], RunQueue]) -> None:
        self._engine = engine
        self._make_queue = queue

    def __enter__(self) -> Self:
        with translated():
            connection = self._engine.connect()
        self.connection = connection
        self.known = Known()
        self.run_events = SqlRunEvents(connection)
        self.timers = SqlTimers(connection)
        self.transfers = SqlTransfers(connection)
        self.queries = SqlQueries(connection)
        self.looks = SqlLooks(connection)
        self.intake = SqlIntake(connection)
        self.publications = SqlPublications(connection)
        self.late = SqlLateRows(connection)
        self.outbox = SqlOutbox(connection)
        self.onboarding = SqlOnboarding(connection)
        self.staffing = SqlStaffing(connection)
        self.disclosures = SqlDisclosures(connection)
        self.quarantine = SqlQuarantine(connection)
        self.personal_rows = SqlPersonalRows(connection)
        self.audit = TransactionAuditLog(connection)
        self.queue = self._make_queue(connection)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()  # rolls back what was not committed

    def commit(self) -> None:
        """Make everything of the block durable, or nothing.

        Raises ``Conflict``, and ``AuditUnavailable`` when its events cannot be written.
        """
        driver = self.connection.connection.driver_connection
        if driver is not None and driver.info.transaction_status == TransactionStatus.INERROR:
            # PostgreSQL would roll back and say that it has committed
            raise RuntimeError("a write of this transaction was refused: it can only be left")
        self.audit.write()
        with translated():
            self.connection.commit()
        self.known.clear()

    def add(self, *entities: object) -> None:
        """Insert entities of whatever kinds together: all of them or none.

        Raises ``Conflict`` as ``Repository.add`` does; the transaction continues.
        """
        with translated(), alone(self.connection):
            add_rows(self.connection, self.known, *entities)

    def begin_with(self, *entities: object) -> None:
        """Insert entities as the first that this transaction writes or locks: all of them or none.

        Raises ``Conflict`` as ``Repository.add`` does; what follows is in a new transaction, so
        that no savepoint is needed.
        """
        try:
            with translated():
                add_rows(self.connection, self.known, *entities)
        except Conflict:
            self.connection.rollback()
            self.known.clear()
            raise

    def serialize_on(self, name: str) -> None:
        """Wait until no other transaction holds ``name``; released at the end of this one.

        Raises ``Unavailable`` after the session's lock timeout.
        """
        with translated():
            self.connection.execute(_TAKE, {"name": name})
