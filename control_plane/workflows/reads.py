"""How often reading a log becomes an event: the first read at once, those of a minute as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

WINDOW_SECONDS: Final = 60.0
MAX_WINDOWS: Final = 20_000  # remembered; beyond, each read is an event of its own


Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Reads of one reader, log and kind: how many, and the first and last index that was shown."""

    count: int
    first_idx: int | None
    last_idx: int | None

    def __add__(self, other: Reads) -> Reads:
        """Return both together."""
        firsts = [i for i in (self.first_idx, other.first_idx) if i is not None]
        lasts = [i for i in (self.last_idx, other.last_idx) if i is not None]
        return Reads(
            count=self.count + other.count,
            first_idx=min(firsts, default=None),
            last_idx=max(lasts, default=None),
        )


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What is to be recorded now: ``reads``, with ``earlier`` ones among them that waited."""

    reads: Reads
    earlier: Reads | None = None


@dataclass(frozen=True, kw_only=True)
class _Window:
    opened_at: float
    waiting: Reads | None = None


@dataclass
class ReadTally(Generic[Key]):
    """Decides per process which reads are recorded now. ``ticks`` are seconds."""

    ticks: Callable[[], float] = time.monotonic
    _windows: dict[Key, _Window] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Key, read: Reads) -> Taken | None:
        """Return what is to be recorded now, earlier reads included; None when it may wait."""
        with self._lock:
            now = self.ticks()
            window = self._windows.get(key)
            if window is None and len(self._windows) >= MAX_WINDOWS:
                return Taken(reads=read)
            earlier = window.waiting if window is not None else None
            both = read if earlier is None else earlier + read
            if window is None or now - window.opened_at >= WINDOW_SECONDS:
                self._windows[key] = _Window(opened_at=now)
                return Taken(reads=both, earlier=earlier)
            self._windows[key] = replace(window, waiting=both)
            return None

    def give_back(self, key: Key, earlier: Reads | None) -> None:
        """Take back what could not be recorded: the next read is due at once, with ``earlier``."""
        with self._lock:
            window = self._windows.pop(key, None)
            since = window.waiting if window is not None else None
            waiting = earlier + since if earlier and since else earlier or since
            if waiting is not None:
                opened_at = self.ticks() - WINDOW_SECONDS
                self._windows[key] = _Window(opened_at=opened_at, waiting=waiting)

    def due(self, *, at_once: bool = False) -> dict[Key, Reads]:
        """Return and forget what waited for a whole window, or all of it."""
        with self._lock:
            now = self.ticks()
            over = {
                key: window
                for key, window in self._windows.items()
                if at_once or now - window.opened_at >= WINDOW_SECONDS
            }
            for key in over:
                del self._windows[key]
            return {key: item.waiting for key, item in over.items() if item.waiting is not None}
