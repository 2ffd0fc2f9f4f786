"""The keeper: serves the state of one stack to the engine, and is its only writer.

The engine's command asks a service for state and secrets by the protocol of Pulumi Cloud. Here that
is a process of the call, on loopback, behind a token that only this call has. It takes the stack
for an update, records each step before the engine continues, seals the secrets, and gives the stack
back. It is a child of the guard and outlives runner and engine, so what an engine has still done
after its runner died is recorded too.

Protocol: pulumi 3.259.0, ``pkg/backend/httpstate/client``. Only what that version asks is answered.
"""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stacks.contract import Code
from stacks.engine.backend import PROJECT, Result, Update, backend_for
from stacks.engine.failures import CallFailed, said_by_keeper
from stacks.engine.journal import VERSION as JOURNAL_VERSION
from stacks.engine.sealing import Sealer

OWNER = "organization"  # as a stack without a service has it

_SCHEMA_VERSION = 3  # of a deployment
_LAST_TRIES_SECONDS = 20.0  # to give the stack back to a backend that does not answer
_PAUSE_SECONDS = 0.5
_NO_STATE = {"manifest": {"time": "0001-01-01T00:00:00Z", "magic": "", "version": ""}}
_RESULTS: Mapping[str, Result] = {"succeeded": "succeeded", "cancelled": "canceled"}
# what an answer may not be, or the engine would ask again for half a minute
_FAILED = 424


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a keeper is started for."""

    call_id: str
    stack: str
    backend_url: str
    endpoint: str | None
    engine: str
    passphrase: str
    token: str


class Keeper:
    """The stack of a call, with the update that it is taken for."""

    def __init__(self, order: Order) -> None:
        self._call_id = order.call_id
        self.stack = order.stack
        self.sealer = Sealer(order.passphrase, order.stack)
        self._backend = backend_for(
            order.backend_url,
            order.stack,
            engine=order.engine,
            key_mark=self.sealer.mark,
            endpoint=order.endpoint,
        )
        self._update: Update | None = None
        self._mutex = threading.Lock()

    def take(self) -> None:
        """Take the stack for an update. Raises ``CallFailed``."""
        with self._mutex:
            self._update = self._backend.take(self._call_id)

    def deployment(self, url: str) -> Mapping[str, Any]:
        """Return the state as the engine asks for it; its secrets are opened at ``url``."""
        with self._mutex:
            state = self._update.state if self._update is not None else self._backend.state()
        service = {"url": url, "owner": OWNER, "project": PROJECT, "stack": self.stack}
        sealed = {"secrets_providers": {"type": "service", "state": service}}
        return {"version": _SCHEMA_VERSION, "deployment": {**(state or _NO_STATE), **sealed}}

    def record(self, entries: list[Mapping[str, Any]]) -> None:
        """Record steps of the engine. Raises ``CallFailed``."""
        with self._mutex:
            self._taken().record(entries)

    def close(self, status: str) -> None:
        """Give the stack back as the engine says that its update ended."""
        with self._mutex:
            self._taken().close(_RESULTS.get(status, "failed"))

    def give_back(self, *, patience: float = 0.0) -> None:
        """Give the stack back if it is still taken, trying for so many seconds."""
        end = time.monotonic() + patience
        while True:
            try:
                with self._mutex:
                    if self._update is not None:
                        self._update.give_back()
                    return
            except CallFailed as failed:
                if failed.code is not Code.BACKEND_UNAVAILABLE or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def require_taken(self) -> None:
        """Raise ``CallFailed`` unless the stack is taken for an update."""
        with self._mutex:
            self._taken()

    def _taken(self) -> Update:
        if self._update is None or not self._update.is_open:
            raise CallFailed(Code.LOCKED, "The stack is served for reading alone.")
        return self._update


def serve(order: Order, orders: int, announce: Callable[[Mapping[str, Any]], None]) -> None:
    """Announce the port, or why it cannot serve, and serve until ``orders``, a pipe, is closed.

    Then give the stack back.
    """
    try:
        keeper = Keeper(order)
        server = _Server(keeper, order.token)
    except CallFailed as failed:
        announce(asdict(failed))
        return
    threading.Thread(target=server.serve_forever, name="keeper", daemon=True).start()
    announce({"port": server.server_port, "pid": os.getpid()})
    with suppress(OSError):
        os.read(orders, 1)
    with suppress(CallFailed):  # it stays taken, by a process that no longer exists
        keeper.give_back(patience=_LAST_TRIES_SECONDS)


def keep(order: int, *, until: int, announcement: Path) -> None:
    """Serve what one line of the pipe ``order`` says, until the other pipe is closed.

    The announcement enters a file at one go.
    """

    def announce(content: Mapping[str, Any]) -> None:
        draft = announcement.with_suffix(".draft")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(announcement)

    serve(_read(order), until, announce)


def serve_reader() -> None:
    """Serve the state to a person's command, as one line on standard input orders it.

    The port is printed as one line of JSON. Nothing asks to take the stack, so it is not changed.
    It ends with the end of the input.
    """
    serve(_read(0), 0, _say)


def _read(pipe: int) -> Order:
    with os.fdopen(pipe, "rb", buffering=0, closefd=False) as orders:  # takes no byte too many
        return Order(**json.loads(orders.readline()))


def _say(content: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(content).encode() + b"\n")


# --- the protocol ----------------------------------------------------------------------------
class _Server(ThreadingHTTPServer):
    """Answers anyone who has the token."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, keeper: Keeper, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keeper = keeper
        self.token = token
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of an engine that ended in the middle of a question."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection of the engine."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for each answer

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    do_HEAD = do_POST = do_PATCH = do_GET  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error is the runner's."""

    def _answer(self) -> None:
        body = self._body()
        if not self._is_known():
            self._send(401, {"code": 401, "message": "The token is not that of this call."})
            return
        try:
            found = _route(self.command, self.path)
            if found is None:
                self._send(404, {"code": 404, "message": f"{self.command} {self.path}"})
            else:
                self._send(200, found(self.server, body))
        except CallFailed as failed:
            document = {"code": _FAILED, "message": said_by_keeper(failed)}
            self._send(_FAILED, {**document, "failed": asdict(failed)})

    def _body(self) -> Any:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return json.loads(content) if content else None

    def _is_known(self) -> bool:
        _, _, token = self.headers.get("Authorization", "").partition(" ")
        return hmac.compare_digest(token.encode(), self.server.token.encode())

    def _send(self, status: int, document: Mapping[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()


Route = Callable[[_Server, Any], Mapping[str, Any]]


def _user_of(_server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"githubLogin": "tenantplane", "name": "tenantplane",
            "organizations": [{"githubLogin": OWNER, "name": OWNER}]}  # fmt: skip


def _capabilities(_server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"capabilities": [{"capability": "batch-encrypt", "version": 1, "configuration": {}}]}


def _stack(server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"orgName": OWNER, "projectName": PROJECT, "stackName": server.keeper.stack,
            "tags": {}, "version": 1}  # fmt: skip


def _stacks(server: _Server, body: Any) -> Mapping[str, Any]:
    return {"stacks": [_stack(server, body)]}


def _export(server: _Server, _body: Any) -> Mapping[str, Any]:
    return server.keeper.deployment(server.url)


def _begin(_server: _Server, body: Any) -> Mapping[str, Any]:
    # one at a time, so a name says enough: ``up`` calls its preview an update, too
    return {"updateID": _DRY if body["options"]["dryRun"] else "update"}


def _begin_preview(_server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"updateID": _DRY}


def _start(server: _Server, _body: Any) -> Mapping[str, Any]:
    server.keeper.require_taken()
    return _start_dry(server, None)


def _start_dry(server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"version": 1, "token": server.token, "journalVersion": JOURNAL_VERSION}


def _lease(server: _Server, _body: Any) -> Mapping[str, Any]:
    return {"token": server.token}


def _record(server: _Server, body: Any) -> Mapping[str, Any]:
    server.keeper.record(body.get("entries") or [])
    return {}


def _complete(server: _Server, body: Any) -> Mapping[str, Any]:
    server.keeper.close(str(body["status"]))
    return {}


def _nothing(_server: _Server, _body: Any) -> Mapping[str, Any]:
    return {}


def _encrypt(server: _Server, body: Any) -> Mapping[str, Any]:
    return {"ciphertext": _sealed(server, body["plaintext"])}


def _batch_encrypt(server: _Server, body: Any) -> Mapping[str, Any]:
    return {"ciphertexts": [_sealed(server, each) for each in body["plaintexts"]]}


def _decrypt(server: _Server, body: Any) -> Mapping[str, Any]:
    return {"plaintext": _opened(server, body["ciphertext"])}


def _batch_decrypt(server: _Server, body: Any) -> Mapping[str, Any]:
    return {"plaintexts": {each: _opened(server, each) for each in body["ciphertexts"]}}


def _sealed(server: _Server, plain: str) -> str:
    return server.keeper.sealer.encrypt(base64.b64decode(plain))


def _opened(server: _Server, sealed: str) -> str:
    return base64.b64encode(server.keeper.sealer.decrypt(sealed)).decode()


def _take(server: _Server, _body: Any) -> Mapping[str, Any]:
    server.keeper.take()
    return {}


def _give_back(server: _Server, _body: Any) -> Mapping[str, Any]:
    server.keeper.give_back()
    return {}


_STACK = r"/api/stacks/[^/]+/[^/]+/[^/]+"
_UPDATE = _STACK + r"/(?:preview|update|refresh|destroy)"
_DRY = "dry-run"
_ROUTES: tuple[tuple[str, re.Pattern[str], Route], ...] = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        ("GET", r"/api/user", _user_of),
        ("GET", r"/api/capabilities", _capabilities),
        ("HEAD", r"/api/stacks/[^/]+/[^/]+", _nothing),
        ("GET", r"/api/user/stacks", _stacks),
        ("GET", _STACK, _stack),
        ("GET", _STACK + "/export", _export),
        ("POST", _STACK + "/encrypt", _encrypt),
        ("POST", _STACK + "/batch-encrypt", _batch_encrypt),
        ("POST", _STACK + "/decrypt", _decrypt),
        ("POST", _STACK + "/batch-decrypt", _batch_decrypt),
        ("POST", _STACK + "/preview", _begin_preview),
        ("POST", _UPDATE, _begin),
        ("POST", _UPDATE + "/update", _start),
        ("POST", f"{_UPDATE}/{_DRY}", _start_dry),
        ("PATCH", _UPDATE + "/update/journalentries", _record),
        ("POST", _UPDATE + "/update/complete", _complete),
        ("POST", f"{_UPDATE}/{_DRY}/complete", _nothing),
        ("POST", _UPDATE + "/[^/]+/renew_lease", _lease),
        ("POST", _UPDATE + "/[^/]+/events/batch", _nothing),
        # of the runner
        ("POST", "/take", _take),
        ("POST", "/give-back", _give_back),
    )
)


def _route(method: str, path: str) -> Route | None:
    path = path.partition("?")[0]
    return next((r for m, p, r in _ROUTES if m == method and p.fullmatch(path)), None)
