"""The machine's clock and random source."""

from __future__ import annotations

import os
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Final

from control_plane.domain.ids import RANDOM_BYTES, make_id

_SECRET_BYTES: Final = 32
_LAST: Final = (1 << 8 * RANDOM_BYTES) - 1
_DRAWN: Final = 64  # random parts at once: each call of the system lets other threads go first


class SystemClock:
    """The port ``Clock``."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        return datetime.now(UTC)


class RandomIds:
    """The port ``Ids``: ids of one process sort by the order in which they were made.

    That is the monotonic form of the ULID specification: within a millisecond the random part
    counts up from where it began.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = 0
        self._random = 0
        self._drawn: list[bytes] = []
        self._process = 0  # that has drawn them: a copy of it must not use the same

    def new(self, kind: str) -> str:
        """Return a new id of a kind of ``domain.ids.PREFIXES``."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._milliseconds:
                self._milliseconds, self._random = now, self._draw()
            elif self._random < _LAST:
                self._random += 1  # the same millisecond, or the clock was set back
            else:
                self._milliseconds, self._random = self._milliseconds + 1, 0
            return make_id(kind, self._milliseconds, self._random.to_bytes(RANDOM_BYTES))

    def _draw(self) -> int:
        if not self._drawn or self._process != os.getpid():
            fresh = os.urandom(_DRAWN * RANDOM_BYTES)
            self._drawn = [
                fresh[at : at + RANDOM_BYTES] for at in range(0, len(fresh), RANDOM_BYTES)
            ]
            self._process = os.getpid()
        return int.from_bytes(self._drawn.pop())

    def secret(self) -> str:
        """Return 32 random bytes, base64url: the secret part of a link."""
        return secrets.token_urlsafe(_SECRET_BYTES)
