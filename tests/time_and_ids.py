"""A clock that stands until it is moved, and ids that repeat."""

from __future__ import annotations

import base64
import hashlib
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from control_plane.domain.ids import RANDOM_BYTES, make_id

START: Final = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


class FixedClock:
    """The port ``Clock``: shows ``start`` until ``advance`` moves it."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("a time without a zone")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time it shows."""
        return self._now

    def advance(self, **units: float) -> datetime:
        """Move on by a ``timedelta`` of ``units`` (``hours=1``) and return the new time."""
        self._now += timedelta(**units)
        return self._now


class SeededIds:
    """The port ``Ids``: the same seed gives the same ids, in rising order."""

    def __init__(self, seed: int = 0, *, start: datetime = START) -> None:
        self._seed = seed
        self._milliseconds = int(start.timestamp() * 1000)
        self._count = 0
        self._lock = threading.Lock()

    def copied(self) -> SeededIds:
        """Return one that gives the ids that follow."""
        copied = SeededIds(self._seed)
        copied._count, copied._milliseconds = self._count, self._milliseconds
        return copied

    def new(self, kind: str) -> str:
        """Return the next id of a kind of ``domain.ids.PREFIXES``."""
        milliseconds, randomness = self._next()
        return make_id(kind, milliseconds, randomness[:RANDOM_BYTES])

    def secret(self) -> str:
        """Return the next 32 bytes, base64url. They are no secret."""
        return base64.urlsafe_b64encode(self._next()[1]).decode().rstrip("=")

    def _next(self) -> tuple[int, bytes]:
        with self._lock:
            self._count += 1
            self._milliseconds += 1  # so that ids sort by the order in which they were made
            randomness = hashlib.sha256(f"{self._seed}:{self._count}".encode()).digest()
            return self._milliseconds, randomness
