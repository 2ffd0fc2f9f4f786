"""How many refusals may enter the log one by one: the log must not be a stranger's to fill.

A token bucket per action and source, and one per action for all sources. What is over is counted,
and the count enters the log instead.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

SOURCE_BURST: Final = 30.0
SOURCE_PER_SECOND: Final = 0.5
GLOBAL_BURST: Final = 120.0
GLOBAL_PER_SECOND: Final = 1.0
REPORT_SECONDS: Final = 30.0  # between two reports of what was suppressed
MAX_SOURCES: Final = 4096  # remembered; beyond, the one that was quiet longest is forgotten


@dataclass
class _Bucket:
    tokens: float
    at: float

    def refill(self, now: float, *, per_second: float, burst: float) -> None:
        self.tokens = min(burst, self.tokens + (now - self.at) * per_second)
        self.at = now


@dataclass
class RefusalBudget:
    """Decides per process which refusals are recorded one by one. ``ticks`` are seconds.

    ``burst`` is how many one source may cause at once.
    """

    ticks: Callable[[], float] = time.monotonic
    burst: float = SOURCE_BURST
    _sources: OrderedDict[tuple[str, str], _Bucket] = field(default_factory=OrderedDict)
    _actions: dict[str, _Bucket] = field(default_factory=dict)
    _suppressed: dict[str, int] = field(default_factory=dict)
    _reported: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, action: str, source: str) -> bool:
        """Tell whether a refusal may be recorded by itself; one that may not is counted."""
        with self._lock:
            now = self.ticks()
            of_all = self._actions.setdefault(action, _Bucket(GLOBAL_BURST, now))
            of_all.refill(now, per_second=GLOBAL_PER_SECOND, burst=GLOBAL_BURST)
            of_source = self._bucket(action, source, now)
            if of_source.tokens >= 1 and of_all.tokens >= 1:
                of_source.tokens -= 1
                of_all.tokens -= 1
                return True
            if self._reported is None:
                self._reported = now  # the first report comes a while after the flood begins
            self._suppressed[action] = self._suppressed.get(action, 0) + 1
            return False

    def due(self, *, at_once: bool = False) -> Mapping[str, int]:
        """Return and forget the counts by action when a report is due, otherwise nothing."""
        with self._lock:
            now = self.ticks()
            if not self._suppressed or self._reported is None:
                return {}
            if not at_once and now - self._reported < REPORT_SECONDS:
                return {}
            counts, self._suppressed, self._reported = self._suppressed, {}, now
            return counts

    def give_back(self, counts: Mapping[str, int]) -> None:
        """Take counts back that could not be recorded."""
        with self._lock:
            for action, count in counts.items():
                self._suppressed[action] = self._suppressed.get(action, 0) + count

    def _bucket(self, action: str, source: str, now: float) -> _Bucket:
        key = (action, source)
        bucket = self._sources.setdefault(key, _Bucket(self.burst, now))
        self._sources.move_to_end(key)
        bucket.refill(now, per_second=SOURCE_PER_SECOND, burst=self.burst)
        while len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return bucket
