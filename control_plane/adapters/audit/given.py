"""Rows given to one statement, however many: a column each as an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import LargeBinary, TableValuedAlias, column, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.interfaces import Dialect


class Bytes(LargeBinary):
    """Bytes as they are: psycopg takes them, so nothing is called for each item of an array."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Leave a value as it is."""


def rows_given(rows: Sequence[Sequence[Any]], **columns: Any) -> TableValuedAlias:
    """Return ``rows`` as a table of ``columns``, each given with its SQLAlchemy type.

    The text of the statement does not depend on the number of rows: nothing is compiled again.
    """
    values: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [
        literal(list(items), ARRAY(kind))
        for items, kind in zip(values, columns.values(), strict=True)
    ]
    named = [column(name, kind) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*named).render_derived(name="given")
