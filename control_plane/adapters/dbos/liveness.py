"""Which workers live: each holds an advisory lock under its name for as long as it lives.

PostgreSQL lets go of the lock when the worker's session ends, whatever ended it, so that a dead
worker is known at once and without clocks. A second worker of the same name does not get the lock
and does not start.
"""

from __future__ import annotations

from typing import Self

import psycopg

from control_plane.domain.errors import Unavailable

_KEY = "hashtextextended('tenantplane-worker:' || %s, 0)"
_REAPER = "tenantplane-reaper"


class Liveness:
    """The session that holds this worker's name."""

    def __init__(self, url: str, worker_id: str) -> None:
        self._url = url
        self.worker_id = worker_id

    def __enter__(self) -> Self:
        """Take the name. Raises ``Unavailable`` when a live worker has it."""
        self._session = psycopg.connect(
            self._url,
            autocommit=True,
            application_name=f"worker {self.worker_id}",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        if not self._try_lock(self.worker_id):
            self._session.close()
            raise Unavailable(
                f"a worker named {self.worker_id} is running; "
                "give this one another TENANTPLANE_WORKER_ID"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def is_held(self) -> bool:
        """Tell whether the session that holds the name is still there."""
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def is_dead(self, worker_id: str) -> bool:
        """Tell whether nobody holds the name of another worker now."""
        if not self._try_lock(worker_id):
            return False
        self._session.execute(f"SELECT pg_advisory_unlock({_KEY})", [worker_id])
        return True

    def take_reaper_turn(self) -> bool:
        """Tell whether this worker is the one that looks for dead ones until ``end_turn``."""
        return self._try_lock(_REAPER)

    def end_reaper_turn(self) -> None:
        """Let another worker look."""
        self._session.execute(f"SELECT pg_advisory_unlock({_KEY})", [_REAPER])

    def _try_lock(self, name: str) -> bool:
        row = self._session.execute(f"SELECT pg_try_advisory_lock({_KEY})", [name]).fetchone()
        return row == (True,)
