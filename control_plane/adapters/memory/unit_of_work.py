"""Units of work over a ``MemoryStore``."""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar

from control_plane.adapters.memory import schema
from control_plane.adapters.memory.queue import EnqueueIn
from control_plane.adapters.memory.rows import matches, stored
from control_plane.adapters.memory.schema import TableRules
from control_plane.adapters.memory.store import MemoryStore, Transaction
from control_plane.domain.approval import Approval, Barred, Decision
from control_plane.domain.audit import AuditEvent
from control_plane.domain.bundle import Bundle, DownloadLink, Handover, Receipt
from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.errors import AuditUnavailable
from control_plane.domain.hub import Hub
from control_plane.domain.plan import Plan
from control_plane.domain.run import Run, RunEvent
from control_plane.domain.tenant import Contract, ProvisioningRequest, Tenant
from control_plane.ports import AuditLog, IdempotencyRecord, Repository, RunEvents, RunQueue

T = TypeVar("T")


class MemoryRepository(Generic[T]):
    """The port ``Repository`` over a transaction."""

    def __init__(self, transaction: Transaction, rules: TableRules) -> None:
        self._transaction = transaction
        self._rules = rules

    def add(self, entity: T) -> None:
        """Insert. Raises ``Conflict`` with ``constraint`` when a unique fact exists already."""
        self._transaction.add(self._rules, entity)

    def get(self, entity_id: str, *, lock: bool = False) -> T | None:
        """Return the row; with ``lock`` nobody else changes it until this transaction ends."""
        if lock:
            self._transaction.lock(f"{self._rules.name}:{entity_id}")
        row = self._transaction.visible(self._rules.name).get(entity_id)
        return stored(row) if row is not None else None

    def save(self, entity: T) -> None:
        """Replace the row with the same id. Raises ``Conflict`` when it moved on, or is gone."""
        self._transaction.save(self._rules, entity)

    def find(self, **equals: Any) -> list[T]:
        """Return all rows whose fields equal the given values, oldest id first."""
        rows = self._transaction.visible(self._rules.name).items()
        return [stored(row) for _, row in sorted(rows) if matches(row, equals)]

    def count(self, **equals: Any) -> int:
        """Count what ``find`` would return."""
        return len(self.find(**equals))

    def page(self, *, limit: int, before: str | None = None, **equals: Any) -> list[T]:
        """Return at most ``limit`` rows, newest id first, with ids smaller than ``before``."""
        rows = sorted(self._transaction.visible(self._rules.name).items(), reverse=True)
        found = [
            stored(row)
            for key, row in rows
            if (before is None or key < before) and matches(row, equals)
        ]
        return found[:limit]


class MemoryRunEvents:
    """The port ``RunEvents`` over a transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def append(self, *lines: RunEvent) -> None:
        """Insert lines of one run, all or none; their numbers must be its next, in order.

        Raises ``Conflict`` when they are not.
        """
        self._transaction.append(lines)

    def after(self, run_id: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
        """Return the lines of a run with numbers above ``seq``, in order."""
        return [line for line in self._transaction.lines(run_id) if line.seq > seq][:limit]

    def last_seq(self, run_id: str) -> int:
        """Return the highest number of a run, or 0."""
        return max((line.seq for line in self._transaction.lines(run_id)), default=0)


class MemoryAuditLog:
    """The port ``AuditLog``: events count when the transaction commits."""

    def __init__(self, store: MemoryStore, events: list[AuditEvent]) -> None:
        self._store = store
        self._events = events

    def record(self, event: AuditEvent) -> None:
        """Keep the event. Raises ``AuditUnavailable`` when the store says so."""
        if self._store.audit_unavailable:
            raise AuditUnavailable
        self._events.append(event)


class MemoryUnitOfWork:
    """The port ``UnitOfWork``: reads what is committed and its own writes."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._transaction = transaction = Transaction(store)
        self.tenants: Repository[Tenant] = MemoryRepository(transaction, schema.TENANT)
        self.contracts: Repository[Contract] = MemoryRepository(transaction, schema.CONTRACT)
        self.requests: Repository[ProvisioningRequest] = MemoryRepository(
            transaction, schema.REQUEST
        )
        self.hubs: Repository[Hub] = MemoryRepository(transaction, schema.HUB)
        self.accounts: Repository[Account] = MemoryRepository(transaction, schema.ACCOUNT)
        self.deployments: Repository[Deployment] = MemoryRepository(transaction, schema.DEPLOYMENT)
        self.runs: Repository[Run] = MemoryRepository(transaction, schema.RUN)
        self.run_events: RunEvents = MemoryRunEvents(transaction)
        self.plans: Repository[Plan] = MemoryRepository(transaction, schema.PLAN)
        self.approvals: Repository[Approval] = MemoryRepository(transaction, schema.APPROVAL)
        self.barred: Repository[Barred] = MemoryRepository(transaction, schema.BARRED)
        self.decisions: Repository[Decision] = MemoryRepository(transaction, schema.DECISION)
        self.bundles: Repository[Bundle] = MemoryRepository(transaction, schema.BUNDLE)
        self.handovers: Repository[Handover] = MemoryRepository(transaction, schema.HANDOVER)
        self.links: Repository[DownloadLink] = MemoryRepository(transaction, schema.LINK)
        self.receipts: Repository[Receipt] = MemoryRepository(transaction, schema.RECEIPT)
        self.idempotency: Repository[IdempotencyRecord] = MemoryRepository(
            transaction, schema.IDEMPOTENCY
        )
        self.audit: AuditLog = MemoryAuditLog(store, transaction.audit)
        self.queue: RunQueue = EnqueueIn(transaction.enqueued)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transaction.roll_back()

    def commit(self) -> None:
        """Make everything of the block durable, or nothing. Raises ``Conflict``."""
        self._transaction.commit()
        self._store.queue.drain()  # phases run inline when the queue was given a way to run them

    def serialize_on(self, name: str) -> None:
        """Wait until no other transaction holds ``name``; released at the end of this one."""
        self._transaction.lock(f"name:{name}")
