"""HTTP to URLs that somebody else named: to public addresses alone, briefly, and never redirected.

A name is resolved once for each call. All of its addresses are checked, and the connection goes to
one of these: a name that changes its address in between leads nowhere else. TLS is checked against
the name of the URL.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpcore

from control_plane.domain.addresses import (
    Address,
    Target,
    parse_target,
    require_reachable,
)
from control_plane.domain.event_errors import ReceiverFailed, UrlRefused
from control_plane.ports.events import Answer

SECONDS: Final = 10.0  # of a whole call
RESOLVE_SECONDS: Final = 5.0
MOST_OF_ANSWER: Final = 1024
_MOST_ADDRESSES: Final = 4
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedHttp:
    """The port ``EventSender``.

    ``loopback`` allows what leads to this machine, on any port and without TLS: for an embedded
    installation. ``certificates`` says whom TLS trusts; ``seconds`` a whole call may take, and
    ``most_of_answer`` how many bytes of an answer are read.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        resolve: Resolve = resolve,
        certificates: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
        most_of_answer: int = MOST_OF_ANSWER,
    ) -> None:
        self._loopback = loopback
        self._resolve = resolve
        self._certificates = certificates
        self._seconds = seconds
        self._most_of_answer = most_of_answer

    def check(self, url: str) -> None:
        """Refuse a URL that may not be called. Raises ``UrlRefused``."""
        self._addresses(parse_target(url, loopback=self._loopback))

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post to a URL; a redirect is not followed.

        Raises ``UrlRefused``, and ``ReceiverFailed`` for everything but a success. Only the
        beginning of the answer is read.
        """
        ends = time.monotonic() + self._seconds
        target = parse_target(url, loopback=self._loopback)
        backend = _Pinned(self._addresses(target), ends)
        context = self._certificates or _default_certificates()
        try:
            with (
                httpcore.ConnectionPool(
                    ssl_context=context, network_backend=backend, max_connections=1, retries=0
                ) as pool,
                pool.stream(
                    "POST", url, headers=list(headers.items()), content=body,
                    extensions={"timeout": dict.fromkeys(
                        ("connect", "read", "write", "pool"), self._seconds
                    )},
                ) as answer,
            ):  # fmt: skip
                text = _beginning(answer.iter_stream(), self._most_of_answer)
        except httpcore.TimeoutException:
            raise ReceiverFailed("timeout") from None
        except httpcore.ConnectError as error:
            is_tls = isinstance(error.__cause__ or error.__context__, ssl.SSLError)
            raise ReceiverFailed("tls_failed" if is_tls else "not_reached") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol):
            raise ReceiverFailed("broken_answer") from None
        return _judged(answer, text)

    def _addresses(self, target: Target) -> list[Address]:
        """Return the addresses that a call may go to."""
        if target.is_address:
            names = [target.host]
        else:
            names = _in_time(lambda: self._resolve(target.host, target.port))
        found = [ipaddress.ip_address(name) for name in names]
        require_reachable(target, found, loopback=self._loopback)
        return found[:_MOST_ADDRESSES]


def _in_time(ask: Callable[[], list[str]]) -> list[str]:
    """Return what a question to the resolver gives; it has no timeout of its own.

    Raises ``UrlRefused`` when it gives nothing.
    """
    found: list[str] = []

    def run() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            found.extend(ask())

    asker = threading.Thread(target=run, daemon=True, name="resolve")
    asker.start()
    asker.join(RESOLVE_SECONDS)
    if not found:
        raise UrlRefused("names a host that has no address")
    return found


def _default_certificates() -> ssl.SSLContext:
    import httpx  # noqa: PLC0415 - heavy, and not needed to check a URL

    return httpx.create_ssl_context()


def _beginning(stream: Iterable[bytes], most: int) -> bytes:
    found = b""
    for part in stream:
        found += part
        if len(found) >= most:
            break
    return found[:most]


def _judged(answer: httpcore.Response, text: bytes) -> Answer:
    """Return a success; anything else is a failure, and a redirect too."""
    status = answer.status
    if 200 <= status < 300:
        return Answer(status=status, text=text)
    headers = {name.lower(): value for name, value in answer.headers}
    words = {410: "gone", 429: "too_many_requests", 503: "unavailable"}
    failure = "redirect_refused" if 300 <= status < 400 else words.get(status, "refused")
    pause = _pause(headers.get(b"retry-after", b"")) if status in {429, 503} else None
    raise ReceiverFailed(failure, status=status, answer=text, pause=pause)


def _pause(value: bytes) -> timedelta | None:
    """Return what ``Retry-After`` asks for: seconds, or an HTTP date (RFC 9110, 10.2.3)."""
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**6))
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until - datetime.now(UTC), timedelta(0))


class _Pinned(httpcore.NetworkBackend):
    """Connects to addresses that were checked, whatever name is asked for, until a time."""

    def __init__(self, addresses: list[Address], ends: float) -> None:
        self._addresses = addresses
        self._ends = ends
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - what the addresses were resolved from
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the whole call has one
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        failure: Exception = httpcore.ConnectError("no address")
        for number, address in enumerate(self._addresses):
            share = _left(self._ends) / (len(self._addresses) - number)
            try:
                stream = self._real.connect_tcp(
                    str(address), port, timeout=share, local_address=local_address,
                    socket_options=socket_options,
                )  # fmt: skip
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Timed(stream, self._ends)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection that ends at a time: with a timeout of each read alone a drip never ends."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - see above
        """Read what is there."""
        return self._stream.read(max_bytes, timeout=_left(self._ends, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - see above
        """Write everything."""
        self._stream.write(buffer, timeout=_left(self._ends, httpcore.WriteTimeout))

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - see above
    ) -> httpcore.NetworkStream:
        """Speak TLS from here on; the certificate must be that of the URL's name."""
        left = _left(self._ends)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._ends)

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)


def _left(ends: float, late: type[Exception] = httpcore.ConnectTimeout) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise late("the call took too long")
    return left
