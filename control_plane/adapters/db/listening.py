"""Hearing what was committed elsewhere: which runs have new progress lines, and that phases wait.

What is heard is a hint, never the truth: a listener that was cut off says nothing for a while, and
who waits looks at the rows now and then as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

from control_plane.logging import get_logger

log = get_logger()
RUN_EVENTS: Final = "run_events"  # payload: the run, or the tenant, that has new lines
PHASES: Final = "phases"  # payload: the phase that was enqueued; none when a place is free
_AGAIN_SECONDS: Final = 2.0


def start_listening(url: str, channel: str, hear: Callable[[str | None], object]) -> None:
    """Call ``hear`` with the payload of every notice, in a thread with a session of its own.

    After each new start of the session ``hear`` gets None: what happened meanwhile was not heard.
    """
    threading.Thread(
        target=_listen, args=(url, channel, hear), name=f"listen-{channel}", daemon=True
    ).start()


def _listen(url: str, channel: str, hear: Callable[[str | None], object]) -> None:
    while True:
        try:
            with psycopg.connect(
                url,
                autocommit=True,
                application_name="tenantplane news",
                connect_timeout=5,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
            ) as connection:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                hear(None)
                for notice in connection.notifies():
                    hear(notice.payload)
        except psycopg.Error as error:
            log.warning("listening.cut", channel=channel, error=type(error).__name__)
        time.sleep(_AGAIN_SECONDS)


class RunNews:
    """Tells subscribers of a run that it has new lines; connects at the first subscription."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard: dict[str, dict[object, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._is_listening = False

    def subscribe(self, run_id: str, tell: Callable[[], object]) -> Callable[[], None]:
        """Call ``tell`` in another thread whenever the run has news; returns what ends that."""
        key = object()
        with self._lock:
            self._heard.setdefault(run_id, {})[key] = tell
            if not self._is_listening:
                self._is_listening = True
                start_listening(self._url, RUN_EVENTS, self._tell)

        def end() -> None:
            with self._lock:
                told = self._heard.get(run_id, {})
                told.pop(key, None)
                if not told:
                    self._heard.pop(run_id, None)

        return end

    def _tell(self, run_id: str | None) -> None:
        with self._lock:
            names = list(self._heard) if run_id is None else [run_id]
            told = [tell for name in names for tell in self._heard.get(name, {}).values()]
        for tell in told:
            tell()
