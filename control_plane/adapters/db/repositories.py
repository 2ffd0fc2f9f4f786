"""Repositories over SQLAlchemy Core: one class for all entities, one for progress lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    Select,
    Table,
    Text,
    Update,
    and_,
    any_,
    bindparam,
    func,
    or_,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from control_plane.adapters.db.columns import KEY, Moment, texts_given
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.mapping import MAPPED, RUN_EVENT, Mapped
from control_plane.domain.errors import Conflict
from control_plane.domain.run import RunEvent
from control_plane.ports import Json

T = TypeVar("T")
_MOST_VALUES: Final = 50  # psycopg reads the text of a statement with more at every use
_OWNER: Final = "tenant_id"
_SEVERAL: Final = (tuple, list, set, frozenset)
_OF: Final[Mapping[type[Any], Mapped[Any]]] = {mapped.entity: mapped for mapped in MAPPED}
# Rows that are as this transaction knows them until it ends, by table and id: it has locked or
# written them, or their table never changes.
Known = dict[tuple[str, str], Any]


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Let what is refused in the block undo the block alone: the transaction continues.

    SQLAlchemy's ``begin_nested`` does the same with statements that cost more to prepare than to
    do. The savepoint ends with its transaction, or is hidden by the next one: to release it would
    be one message more for each row that is written.
    """
    connection.exec_driver_sql("SAVEPOINT alone")
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT alone")
        raise


def add_rows(connection: Connection, known: Known, *entities: Any) -> None:
    """Insert entities of whatever kinds in as few statements as it takes.

    Raises ``Conflict`` with ``constraint`` when a unique fact exists already.
    """
    with translated():
        for given in _portions(entities):
            kinds = tuple(mapped for mapped, _ in given)
            values = {
                f"{name}_{place}": value
                for place, (mapped, entity) in enumerate(given)
                for name, value in mapped.to_row(entity).items()
            }
            connection.execute(_insertion(kinds), values)
    for entity in entities:
        mapped = _OF[type(entity)]
        if "id" in mapped.names:
            known[mapped.table.name, entity.id] = entity


def _portions(entities: Sequence[object]) -> Iterator[list[tuple[Mapped[Any], object]]]:
    """Yield entities with their kinds, as many as one statement takes."""
    portion: list[tuple[Mapped[Any], object]] = []
    size = 0
    for entity in entities:
        mapped = _OF[type(entity)]
        size += len(mapped.names)
        if portion and size > _MOST_VALUES:
            yield portion
            portion, size = [], len(mapped.names)
        portion.append((mapped, entity))
    yield portion


@cache
def _insertion(kinds: tuple[Mapped[Any], ...]) -> Insert:
    """Return the statement for some kinds in a row: made once, as making one costs more than it."""
    first, *others = (
        mapped.table.insert().values(
            {
                column.name: bindparam(f"{column.name}_{place}", type_=column.type)
                for column in mapped.table.columns
            }
        )
        for place, mapped in enumerate(kinds)
    )
    return first.add_cte(*(each.cte(f"row_{place}") for place, each in enumerate(others, 1)))


class SqlRepository(Generic[T]):
    """The port ``Repository`` over one connection: its transaction is the caller's.

    ``known`` are the rows that nobody else can change now: those are not read twice.
    """

    def __init__(self, connection: Connection, mapped: Mapped[T], known: Known) -> None:
        self._connection = connection
        self._mapped = mapped
        self._table = mapped.table
        self._known = known

    def add(self, entity: T) -> None:
        """Insert. Raises ``Conflict`` with ``constraint`` when a unique fact exists already."""
        add_rows(self._connection, self._known, entity)

    def get(self, entity_id: str, *, lock: bool = False) -> T | None:
        """Return the row; with ``lock`` nobody else changes it until this transaction ends."""
        key = (self._table.name, entity_id)
        if key in self._known:
            found: T = self._known[key]
            return found
        with translated():
            result = self._connection.execute(_getting(self._mapped, lock), {"id": entity_id})
            row = result.one_or_none()
        if row is None:
            return None
        entity = self._mapped.to_entity(row)
        if lock or self._mapped.immutable:
            self._known[key] = entity
        return entity

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
        values = {f"new_{name}": value for name, value in self._mapped.to_row(entity).items()}
        with translated():
            saved = self._connection.execute(_saving(self._mapped), values).rowcount
        if saved != 1:
            raise Conflict("it was changed by somebody else", constraint="version")
        self._known[self._table.name, values["new_id"]] = entity

    def remove(self, entity_id: str) -> None:
        """Delete the row. Raises ``Conflict`` when it is gone, or others refer to it."""
        statement = self._table.delete().where(self._table.c.id == entity_id)
        self._known.pop((self._table.name, entity_id), None)
        with translated():
            removed = self._connection.execute(statement).rowcount
        if removed != 1:
            raise Conflict("it was removed by somebody else", constraint="version")

    def find(self, **equals: Any) -> list[T]:
        """Return all rows whose fields equal the given values, oldest id first."""
        return self._entities(_finding(self._mapped, _shapes(equals)), equals)

    def count(self, **equals: Any) -> int:
        """Count what ``find`` would return."""
        query = _counting(self._mapped, _shapes(equals))
        with translated():
            return int(self._connection.execute(query, _values(equals)).scalar_one())

    def counts(self, field: str) -> Mapping[str, int]:
        """Count all rows by the values of a field; values that no row has are left out."""
        column = self._table.c[field]
        query = select(column, func.count()).group_by(column)
        with translated():
            return {str(value): number for value, number in self._connection.execute(query)}

    def page(self, *, limit: int, before: str | None = None, **equals: Any) -> list[T]:
        """Return at most ``limit`` rows, newest id first, with ids smaller than ``before``."""
        query = _paging(self._mapped, _shapes(equals), before is not None)
        return self._entities(query, equals, before_id=before, page_size=limit)

    def _entities(self, query: Select[Any], equals: Mapping[str, Any], **more: Any) -> list[T]:
        given = _values(equals) | {name: value for name, value in more.items() if value is not None}
        with translated():
            rows = self._connection.execute(query, given).all()
        return [self._mapped.to_entity(row) for row in rows]


class SqlRunEvents:
    """The port ``RunEvents``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._table = RUN_EVENT.table

    def append(self, run_id: str, time: datetime, *lines: tuple[str, Json]) -> None:
        """Add lines, each a kind and a body, numbered on from the run's last one, all or none.

        Raises ``Conflict`` when somebody else adds to the run now: of two lines with one number the
        primary key refuses one.
        """
        if lines:
            given = {"run_id": run_id, "time": time, "lines": lines}
            with translated():
                self._connection.execute(_APPEND, given)

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

    def forget(self, run_id: str) -> int:
        """Delete the lines of a run that has ended; returns how many.

        Raises ``Conflict`` when it has not ended: a trigger keeps them.
        """
        statement = self._table.delete().where(self._table.c.run_id == run_id)
        with translated():
            return self._connection.execute(statement).rowcount


# one text for any number of lines: an engine says many
_APPEND: Final = text("""
    INSERT INTO run_event (run_id, seq, time, kind, body)
    SELECT :run_id, last.seq + line.place, :time, line.given ->> 0, line.given -> 1
    FROM (SELECT coalesce(max(seq), 0) AS seq FROM run_event WHERE run_id = :run_id) AS last,
        jsonb_array_elements(:lines) WITH ORDINALITY AS line(given, place)
""").bindparams(
    bindparam("run_id", type_=KEY),
    bindparam("time", type_=Moment),
    bindparam("lines", type_=JSONB),
)


# --- statements: made once for each shape of a question, since making one costs more than it ---
class _Shape(Enum):
    """What a field is compared with."""

    NULL = "null"
    ONE = "one"
    AMONG = "among"
    AMONG_OR_NULL = "among_or_null"


_Shapes = tuple[tuple[str, _Shape], ...]


def _shapes(equals: Mapping[str, Any]) -> _Shapes:
    return tuple((name, _shape(value)) for name, value in equals.items())


def _shape(value: Any) -> _Shape:
    if not isinstance(value, _SEVERAL):
        return _Shape.NULL if value is None else _Shape.ONE
    return _Shape.AMONG_OR_NULL if None in value else _Shape.AMONG


def _values(equals: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a question; several values are texts."""
    return {
        name: [str(item) for item in dict.fromkeys(value) if item is not None]
        if isinstance(value, _SEVERAL)
        else value
        for name, value in equals.items()
        if value is not None
    }


def _conditions(table: Table, shapes: _Shapes) -> list[ColumnElement[bool]]:
    return [_condition(table.c[name], shape) for name, shape in shapes]


def _condition(column: Column[Any], shape: _Shape) -> ColumnElement[bool]:
    if shape is _Shape.NULL:
        return column.is_(None)
    if shape is _Shape.ONE:
        return column == bindparam(column.name, type_=column.type)
    # an array, so that the text does not depend on how many there are
    among = column == any_(bindparam(column.name, type_=ARRAY(Text)))
    return or_(among, column.is_(None)) if shape is _Shape.AMONG_OR_NULL else among


@cache
def _getting(mapped: Mapped[Any], lock: bool) -> Select[Any]:
    table = mapped.table
    query = select(table).where(table.c.id == bindparam("id", type_=table.c.id.type))
    return query.with_for_update(key_share=True) if lock else query  # others may still refer to it


@cache
def _finding(mapped: Mapped[Any], shapes: _Shapes) -> Select[Any]:
    table = mapped.table
    return select(table).where(*_conditions(table, shapes)).order_by(table.c.id)


@cache
def _counting(mapped: Mapped[Any], shapes: _Shapes) -> Select[Any]:
    table = mapped.table
    return select(func.count()).select_from(table).where(*_conditions(table, shapes))


@cache
def _paging(mapped: Mapped[Any], shapes: _Shapes, continues: bool) -> Select[Any]:
    """Return the question for a page; of several owners each gives its newest rows first.

    Otherwise the database would choose between all rows of these owners and all newer rows of
    others, and either may be many. Where several fields have several values, it is the tenants
    who are the owners.
    """
    table, among = mapped.table, (_Shape.AMONG, _Shape.AMONG_OR_NULL)
    owners = [(name, shape) for name, shape in shapes if shape in among and name != "id"]
    owners = [pair for pair in owners if pair[0] == _OWNER] or owners[:1]
    others = tuple(pair for pair in shapes if pair not in owners)
    conditions = _conditions(table, others)
    if continues:
        conditions.append(table.c.id < bindparam("before_id", type_=table.c.id.type))
    if not owners:
        return _newest_first(select(table).where(*conditions), table.c.id)
    ((name, shape),) = owners
    owner = texts_given(name)
    own = select(table.c.id).where(*conditions)
    of_owner = _newest_first(own.where(table.c[name] == owner.c.value), table.c.id).lateral()
    found = select(of_owner.c.id).join_from(owner, of_owner, true())
    if shape is _Shape.AMONG_OR_NULL:
        of_nobody = _newest_first(own.where(table.c[name].is_(None)), table.c.id).subquery()
        ids = union_all(found, select(of_nobody.c.id)).subquery()
        found = select(ids.c.id)
    page = found.subquery()
    newest = _newest_first(select(page.c.id), page.c.id)
    return select(table).where(table.c.id.in_(newest)).order_by(table.c.id.desc())


def _newest_first(query: Select[Any], key: ColumnElement[str]) -> Select[Any]:
    return query.order_by(key.desc()).limit(bindparam("page_size", type_=Integer))


@cache
def _saving(mapped: Mapped[Any]) -> Update:
    table = mapped.table
    given = {
        name: bindparam(f"new_{name}", type_=table.c[name].type)
        for name in mapped.names
        if name != "id"
    }
    condition = table.c.id == bindparam("new_id", type_=table.c.id.type)
    if mapped.versioned:
        condition = and_(condition, table.c.version == given["version"] - 1)
    return table.update().where(condition).values(given)
