"""The HTTP server of the API process: uvicorn with bounds that it does not have by itself."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from control_plane.domain.errors import Unavailable

MAX_CONNECTIONS: Final = 500  # open at once; beyond, the answer is 503
MAX_HEADERS: Final = 32 * 1024  # bytes of a request's line and headers
HEADER_SECONDS: Final = 10.0  # for the headers of a request to arrive
KEEP_ALIVE_SECONDS: Final = 5
STOP_SECONDS: Final = 5
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection on which no whole request arrives in time, and refuses a large head.

    uvicorn's own timer guards an idle connection and ends with the first byte of a request, so one
    byte now and then would hold a connection forever. The parser keeps a head of any size.
    """

    header_seconds = HEADER_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0  # arrived of the head that is not whole yet, with what came before it
    _begun: RequestResponseCycle | None = None  # the request that is being answered, or was last
    _is_over = False  # what arrives is not read any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; the time for headers ends when they are whole."""
        if self._is_over:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEADERS and not self.transport.is_closing():
            self.send_400_response("The headers of the request are too large.")
        self._watch()

    def on_headers_complete(self) -> None:
        """Begin to answer. Raises ``ValueError`` for a head that is refused."""
        fields = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) + fields > MAX_HEADERS:
            raise ValueError("the headers of the request are too large")
        version, names = self.parser.get_http_version(), Counter(name for name, _ in self.headers)
        coding = dict(self.headers).get(b"transfer-encoding", b"chunked")
        if (
            version not in _VERSIONS
            or names[b"host"] > 1
            or (version == "1.1" and not names[b"host"])  # RFC 9112, section 3.2
            or names[b"authorization"] > 1  # which of them would count?
            or coding.lower() != b"chunked"
        ):
            raise ValueError("the head of the request can be read in two ways")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse; what came whole before is answered first, and is then the connection's last."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()  # this is the one that is refused
        last = self.pipeline[0][0] if self.pipeline else self._begun
        if last is None or last.response_complete or last.more_body:
            super().send_400_response(msg)
        else:
            last.keep_alive = False
        self._is_over = True

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request; the next head may begin in what has arrived."""
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody wants."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._begun = cycle
        super()._start_asgi_task(cycle, app)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.header_seconds, self.transport.close)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server_of(
    app: FastAPI,
    *,
    host: str,
    port: int,
    trusted_proxies: str | None,
    protocol: type[BoundedProtocol] = BoundedProtocol,
) -> uvicorn.Server:
    """Return the server of an application; ``run`` it with the sockets of ``listen``.

    ``trusted_proxies`` are addresses, separated by commas, that are trusted to name a caller's
    address.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies or "",
            limit_concurrency=MAX_CONNECTIONS,
            loop="uvloop",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            lifespan="off",
        )
    )


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of a host. Raises ``Unavailable``."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            made = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)
            made.listen(1024)
    except OSError as error:
        for made in sockets:
            made.close()
        raise Unavailable(
            f"port {port} on {host} cannot be used ({error.strerror}); set TENANTPLANE_PORT to a "
            "free one, or TENANTPLANE_HOST to an address of this machine"
        ) from error
    return sockets
