"""The runner's ends of the protocol: JSON lines on the private copies of stdin and stdout."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from stacks.engine.passwords import HIDDEN, without_passwords

if TYPE_CHECKING:
    from stacks.contract import Message

_LONGEST_COMMAND = 200
_SHORTEST_SECRET = 8  # shorter ones would be found in everyday words
_LOOK_SECONDS = 1.0  # a signal that another thread took does not wake the main one


class Inbox:
    """Everything that the main thread waits for: commands of the parent, ends of processes.

    Entries are tuples: ("cancel",), ("parent_gone",), ("proceed", digest), ("look", digest),
    ("stop",), ("exit", pid).
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def put(self, *entry: Any) -> None:
        """Add an entry; may be called in a signal handler."""
        self._queue.put(entry)

    def get(self, seconds: float) -> tuple[Any, ...] | None:
        """Return the next entry, None when there is none within ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0.0)
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=min(left, _LOOK_SECONDS))
            if left <= _LOOK_SECONDS:
                return None


class Channel:
    """Private copies of stdin and stdout.

    Whatever else prints, the program or a library, prints to standard error: file descriptor 1 is
    redirected, 0 is empty.
    """

    def __init__(self) -> None:
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.dup(1)
        os.set_inheritable(self._out, False)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._lock = threading.Lock()
        self._seq = 0
        self._secrets: list[str] = []

    def read_request(self) -> bytes:
        """Return the first line; empty when the parent closed without one."""
        return self._in.readline()

    def keep_secret(self, *values: str | None) -> None:
        """Never let one of these texts out, in any message."""
        for value in values:
            if value and len(value) >= _SHORTEST_SECRET:
                self._secrets += [value, json.dumps(value)[1:-1]]

    def listen(self, inbox: Inbox) -> None:
        """Put the parent's commands into ``inbox`` from now on, and its end."""
        threading.Thread(target=self._listen, args=(inbox,), name="commands", daemon=True).start()

    def event(self, kind: str, body: dict[str, Any]) -> None:
        """Send an event with the next number."""
        from stacks.contract import Event  # noqa: PLC0415 - imported after the guard stands

        with self._lock:
            self._seq += 1
            self._write(Event(seq=self._seq, kind=kind, body=body).model_dump_json())

    def send(self, message: Message) -> None:
        """Send a message other than an event."""
        with self._lock:
            self._write(message.model_dump_json())

    def _write(self, line: str) -> None:
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        line = without_passwords(line)
        data = memoryview(line.encode() + b"\n")
        # Nobody reads any more when the parent is gone; that is noticed on stdin.
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._out, data) :]

    def _listen(self, inbox: Inbox) -> None:
        for raw in self._in:
            words = raw[:_LONGEST_COMMAND].decode("utf-8", "replace").split()
            match words:
                case ["cancel"] | ["stop"]:
                    inbox.put(words[0])
                case ["proceed" | "look" as answer, digest]:
                    inbox.put(answer, digest)
                case _:
                    sys.stderr.write("an unknown command was ignored\n")
        inbox.put("parent_gone")
