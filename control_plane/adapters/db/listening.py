"""Hearing which runs have new progress lines: one LISTEN connection per process.

What is heard is a hint, never the truth: a listener that was cut off says nothing for a while, and
who waits looks at the rows now and then as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

log = structlog.get_logger()
CHANNEL: Final = "run_events"
_AGAIN_SECONDS: Final = 2.0


class RunNews:
    """Tells subscribers of a run that it has new lines; connects at the first subscription."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard: dict[str, dict[object, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def subscribe(self, run_id: str, tell: Callable[[], object]) -> Callable[[], None]:
        """Call ``tell`` in another thread whenever the run has news; returns what ends that."""
        key = object()
        with self._lock:
            self._heard.setdefault(run_id, {})[key] = tell
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="run-news", daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock:
                told = self._heard.get(run_id, {})
                told.pop(key, None)
                if not told:
                    self._heard.pop(run_id, None)

        return end

    def _listen(self) -> None:
        while True:
            try:
                with psycopg.connect(
                    self._url,
                    autocommit=True,
                    application_name="tenantplane news",
                    connect_timeout=5,
                    keepalives_idle=10,
                    keepalives_interval=5,
                    keepalives_count=3,
                ) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._tell(None)  # what happened meanwhile was not heard
                    for notice in connection.notifies():
                        self._tell(notice.payload)
            except psycopg.Error as error:
                log.warning("run_news.cut", error=type(error).__name__)
            time.sleep(_AGAIN_SECONDS)

    def _tell(self, run_id: str | None) -> None:
        with self._lock:
            names = list(self._heard) if run_id is None else [run_id]
            told = [tell for name in names for tell in self._heard.get(name, {}).values()]
        for tell in told:
            tell()
