"""Connections to PostgreSQL."""

from __future__ import annotations

import select
import time
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic_core import from_json
from sqlalchemy import URL, Dialect, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from control_plane.adapters.db.faults import STANDBY
from control_plane.adapters.plain_json import dumps
from control_plane.domain.errors import SettingInvalid

_SETTINGS: Final = "TENANTPLANE_DATABASE_URL or another TENANTPLANE_DATABASE_…_URL"
_IDLE_SINCE: Final = "idle_since"
_SURE_SECONDS: Final = 5.0  # a connection that was used so shortly ago leads to a server
# A server that vanished is noticed within some ten seconds, not a quarter of an hour.
VANISHED: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# So is a client: what it has locked is free before another worker has taken its runs over.
_SESSION: Final = (
    "SET TIME ZONE 'UTC'; SET synchronous_commit = on; SET lock_timeout = '15s';"
    " SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '120s';"
    " SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = 10000"
)


def driver_url(url: str) -> str:
    """Return a URL of libpq as SQLAlchemy and DBOS want it.

    libpq itself reads the URL, so every form of it holds here: several hosts, sockets, options
    (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS). Raises
    ``SettingInvalid`` for what libpq cannot read; the sentence holds nothing of the URL.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.split("+")[0] not in {"postgresql", "postgres"} or not separator:
        raise SettingInvalid(f"a database URL ({_SETTINGS}) must start with postgresql://")
    try:
        parts: dict[str, Any] = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        raise SettingInvalid(
            f"a database URL ({_SETTINGS}) cannot be read; it has the form "
            "postgresql://user:password@host:5432,other-host:5432/database?option=value"
        ) from None  # libpq's message quotes the URL
    return URL.create(
        "postgresql+psycopg",
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        database=parts.pop("dbname", None),
        query={name: str(value) for name, value in parts.items()},  # SQLAlchemy knows one host
    ).render_as_string(hide_password=False)


def connect(
    url: str, *, name: str, connections: int = 4, overflow: int = 4, wait_seconds: float = 10.0
) -> Engine:
    """Return an engine that keeps ``connections`` open and opens ``overflow`` more when busy.

    With 0 ``connections`` each use opens a new one. ``name`` shows in the server's list of
    sessions. A connection that the server closed is noticed and replaced, and so is one to a server
    that became a standby. Every session waits at most 15 s for a lock and 60 s for a statement.
    """
    pool: dict[str, Any] = (
        {
            "pool_size": connections,
            "max_overflow": overflow,
            "pool_timeout": wait_seconds,
            "pool_use_lifo": True,  # the one used last knows the statements best
        }
        if connections
        else {"poolclass": NullPool}
    )
    engine = create_engine(
        driver_url(url),
        **pool,
        hide_parameters=True,  # values of rows belong into no error message and no log
        connect_args={"application_name": name, "connect_timeout": 10, **VANISHED},
        json_serializer=dumps,
        json_deserializer=from_json,  # a row has several documents, and a page many rows
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "handle_error", _leave_standby)
    event.listen(engine, "checkin", _note_time)
    event.listen(engine, "checkout", partial(_look_at, engine.dialect))
    return engine


def _note_time(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _look_at(
    dialect: Dialect, connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _: object
) -> None:
    """Ask the server whether a connection is alive, if that can be doubted.

    A server that closed a connection has sent something, so that its socket can be read: asking at
    every use would cost as much as what is asked for. A server that vanished sends nothing, which
    is why what lay idle is asked in any case.
    """
    if _IDLE_SINCE not in record.info:
        return  # it was opened just now
    idle_seconds = time.monotonic() - record.info[_IDLE_SINCE]
    if idle_seconds < _SURE_SECONDS and not connection.closed and not _has_news(connection):
        return
    try:
        dialect.do_ping(connection)  # type: ignore[arg-type]  # SQLAlchemy's protocol is wider
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def _has_news(connection: psycopg.Connection[Any]) -> bool:
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _leave_standby(context: ExceptionContext) -> None:
    """Let the pool drop connections to a server that takes no changes any more."""
    if getattr(context.original_exception, "sqlstate", None) == STANDBY:
        context.is_disconnect = True


def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
    # set here and not in the connection string: poolers refuse start-up parameters
    was, connection.autocommit = connection.autocommit, True
    connection.execute(_SESSION)
    connection.autocommit = was
