"""How a long-lived process learns that it shall end."""

from __future__ import annotations

import contextlib
import queue
import signal


class EndRequest:
    """A request to end, made by SIGTERM, by SIGINT or by a thread; it stays made.

    A signal handler may make it at any moment. An event of the standard library could not be set
    then: the handler may run while the same thread holds the event's own lock.
    """

    def __init__(self) -> None:
        self._made: queue.SimpleQueue[None] = queue.SimpleQueue()

    def take_signals(self) -> None:
        """Let SIGTERM and SIGINT make it from now on; call in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.make())

    def make(self) -> None:
        """Ask for the end."""
        self._made.put(None)

    @property
    def is_made(self) -> bool:
        """Whether somebody asked for the end."""
        return not self._made.empty()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long, and tell whether somebody asked for the end.

        Keep it to a few seconds and call again: a signal that another thread took does not wake the
        main one.
        """
        with contextlib.suppress(queue.Empty):
            self._made.get(timeout=seconds)
            self._made.put(None)
        return self.is_made
