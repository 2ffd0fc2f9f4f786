"""Sends public events in threads of the worker, so that no slow receiver holds anything up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from control_plane.domain.errors import DomainError
from control_plane.logging import get_logger
from control_plane.workflows.core import Core
from control_plane.workflows.publishing import claim_turns, take_turn

log = get_logger()
THREADS: Final = 8  # receivers that one worker speaks to at a time


class Courier:
    """Takes turns of subscriptions, one thread each."""

    def __init__(self, core: Core, *, threads: int = THREADS) -> None:
        self._core = core
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="events")
        self._free = threading.Semaphore(threads)
        self._most = threads

    def __call__(self) -> int:
        """Begin the turns that are due, as many as there are free threads; returns how many."""
        free = 0
        while free < self._most and self._free.acquire(blocking=False):
            free += 1
        begun = 0
        try:
            for subscription_id in claim_turns(self._core, limit=free) if free else ():
                self._threads.submit(self._turn, subscription_id)
                begun += 1
        finally:
            for _ in range(free - begun):
                self._free.release()
        return begun

    def wait(self) -> None:
        """Wait until every turn that was begun has ended; no other begins."""
        self._threads.shutdown()

    def _turn(self, subscription_id: str) -> None:
        try:
            take_turn(self._core, subscription_id)
        except DomainError as error:  # the lease ends, and another turn begins
            log.warning("events.put_off", subscription=subscription_id, code=error.code)
        except Exception:
            log.exception("events.failed", subscription=subscription_id)
        finally:
            self._free.release()
