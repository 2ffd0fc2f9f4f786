"""Rows that are given to a statement arrive as they are, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import BigInteger, Engine, Integer, Text, Uuid, create_engine, select
from sqlalchemy.exc import DBAPIError

from control_plane.adapters.audit.given import Bytes, rows_given, texts_given
from control_plane.adapters.db.engine import driver_url

pytestmark = pytest.mark.slow

TEXTS = [
    *("", "NULL", "null", " a ", '"', "\\", '\\"', "a,b", "{x}"),
    *("a\nb\tc", "é漢\U0001f642", "'", "%(x)s", ":y"),
]


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(driver_url(postgres_url))
    yield engine
    engine.dispose()


def test_values_come_back_as_they_were_given(engine: Engine) -> None:
    rows: list[tuple[Any, ...]] = [
        (text, text.encode(), -(2**63) + n, n, UUID(int=n)) for n, text in enumerate(TEXTS)
    ]
    rows.append((None, bytes(range(256)), 2**63 - 1, None, None))
    given = rows_given(rows, text=Text, content=Bytes, big=BigInteger, small=Integer, id=Uuid)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(select(given))]
        assert [(row[0], bytes(row[1]), *row[2:]) for row in found] == rows
        assert connection.execute(texts_given(TEXTS)).scalars().all() == TEXTS


def test_no_rows_are_no_rows(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(rows_given([], text=Text, id=Uuid))).all() == []
        assert connection.execute(texts_given([])).all() == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["nul", "surrogate"])
def test_a_text_that_postgresql_has_not_is_an_error(engine: Engine, text: str) -> None:
    with engine.connect() as connection, pytest.raises((DBAPIError, UnicodeEncodeError)):
        connection.execute(texts_given(["b", text]))
