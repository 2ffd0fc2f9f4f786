"""Rows given to one statement, however many: a column each as an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    Select,
    TableValuedAlias,
    Text,
    Uuid,
    cast,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.interfaces import Dialect


class Bytes(LargeBinary):
    """Bytes as they are: psycopg takes them, so nothing is called for each item of an array."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Leave a value as it is."""


def rows_given(rows: Sequence[Sequence[Any]], **columns: Any) -> TableValuedAlias:
    """Return ``rows`` as a table of ``columns``, each given with its SQLAlchemy type.

    The types are ``BigInteger``, ``Bytes``, ``Integer``, ``Text`` and ``Uuid``; a value may be
    None. The text of the statement does not depend on the number of rows: nothing is compiled
    again.
    """
    values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [
        cast(literal(_array(items, _SPELLINGS[kind]), Text), ARRAY(kind))
        for items, kind in zip(values, columns.values(), strict=True)
    ]
    named = [column(name, kind) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*named).render_derived(name="given")


def texts_given(texts: Iterable[str]) -> Select[tuple[str]]:
    """Return ``texts`` as a subquery, which the server reads once.

    As an array in a condition it would be read again for each row.
    """
    return select(rows_given([(text,) for text in texts], item=Text).c.item)


def _array(items: Iterable[Any], spell: Callable[[Any], str]) -> str:
    """Return an array as PostgreSQL writes it.

    psycopg looks at each item of a list several times, which took a third of the signer's time.
    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    return "{" + ",".join(["NULL" if item is None else spell(item) for item in items]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hexadecimal(content: bytes) -> str:
    return '"\\\\x' + content.hex() + '"'


def _uuid(value: UUID) -> str:
    return str(value)


def _number(value: int) -> str:
    return str(int(value))


_SPELLINGS: Final[dict[Any, Callable[[Any], str]]] = {
    BigInteger: _number,
    Bytes: _hexadecimal,
    Integer: _number,
    Text: _quoted,
    Uuid: _uuid,
}
