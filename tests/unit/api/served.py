"""An API behind the real server, over sockets."""

from __future__ import annotations

import asyncio
import socket
import threading

from api.app import create_app
from api.server import BoundedProtocol, listen, server_of
from tests.unit.api.scene import Api


class Hasty(BoundedProtocol):
    """A protocol whose deadline is short enough to wait for."""

    header_seconds = 0.4


class Served:
    """An API behind the real server, on a free port."""

    trusted: str | None = None  # proxies

    def __init__(self, api: Api, *, body_seconds: float = 0.4) -> None:
        self.api = api
        app = create_app(api.shared, body_seconds=body_seconds)
        (made,) = listen("127.0.0.1", 0)
        self.port: int = made.getsockname()[1]
        self.server = server_of(
            app, host="127.0.0.1", port=self.port, trusted_proxies=self.trusted, protocol=Hasty
        )
        self._thread = threading.Thread(target=self._run, args=(made,))
        self._thread.start()

    def _run(self, made: socket.socket) -> None:
        loop = self.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(self.server._serve([made]))  # without signals: this is no main thread

    def stop(self) -> None:
        """Stop serving."""
        self.server.should_exit = True
        self._thread.join()

    def connect(self) -> socket.socket:
        """Return a connection."""
        made = socket.create_connection(("127.0.0.1", self.port))
        made.settimeout(10)
        return made

    def request(self, headers: str, body: bytes = b"") -> socket.socket:
        """Send a request and return its connection."""
        made = self.connect()
        made.sendall(f"{headers}\r\nHost: api\r\n\r\n".encode() + body)
        return made


def everything_of(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    found = b""
    with connection:
        while piece := connection.recv(4096):
            found += piece
    return found


def answer_of(connection: socket.socket) -> bytes:
    """Read one whole answer of /healthz; its head and body may come in two pieces."""
    found = b""
    while not found.endswith(b'{"status":"ok"}'):
        piece = connection.recv(4096)
        assert piece, found
        found += piece
    return found
