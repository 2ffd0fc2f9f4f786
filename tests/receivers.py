"""Receivers of public events on loopback: they keep what they get, and answer as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answering = Callable[["Got"], "Reply"]


@dataclass(frozen=True)
class Got:
    """A message as it came; names of headers are in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Reply:
    """What a receiver answers."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver:
    """A server on a free port of loopback."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Answering = lambda _: Reply()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                got = Got(
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                receiver.got.append(got)
                reply = receiver.answer(got)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/events"

    @property
    def types(self) -> list[str]:
        """The types of what came, in order, without their prefix."""
        return [got.event["type"].removeprefix("tenantplane.") for got in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Give a receiver that listens until the end of the block."""
    found = Receiver()
    found._thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        found._thread.join()
