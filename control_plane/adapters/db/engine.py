"""Connections to PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event

from control_plane.adapters.plain_json import dumps

_SESSION: Final = (
    "SET TIME ZONE 'UTC'; SET synchronous_commit = on; SET lock_timeout = '15s';"
    " SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '120s'"
)


def driver_url(url: str) -> str:
    """Return a libpq URL with the driver's name, as SQLAlchemy wants it."""
    scheme, separator, rest = url.partition("://")
    if scheme.split("+")[0] not in {"postgresql", "postgres"} or not separator:
        raise ValueError("a database URL starts with postgresql://")
    return f"postgresql+psycopg://{rest}"


def connect(
    url: str, *, name: str, connections: int = 4, overflow: int = 4, wait_seconds: float = 10.0
) -> Engine:
    """Return an engine that keeps ``connections`` open and opens ``overflow`` more when busy.

    ``name`` shows in the server's list of sessions. A connection that the server closed is noticed
    and replaced. Every session waits at most 15 s for a lock and 60 s for a statement.
    """
    engine = create_engine(
        driver_url(url),
        pool_size=connections,
        max_overflow=overflow,
        pool_timeout=wait_seconds,
        pool_pre_ping=True,
        hide_parameters=True,  # values of rows belong into no error message and no log
        connect_args={"application_name": name, "connect_timeout": 10},
        json_serializer=dumps,
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
    # set here and not in the connection string: poolers refuse start-up parameters
    was, connection.autocommit = connection.autocommit, True
    connection.execute(_SESSION)
    connection.autocommit = was
