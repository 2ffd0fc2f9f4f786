"""Which workers live: each holds an advisory lock under its name for as long as it lives.

PostgreSQL releases the lock when the worker's session ends, whatever ended it: at once for a
process that died, after ``_SILENCE`` for a host that vanished or was cut off. A second worker of
the same name does not get the lock and does not start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

import psycopg
from sqlalchemy import Connection

from control_plane.domain.errors import Unavailable

_KEY: Final = "hashtextextended('tenantplane-worker:' || %s, 0)"
_REAPER: Final = "tenantplane-reaper"
_TAKE_SECONDS: Final = 5.0  # that a start waits for its name: somebody may be looking at it
# What the server asks of a silent client, and what ends a session whose answers are lost: without
# these the lock of a vanished host is held for as long as the system's defaults say, two hours.
_SILENCE: Final = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = 20000; SET statement_timeout = '10s'"
)


_LIVING = f"""
    SELECT DISTINCT substr(session.application_name, 8)
    FROM pg_stat_activity AS session JOIN pg_locks AS held ON held.pid = session.pid
    WHERE session.application_name LIKE 'worker %%' AND session.datname = current_database()
      AND held.locktype = 'advisory' AND held.granted
      AND (held.classid::bigint << 32) | held.objid::bigint
          = {_KEY.replace("%s", "substr(session.application_name, 8)")}
    ORDER BY 1
"""  # noqa: S608 - made of constants


def living_workers(connection: Connection) -> list[str]:
    """Return the names of the workers that live: those whose session holds the lock of its name.

    The application's role sees the sessions of its own role, which the workers' are.
    """
    return [str(name) for (name,) in connection.exec_driver_sql(_LIVING)]


class Liveness:
    """The session that holds this worker's name."""

    def __init__(self, url: str, worker_id: str) -> None:
        self._url = url
        self.worker_id = worker_id
        self._session: psycopg.Connection[tuple[object, ...]] | None = None

    def __enter__(self) -> Self:
        """Take the name. Raises ``Unavailable`` when a live worker has it."""
        end = time.monotonic() + _TAKE_SECONDS
        while not self.take():
            if time.monotonic() > end:
                raise Unavailable(
                    f"a worker named {self.worker_id} is already running; set another "
                    f"TENANTPLANE_WORKER_ID"
                )
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def take(self) -> bool:
        """Open a session and take the name in it; returns whether nobody else had it.

        Raises ``Unavailable`` when the database cannot be reached.
        """
        self._close()
        try:
            session = psycopg.connect(
                self._url,
                autocommit=True,
                application_name=f"worker {self.worker_id}",
                connect_timeout=5,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20000,
            )
            self._session = session
            session.execute(_SILENCE)
            if self._try_lock(self.worker_id):
                return True
        except psycopg.Error as error:
            self._close()
            raise Unavailable("the database is unreachable") from error
        self._close()
        return False

    def is_held(self) -> bool:
        """Tell whether the session that holds the name is still there."""
        try:
            self._of().execute("SELECT 1")
        except (psycopg.Error, Unavailable):
            return False
        return True

    def busy_workers(self) -> list[str]:
        """Return the names under which phases are marked as running."""
        rows = self._of().execute(
            "SELECT DISTINCT executor_id FROM dbos.workflow_status"
            " WHERE status = 'PENDING' AND executor_id <> %s",
            [self.worker_id],
        )
        return [str(name) for (name,) in rows]

    def is_dead(self, worker_id: str) -> bool:
        """Tell whether nobody holds the name of another worker now."""
        with self.holding(worker_id) as is_mine:
            return is_mine

    @contextmanager
    def holding(self, worker_id: str) -> Iterator[bool]:
        """Hold another worker's name meanwhile, so that it cannot start; True if it was free."""
        is_mine = self._try_lock(worker_id)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._of().execute(f"SELECT pg_advisory_unlock({_KEY})", [worker_id])

    @contextmanager
    def reaping(self) -> Iterator[bool]:
        """Be the one worker that looks for dead ones meanwhile; False if another is."""
        with self.holding(_REAPER) as is_mine:
            yield is_mine

    def _of(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._session is None:
            raise Unavailable("the worker has no session")
        return self._session

    def _try_lock(self, name: str) -> bool:
        row = self._of().execute(f"SELECT pg_try_advisory_lock({_KEY})", [name]).fetchone()
        return row == (True,)

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
