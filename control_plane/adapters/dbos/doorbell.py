"""What a worker's look at the queue waits for: somebody enqueued, or a phase ended.

DBOS knows no other way than to ask its queue in an interval. Short, that is work for nothing all
day; long, every phase waits for it. So the wait between two questions is this one: as short as the
interval for a moment after a ring, and long without one, until the next ring.
"""

from __future__ import annotations

import threading
import time
from typing import Final

BUSY_SECONDS: Final = 3.0  # what follows a phase is enqueued before it has quite ended
REST_SECONDS: Final = 5.0  # a ring may be lost: the listening session ends now and then


class Doorbell:
    """Takes the place of the event on which DBOS's loop waits, and which ends it: this never does.

    Any thread may ring.
    """

    def __init__(self, *, rest_seconds: float = REST_SECONDS) -> None:
        """``rest_seconds`` is how long a wait without a ring is."""
        self._rest_seconds = rest_seconds
        self._rung = threading.Event()
        self._rung_at = time.monotonic()

    def ring(self) -> None:
        """Let the queue be looked at now, and often for a while."""
        self._rung_at = time.monotonic()
        self._rung.set()

    def is_set(self) -> bool:
        """Let DBOS's loop continue: it ends with the process."""
        return False

    def wait(self, timeout: float) -> bool:
        """Wait ``timeout`` seconds, or, when nobody rang lately, until somebody does."""
        if time.monotonic() - self._rung_at < BUSY_SECONDS:
            time.sleep(timeout)
        else:
            self._rung.wait(max(timeout, self._rest_seconds))
        self._rung.clear()
        return False
