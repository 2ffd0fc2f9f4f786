"""The application: routes, errors, and what every request passes through."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from fastapi import FastAPI

from api import errors
from api.dependencies import Shared
from api.routes import approvals, audit, bundles, health, hubs, provisioning, runs

log = structlog.get_logger()
MAX_BODY: Final = 256 * 1024
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{8,100}\Z")
_SECURITY: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
]
Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def create_app(shared: Shared) -> FastAPI:
    """Return the application over a core."""
    app = FastAPI(
        title="tenantplane",
        version="1.0.0",
        summary="Tenant provisioning: requests, runs, approvals, bundles, audit logs.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.shared = shared
    for module in (provisioning, hubs, runs, approvals, bundles, audit, health):
        app.include_router(module.router)
    errors.install(app)
    app.add_middleware(Edge)
    return app


class Edge:
    """Request id, size limit, security headers and one log line per request.

    Plain ASGI, so that streams pass through unbuffered.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.match(given) else f"rq-{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 500

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*_SECURITY, (b"x-request-id", request_id.encode())]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        if _too_large(headers):
            await _refuse(answer, request_id)
        else:
            await self._app(scope, _Limited(receive), answer)
        log.info(
            "request.answered", method=scope["method"], path=scope["path"], status=status,
            request_id=request_id, ms=round((time.monotonic() - started) * 1000, 1),
        )  # fmt: skip


def _too_large(headers: dict[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"0")
    return not length.isdigit() or int(length) > MAX_BODY


class _Limited:
    """Cuts off a body without a length that grows too large: it then is no JSON any more."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            return {"type": "http.request", "body": b"", "more_body": False}
        return message


async def _refuse(answer: Send, request_id: str) -> None:
    content = (
        '{"type":"/problems/body_too_large","title":"The body is too large","status":413,'
        '"detail":"The body is larger than 256 KiB.","remedy":"Send at most 256 KiB.",'
        f'"code":"body_too_large","instance":"{request_id}"}}'
    )
    start = {
        "type": "http.response.start",
        "status": 413,
        "headers": [(b"content-type", errors.MEDIA_TYPE.encode())],
    }
    await answer(start)
    await answer({"type": "http.response.body", "body": content.encode()})
