"""The durable queue, in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Enqueued:
    """A phase that was asked for."""

    phase: str
    subject_id: str
    partition: str
    attempt: int


class MemoryQueue:
    """Keeps what committed transactions enqueued, in order, each once.

    With ``run`` phases run inline, in the thread that committed, one after the other: a phase that
    enqueues the next returns before that one starts. Without it they wait for ``drain``.
    """

    def __init__(self, run: Callable[[str, str], None] | None = None) -> None:
        self.run = run
        self.entries: list[Enqueued] = []
        self._waiting: deque[Enqueued] = deque()
        self._known: set[tuple[str, str, int]] = set()
        self._draining = threading.Lock()

    def accept(self, entries: Iterable[Enqueued]) -> None:
        """Take what a transaction enqueued; phase, subject and attempt are taken once."""
        for entry in entries:
            key = (entry.phase, entry.subject_id, entry.attempt)
            if key not in self._known:
                self._known.add(key)
                self.entries.append(entry)
                self._waiting.append(entry)

    def drain(self, run: Callable[[str, str], None] | None = None) -> int:
        """Run what waits until nothing does, and return how many phases ran.

        A phase that raises leaves the queue; what follows it waits for the next call.
        """
        chosen = run or self.run
        if chosen is None or not self._draining.acquire(blocking=False):
            return 0  # a phase of this very drain committed: its successor comes in the loop
        try:
            count = 0
            while self._waiting:
                entry = self._waiting.popleft()
                chosen(entry.phase, entry.subject_id)
                count += 1
            return count
        finally:
            self._draining.release()


class EnqueueIn:
    """The port ``RunQueue`` of one transaction."""

    def __init__(self, entries: list[Enqueued]) -> None:
        self._entries = entries

    def enqueue(self, phase: str, subject_id: str, *, partition: str, attempt: int = 1) -> None:
        """Enqueue a phase in the caller's transaction. Raises ``ValueError`` without a partition.

        A queue that is partitioned would keep such a phase for ever.
        """
        if not partition:
            raise ValueError("a phase needs a partition")
        self._entries.append(Enqueued(phase, subject_id, partition, attempt))
