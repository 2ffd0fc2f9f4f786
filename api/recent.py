"""Answers that many ask for and that may hang: one is made at a time, and kept for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NoReturn, TypeVar

from control_plane.domain.errors import DomainError, Unavailable
from control_plane.logging import get_logger

log = get_logger()
LIFE_SECONDS: Final = 1.0
WAIT_SECONDS: Final = 2.0
T = TypeVar("T")


@dataclass
class Recent(Generic[T]):
    """Keeps what ``ask`` returned for ``life_seconds``, and makes it in a thread of its own.

    However many ask, one ``ask`` runs; and however long it runs, nobody waits longer than
    ``wait_seconds`` for it.
    """

    ask: Callable[[], T]
    life_seconds: float = LIFE_SECONDS
    wait_seconds: float = WAIT_SECONDS
    _answer: Callable[[], T] | None = None
    _answered: float = float("-inf")
    _started: float = float("-inf")
    _running: threading.Event | None = None  # set when the one that runs has ended
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> T:
        """Return a recent answer, or raise what ``ask`` raised. Raises ``Unavailable``."""
        running = self.start()
        if running is not None:
            left = self._started + self.wait_seconds - time.monotonic()
            if not running.wait(max(0.0, left)):
                raise Unavailable(f"timed out after {self.wait_seconds:g} s")
        if self._answer is None:
            raise Unavailable("no answer")
        return self._answer()

    def start(self) -> threading.Event | None:
        """Ask unless there is a recent answer; return what is set when the answer is there."""
        with self._lock:
            if self._running is not None:
                return self._running
            if time.monotonic() - self._answered < self.life_seconds:
                return None
            self._started, self._running = time.monotonic(), threading.Event()
            running = self._running
        threading.Thread(target=self._run, args=(running,), name="recent", daemon=True).start()
        return running

    def _run(self, running: threading.Event) -> None:
        try:
            value = self.ask()
        except DomainError as error:
            self._answer = _raising(error)
        except Exception as error:
            log.exception("recent.failed", error=type(error).__name__)
            self._answer = _raising(Unavailable("it failed"))
        else:
            self._answer = lambda: value
        finally:
            with self._lock:
                self._answered, self._running = time.monotonic(), None
            running.set()


def _raising(error: DomainError) -> Callable[[], NoReturn]:
    def again() -> NoReturn:
        raise error.with_traceback(None)

    return again


@dataclass
class Readiness:
    """Says of each part whether it can work; a part that hangs is one that cannot."""

    checks: Mapping[str, Callable[[], str]]
    _parts: dict[str, Recent[str]] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the answer of each part separately."""
        self._parts = {name: Recent(ask) for name, ask in self.checks.items()}

    def __call__(self) -> dict[str, str]:
        """Return each part with ``ok`` or what is wrong with it."""
        for part in self._parts.values():
            part.start()  # all at once: together they take no longer than one
        return {name: self._state(part) for name, part in self._parts.items()}

    @staticmethod
    def _state(part: Recent[str]) -> str:
        try:
            return part.get() or "ok"
        except DomainError as error:
            return error.message
