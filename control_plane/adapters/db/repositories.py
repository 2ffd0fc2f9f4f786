"""Repositories over SQLAlchemy Core: one class for all entities, one for progress lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, union_all

from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.mapping import RUN_EVENT, Mapped
from control_plane.domain.errors import Conflict
from control_plane.domain.run import RunEvent, are_next

T = TypeVar("T")


class SqlRepository(Generic[T]):
    """The port ``Repository`` over one connection: its transaction is the caller's.

    What is refused undoes that one statement, by a savepoint, and the transaction continues: a use
    case may look at what exists and decide again.
    """

    def __init__(self, connection: Connection, mapped: Mapped[T]) -> None:
        self._connection = connection
        self._mapped = mapped
        self._table = mapped.table

    def add(self, entity: T) -> None:
        """Insert. Raises ``Conflict`` with ``constraint`` when a unique fact exists already."""
        with translated(), self._connection.begin_nested():
            self._connection.execute(self._table.insert(), self._mapped.to_row(entity))

    def get(self, entity_id: str, *, lock: bool = False) -> T | None:
        """Return the row; with ``lock`` nobody else changes it until this transaction ends."""
        query = select(self._table).where(self._table.c.id == entity_id)
        if lock:
            query = query.with_for_update(key_share=True)  # others may still refer to it
        with translated():
            row = self._connection.execute(query).one_or_none()
        return self._mapped.to_entity(row) if row is not None else None

    def need(self, entity_id: str | None, *, lock: bool = False) -> T:
        """Return what ``get`` does, of an id that another row holds. Raises ``LookupError``."""
        found = self.get(entity_id, lock=lock) if entity_id is not None else None
        if found is None:
            raise LookupError(f"no {self._table.name} has the id {entity_id}")
        return found

    def save(self, entity: T) -> None:
        """Replace the row with the same id.

        Raises ``Conflict`` when it moved on or is gone, and for a kind of row that never changes:
        the application has no right to update those tables.
        """
        if self._mapped.immutable:
            raise Conflict("it is immutable", constraint=f"{self._table.name}_is_immutable")
        values = self._mapped.to_row(entity)
        condition = self._table.c.id == values.pop("id")
        if self._mapped.versioned:
            condition = and_(condition, self._table.c.version == values["version"] - 1)
        statement = self._table.update().where(condition).values(values)
        with translated(), self._connection.begin_nested():
            saved = self._connection.execute(statement).rowcount
        if saved != 1:
            raise Conflict("it was changed by somebody else", constraint="version")

    def remove(self, entity_id: str) -> None:
        """Delete the row. Raises ``Conflict`` when it is gone, or others refer to it."""
        statement = self._table.delete().where(self._table.c.id == entity_id)
        with translated(), self._connection.begin_nested():
            removed = self._connection.execute(statement).rowcount
        if removed != 1:
            raise Conflict("it was removed by somebody else", constraint="version")

    def find(self, **equals: Any) -> list[T]:
        """Return all rows whose fields equal the given values, oldest id first."""
        query = select(self._table).where(*self._conditions(equals)).order_by(self._table.c.id)
        with translated():
            return [self._mapped.to_entity(row) for row in self._connection.execute(query)]

    def count(self, **equals: Any) -> int:
        """Count what ``find`` would return."""
        query = select(func.count()).select_from(self._table).where(*self._conditions(equals))
        with translated():
            return self._connection.execute(query).scalar_one()

    def counts(self, field: str) -> Mapping[str, int]:
        """Count all rows by the values of a field; values that no row has are left out."""
        column = self._table.c[field]
        query = select(column, func.count()).group_by(column)
        with translated():
            return {str(value): number for value, number in self._connection.execute(query)}

    def page(self, *, limit: int, before: str | None = None, **equals: Any) -> list[T]:
        """Return at most ``limit`` rows, newest id first, with ids smaller than ``before``."""
        query = select(self._table).where(*self._conditions(equals))
        if before is not None:
            query = query.where(self._table.c.id < before)
        query = query.order_by(self._table.c.id.desc()).limit(limit)
        with translated():
            return [self._mapped.to_entity(row) for row in self._connection.execute(query)]

    def _conditions(self, equals: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        return [_equals(self._table.c[name], value) for name, value in equals.items()]


class SqlRunEvents:
    """The port ``RunEvents``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._table = RUN_EVENT.table

    def append(self, *lines: RunEvent) -> None:
        """Insert lines of one run, all or none; their numbers must be its next, in sequence.

        Raises ``Conflict`` when they are not: of two writers with the same number the primary key
        refuses one.
        """
        if not lines:
            return
        first = lines[0].seq
        refused = Conflict("these are not the next lines of their run", constraint="pk_run_event")
        if not are_next(lines, first - 1):
            raise refused
        columns = self._table.c
        last = (
            select(func.coalesce(func.max(columns.seq), 0))
            .where(columns.run_id == lines[0].run_id)
            .scalar_subquery()
        )
        rows = union_all(*(select(*_literals(line)).where(last == first - 1) for line in lines))
        statement = self._table.insert().from_select(RUN_EVENT.names, rows).returning(columns.seq)
        with translated(), self._connection.begin_nested():
            written = self._connection.execute(statement).all()
        if not written:
            raise refused

    def after(self, run_id: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
        """Return the lines of a run with numbers above ``seq``, in sequence."""
        columns = self._table.c
        query = (
            select(self._table)
            .where(columns.run_id == run_id, columns.seq > seq)
            .order_by(columns.seq)
            .limit(limit)
        )
        with translated():
            return [RUN_EVENT.to_entity(row) for row in self._connection.execute(query)]

    def last_seq(self, run_id: str) -> int:
        """Return the highest number of a run, or 0."""
        columns = self._table.c
        query = select(func.coalesce(func.max(columns.seq), 0)).where(columns.run_id == run_id)
        with translated():
            return int(self._connection.execute(query).scalar_one())

    def forget(self, run_id: str) -> int:
        """Delete the lines of a run that has ended; returns how many.

        Raises ``Conflict`` when it has not ended: a trigger keeps them.
        """
        statement = self._table.delete().where(self._table.c.run_id == run_id)
        with translated(), self._connection.begin_nested():
            return self._connection.execute(statement).rowcount


def _literals(line: RunEvent) -> list[ColumnElement[Any]]:
    values, columns = RUN_EVENT.to_row(line), RUN_EVENT.table.c
    return [literal(values[name], columns[name].type) for name in RUN_EVENT.names]


def _equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    if not isinstance(value, tuple | list | set | frozenset):
        return column.is_(None) if value is None else column == value
    known = [item for item in value if item is not None]
    among = column.in_(known)
    return among if len(known) == len(value) else or_(among, column.is_(None))
