"""Column types between PostgreSQL and the domain, and the pieces that tables repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from control_plane.domain.documents import Documented

# ids and keys sort by code point, whatever the database's locale is
KEY: Final = Text(collation="C")


class Moment(TypeDecorator[datetime]):
    """A point in time: aware in, UTC out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse a naive time with ``ValueError``: nobody knows when it is."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """Return it in UTC whatever the session's zone is."""
        return value.astimezone(UTC) if value is not None else None


class Converted(TypeDecorator[Any]):
    """A value that is kept in another form; null stays null.

    SQLAlchemy tells types apart by the attributes that are named as arguments of ``__init__``.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = JSONB(none_as_null=True)
    cache_ok = True

    def __init__(self, kept: Callable[[Any], Any], read: Callable[[Any], Any]) -> None:
        super().__init__()
        self.kept = kept
        self.read = read

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - as above
        """Return the form that is kept."""
        return self.kept(value) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - as above
        """Return the value."""
        return self.read(value) if value is not None else None


class Choice(Converted):
    """A member of an enumeration, stored as its value; a check refuses other words."""

    impl = Text
    cache_ok = True

    def __init__(self, choices: type[StrEnum]) -> None:
        super().__init__(str, choices)
        self.choices = choices


class Documents(Converted):
    """A tuple of values of one type, stored as an array of their JSON objects."""

    cache_ok = True

    def __init__(self, kind: type[Documented]) -> None:
        super().__init__(
            lambda items: [item.to_document() for item in items],
            lambda found: tuple(map(kind.from_document, found)),
        )
        self.kind = kind


def key(name: str = "id") -> Column[Any]:
    """Return a primary key."""
    return Column(name, KEY, primary_key=True)


def reference(
    name: str,
    target: str,
    *,
    nullable: bool = False,
    primary_key: bool = False,
    cyclic: bool = False,
) -> Column[Any]:
    """Return a reference to another table's id, checked at the end of the transaction.

    So a use case may write its rows in any order, and two tables may point at each other; one of
    the two references is ``cyclic``.
    """
    foreign = ForeignKey(f"{target}.id", deferrable=True, initially="DEFERRED", use_alter=cyclic)
    return Column(name, KEY, foreign, nullable=nullable, primary_key=primary_key)


def words(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a text column."""
    return Column(name, Text, nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of times."""
    return Column(name, Moment, nullable=nullable)


def json_object(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of JSON objects; None is SQL's null."""
    return Column(name, JSONB(none_as_null=True), nullable=nullable)


def json_value(name: str) -> Column[Any]:
    """Return a column of any JSON value; None is SQL's null."""
    return Column(name, JSONB(none_as_null=True), nullable=True)


def json_list(name: str) -> Column[Any]:
    """Return a column of tuples."""
    return Column(name, Converted(list, tuple), nullable=False)


def documents(name: str, kind: type[Documented]) -> Column[Any]:
    """Return a column of tuples of a type that reads and writes JSON objects."""
    return Column(name, Documents(kind), nullable=False)


def document(name: str, kind: type[Documented], *, nullable: bool = False) -> Column[Any]:
    """Return a column of one value of such a type."""
    return Column(name, Converted(kind.to_document, kind.from_document), nullable=nullable)


def choice(name: str, choices: type[StrEnum], *, nullable: bool = False) -> Column[Any]:
    """Return a column of an enumeration, with the check that it holds a member."""
    return Column(name, Choice(choices), one_of(name, choices), nullable=nullable)


def one_of(name: str, values: Iterable[str]) -> CheckConstraint:
    """Return the check that a column holds one of the values, or null."""
    return CheckConstraint(f"{name} IN ({quoted(values)})", name=name)


def quoted(values: Iterable[str]) -> str:
    """Return the values as a sorted SQL list; they are our own words."""
    return ", ".join(f"'{value}'" for value in sorted(str(value) for value in values))


def texts_given(name: str) -> TableValuedAlias:
    """Return the texts of one parameter, an array, as a table with the column ``value``."""
    given = func.unnest(bindparam(name, type_=ARRAY(Text)))
    return given.table_valued(column("value", Text)).render_derived(name="given")
