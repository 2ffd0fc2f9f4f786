"""Rows in memory, with transactions that read what is committed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.adapters.memory.queue import Enqueued, MemoryQueue
from control_plane.adapters.memory.row_rules import check_changed_row, check_new_row
from control_plane.adapters.memory.rows import stored
from control_plane.adapters.memory.schema import TABLES, TableRules
from control_plane.domain.audit import AuditEvent
from control_plane.domain.errors import Conflict, Unavailable
from control_plane.domain.run import RunEvent, are_next

_RUN_EVENTS: Final = "run_event"


class MemoryStore:
    """What committed transactions left: rows, audit events, the queue.

    ``audit_unavailable`` makes every record fail. ``lock_seconds`` is how long a transaction waits
    for another's lock.
    """

    def __init__(self, *, queue: MemoryQueue | None = None, lock_seconds: float = 15.0) -> None:
        self.rows: dict[str, dict[str, Any]] = {rules.name: {} for rules in TABLES}
        self.rows[_RUN_EVENTS] = {}
        self.audit: list[AuditEvent] = []
        self.audit_unavailable = False
        self.queue = queue or MemoryQueue()
        self.mutex = threading.RLock()
        self._lock_seconds = lock_seconds
        self._holders: dict[str, Transaction] = {}
        self._released = threading.Condition()

    def acquire(self, name: str, transaction: Transaction) -> None:
        """Wait until nobody else holds a lock. Raises ``Unavailable`` after ``lock_seconds``."""
        with self._released:
            if not self._released.wait_for(
                lambda: self._holders.get(name, transaction) is transaction, self._lock_seconds
            ):
                raise Unavailable("the database made us wait too long")
            self._holders[name] = transaction

    def release(self, transaction: Transaction) -> None:
        """Give up every lock of a transaction."""
        with self._released:
            for name in [name for name, held in self._holders.items() if held is transaction]:
                del self._holders[name]
            self._released.notify_all()


class Transaction:
    """Writes of one unit of work over what is committed."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._written: dict[str, dict[str, Any]] = {}
        self._bases: dict[tuple[str, str], Any] = {}  # what was committed when we wrote first
        self.audit: list[AuditEvent] = []
        self.enqueued: list[Enqueued] = []

    def visible(self, table: str) -> Mapping[str, Any]:
        """Return the rows of a table as this transaction sees them now."""
        with self._store.mutex:
            return {**self._store.rows[table], **self._written.get(table, {})}

    def lock(self, name: str) -> None:
        """Hold a lock until the transaction ends."""
        self._store.acquire(name, self)

    def add(self, rules: TableRules, entity: Any) -> None:
        """Insert a row. Raises ``Conflict``, or what a trigger refuses."""
        row = stored(entity)
        check_new_row(row, self.visible)
        _check(rules, row)
        rows = self.visible(rules.name)
        if row.id in rows:
            raise Conflict("this exists already", constraint=f"pk_{rules.name}")
        _check_unique(rules, row, rows)
        self._write(rules.name, row.id, row)

    def save(self, rules: TableRules, entity: Any) -> None:
        """Replace a row. Raises ``Conflict``, or what a trigger refuses."""
        if rules.immutable:
            raise Conflict("this is never changed", constraint=f"{rules.name}_is_immutable")
        row = stored(entity)
        self.lock(f"{rules.name}:{row.id}")
        rows = self.visible(rules.name)
        old = rows.get(row.id)
        if old is None or (rules.versioned and old.version != row.version - 1):
            raise Conflict("it was changed by somebody else", constraint="version")
        check_changed_row(old, row, self.visible)
        _check(rules, row)
        _check_unique(rules, row, rows)
        self._write(rules.name, row.id, row)

    def append(self, events: Sequence[RunEvent]) -> None:
        """Add the next lines of a run. Raises ``Conflict`` when they are not the next."""
        lines = [stored(event) for event in events]
        last = max((row.seq for line in lines[:1] for row in self.lines(line.run_id)), default=0)
        if not are_next(lines, last):
            raise Conflict("these are not the next lines of their run", constraint="pk_run_event")
        for line in lines:
            self._write(_RUN_EVENTS, f"{line.run_id}:{line.seq}", line)

    def lines(self, run_id: str) -> list[RunEvent]:
        """Return the lines of a run, in order."""
        rows: Mapping[str, RunEvent] = self.visible(_RUN_EVENTS)
        return sorted((row for row in rows.values() if row.run_id == run_id), key=lambda r: r.seq)

    def commit(self) -> None:
        """Make everything durable, or nothing. Raises ``Conflict``."""
        try:
            with self._store.mutex:
                self._check_others()
                self._check_references()
                for table, rows in self._written.items():
                    self._store.rows[table].update(rows)
                self._store.audit.extend(self.audit)
                self._store.queue.accept(self.enqueued)
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        """Forget what was not committed and give up the locks."""
        self._written.clear()
        self._bases.clear()
        self.audit.clear()
        self.enqueued.clear()
        self._store.release(self)

    def _write(self, table: str, key: str, row: Any) -> None:
        with self._store.mutex:
            self._bases.setdefault((table, key), self._store.rows[table].get(key))
            self._written.setdefault(table, {})[key] = row

    def _check_others(self) -> None:
        """Refuse what another transaction made wrong since we wrote."""
        for (table, key), base in self._bases.items():
            if self._store.rows[table].get(key) is not base:
                constraint = f"pk_{table}" if base is None else "version"
                raise Conflict("it was changed by somebody else", constraint=constraint)
        for rules in TABLES:
            rows = self.visible(rules.name)
            for row in self._written.get(rules.name, {}).values():
                _check_unique(rules, row, rows)

    def _check_references(self) -> None:
        for rules in TABLES:
            for row in self._written.get(rules.name, {}).values():
                for name, target in rules.references:
                    value = getattr(row, name)
                    if value is not None and value not in self.visible(target):
                        raise _dangling(f"fk_{rules.name}_{name}_{target}")
        for line in self._written.get(_RUN_EVENTS, {}).values():
            if line.run_id not in self.visible("run"):
                raise _dangling("fk_run_event_run_id_run")


def _dangling(constraint: str) -> Conflict:
    return Conflict("it refers to something that does not exist", constraint=constraint)


def _check(rules: TableRules, row: Any) -> None:
    for name, holds in rules.checks:
        if not holds(row):
            constraint = f"ck_{rules.name}_{name}"
            raise Conflict("its facts do not go together", constraint=constraint)


def _check_unique(rules: TableRules, row: Any, rows: Mapping[str, Any]) -> None:
    for unique in rules.unique:
        values = tuple(getattr(row, name) for name in unique.fields)
        if None in values or not unique.among(row):
            continue
        for key, other in rows.items():
            if key == row.id or not unique.among(other):
                continue
            if tuple(getattr(other, name) for name in unique.fields) == values:
                raise Conflict("this exists already", constraint=unique.name)
