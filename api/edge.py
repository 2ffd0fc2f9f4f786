"""What every request passes through: its id, the size limit, clean addresses, security headers."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import HTTPException, Request
from fastapi.responses import Response

from api import errors
from api.pages.rendering import language_of, page
from api.pages.wording import TEXTS
from control_plane.domain.errors import DomainError, InvalidInput, NotFound
from control_plane.logging import get_logger, without_tokens

log = get_logger()
MAX_BODY: Final = 256 * 1024
BODY_SECONDS: Final = 20.0  # for a whole body to arrive
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{8,100}\Z")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_SECURITY: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
]
Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass
class Traffic:
    """How many requests wait for their answer now; one whose answer has begun does not."""

    waiting: int = 0  # only the thread of the event loop changes it


class Edge:
    """Request id, size limit, clean addresses, security headers and one log line per request.

    Plain ASGI, so that streams pass through unbuffered. It is also the last to see an exception: an
    answer to a bug has the same headers and form as every other.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        *,
        traffic: Traffic,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._traffic = traffic
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.match(given) else f"rq-{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 0
        self._traffic.waiting += 1

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if not status:
                    self._traffic.waiting -= 1
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}  # a page has its own policy
                extra = [each for each in _SECURITY if each[0] not in own]
                extra.append((b"x-request-id", request_id.encode()))
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            await self._handle(scope, headers, receive, answer)
        except Exception:
            path = without_tokens(scope["path"])
            log.exception("request.failed", path=path, request_id=request_id)
            if status:  # the answer has begun: breaking it off is all that is left
                raise
            await errors.of_fact(Request(scope), DomainError())(scope, receive, answer)
        finally:
            if not status:
                self._traffic.waiting -= 1
            log.info(
                "request.answered", method=scope["method"], path=without_tokens(scope["path"]),
                status=status,
                request_id=request_id, ms=round((time.monotonic() - started) * 1000, 1),
            )  # fmt: skip

    async def _handle(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, answer: Send
    ) -> None:
        fault = _fault(scope)
        if fault is not None:
            await errors.of_fact(Request(scope), fault)(scope, receive, answer)
        elif headers.get(b"content-encoding", b"identity").lower() != b"identity":
            await errors.of_status(Request(scope), 415)(scope, receive, answer)
        elif _too_large(headers):
            await _refused_as_too_large(Request(scope))(scope, receive, answer)
        else:
            await self._app(scope, _Limited(receive, self._body_seconds), answer)


def _fault(scope: Scope) -> DomainError | None:
    """Return what is wrong with the address: nothing that we name holds control characters."""
    if not scope["path"].isprintable():
        return NotFound("not found")
    if _CONTROL.search(unquote_to_bytes(scope["query_string"])):
        return InvalidInput("a query parameter contains a control character", field="query")
    return None


def _refused_as_too_large(request: Request) -> Response:
    """Return the refusal of a body: a page for a form of the portal."""
    if not request.url.path.startswith("/portal/"):
        return errors.of_status(request, 413)
    language = language_of(request.headers.get("accept-language"))
    texts = TEXTS[language]
    return page("message.html", language, status=413,
                title=texts["large_title"], text=texts["large_text"])  # fmt: skip


def _too_large(headers: dict[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"0")
    return not length.isdigit() or len(length) > 9 or int(length) > MAX_BODY


class _Limited:
    """Refuses a body that has grown too large, or that does not arrive in time."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._size = 0
        self._deadline: float | None = None
        self._is_whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._is_whole:  # what waits now waits for the caller to leave
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        self._is_whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            raise HTTPException(413)
        return message
