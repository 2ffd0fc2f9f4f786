"""What the engine asks the keeper, and how it is answered: HTTP on loopback, behind a token.

Protocol: pulumi 3.259.0, ``pkg/backend/httpstate/client``. Only what that version asks is answered.

Everyone on this machine can connect. Who does not have the token learns nothing, has nothing of its
request read into memory, and is not waited for. What the engine asks in a wrong way is refused with
a status below 500: after one above, it would ask the same again for half a minute.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from stacks.engine.backend import PROJECT
from stacks.engine.failures import CallFailed, said_by_keeper
from stacks.engine.journal import VERSION as JOURNAL_VERSION
from stacks.engine.journal import Entry, is_entry

if TYPE_CHECKING:
    from stacks.engine.keeper import Keeper

OWNER = "organization"  # as a stack without a service has it
LARGEST_BODY = 64 * 1024 * 1024  # unpacked; a state of 200 resources has less than a hundredth
STRANGERS_SECONDS = 10.0  # for each part of a request, until the token was seen

_HEARD_OUT_SECONDS = 0.2
_HEARD_OUT_BYTES = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_FAILED = HTTPStatus.FAILED_DEPENDENCY  # what was asked is right, but cannot be done


_T = TypeVar("_T")


class Refused(Exception):
    """A request is not what the engine would ask."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """The body of a request, which is unpacked and read when something of it is asked for.

    Every method raises ``Refused`` when the body does not have it in the form that is asked for. No
    message quotes it: it may hold secrets.
    """

    def __init__(self, content: bytes, encoding: str | None) -> None:
        self._content = content
        self._encoding = encoding

    def text(self, name: str) -> str:
        """Return a text."""
        return _typed(self._read().get(name), str, f"{name} is not a text")

    def data(self, name: str) -> bytes:
        """Return what a text says in base64."""
        return _data(self.text(name))

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        wrong = f"{name} is not a list of texts"
        return [_typed(each, str, wrong) for each in _typed(self._read().get(name), list, wrong)]

    def flag(self, group: str, name: str) -> bool:
        """Return a flag of a group."""
        options = _typed(self._read().get(group), dict, f"{group} is not an object")
        return _typed(options.get(name), bool, f"{name} is not a flag")

    def entries(self) -> list[Entry]:
        """Return the entries of a journal."""
        said = self._read().get("entries")
        found = [] if said is None else _typed(said, list, "entries is not a list")
        if not all(map(is_entry, found)):
            raise Refused(HTTPStatus.BAD_REQUEST, "an entry is not one of a journal")
        return found

    def _read(self) -> dict[str, Any]:
        try:
            content = _unpacked(self._content, self._encoding)
            document = json.loads(content)
            if b"\\ud" in content.lower():  # half a character could not be written
                json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
        return _typed(document, dict, "the body is not an object")


def _typed(value: Any, kind: type[_T], wrong: str) -> _T:
    if not isinstance(value, kind):
        raise Refused(HTTPStatus.BAD_REQUEST, wrong)
    return value


def _data(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "a text is not base64") from None


def _unpacked(content: bytes, encoding: str | None) -> bytes:
    if encoding is None:
        return content
    if encoding != "gzip":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is packed in an unknown way")
    unpacking = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacking.decompress(content, LARGEST_BODY + 1)
    except zlib.error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body cannot be unpacked") from None
    if len(unpacked) > LARGEST_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body cannot be unpacked")
    return unpacked


# --- connections -----------------------------------------------------------------------------
class Server(ThreadingHTTPServer):
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
    """One connection of the engine, or of a stranger."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for each answer
    timeout = STRANGERS_SECONDS
    _is_unread = False

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    do_HEAD = do_POST = do_PATCH = do_GET  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error is the runner's."""

    def send_error(self, code: int, *_: str | None) -> None:
        """Refuse what is not HTTP, or has another method."""
        self.close_connection = self._is_unread = True
        status = code if code < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST
        self._refuse(status, "This is not a request that is answered.")

    def _answer(self) -> None:
        try:
            self._check_token()
            body = self._body()
            route = _route(self.command, self.path, self.server.keeper.stack)
            if route is None:
                raise Refused(HTTPStatus.NOT_FOUND, f"{self.command} {self.path}")  # noqa: TRY301
            self._send(HTTPStatus.OK, route(self.server, body))
        except Refused as refused:
            self._refuse(refused.status, str(refused))
        except CallFailed as failed:
            document = {"code": _FAILED, "message": said_by_keeper(failed)}
            self._send(_FAILED, {**document, "failed": asdict(failed)})

    def _check_token(self) -> None:
        _, _, token = self.headers.get("Authorization", "").partition(" ")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise self._unread(HTTPStatus.UNAUTHORIZED, "The token is not that of this call.")
        self.connection.settimeout(None)  # the engine closes it, at its end at the latest

    def _body(self) -> Body:
        if "Transfer-Encoding" in self.headers:
            raise self._unread(HTTPStatus.LENGTH_REQUIRED, "A body must tell its length.")
        said = self.headers.get("Content-Length") or "0"
        if re.fullmatch("[0-9]+", said) is None:
            raise self._unread(HTTPStatus.BAD_REQUEST, "The length of the body is not a number.")
        if len(said) > len(str(LARGEST_BODY)) or int(said) > LARGEST_BODY:
            raise self._unread(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        content = self.rfile.read(int(said))
        if len(content) < int(said):
            raise ConnectionAbortedError("half a request asks nothing")
        return Body(content, self.headers.get("Content-Encoding"))

    def _unread(self, status: int, message: str) -> Refused:
        """Return the refusal of a request whose body is not read: it is the connection's last."""
        self.close_connection = self._is_unread = True
        return Refused(status, message)

    def finish(self) -> None:
        """Hear out, for a moment, who was refused: a body left unread may cost it the answer."""
        if self._is_unread:
            with suppress(OSError):
                self.connection.settimeout(_HEARD_OUT_SECONDS)
                self.rfile.read1(_HEARD_OUT_BYTES)
        super().finish()

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"code": status, "message": message})

    def _send(self, status: int, document: Mapping[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()


# --- questions -------------------------------------------------------------------------------
Route = Callable[[Server, Body], Mapping[str, Any]]


def _user_of(_server: Server, _body: Body) -> Mapping[str, Any]:
    return {"githubLogin": "tenantplane", "name": "tenantplane",
            "organizations": [{"githubLogin": OWNER, "name": OWNER}]}  # fmt: skip


def _capabilities(_server: Server, _body: Body) -> Mapping[str, Any]:
    return {"capabilities": [{"capability": "batch-encrypt", "version": 1, "configuration": {}}]}


def _stack(server: Server, _body: Body) -> Mapping[str, Any]:
    return {"orgName": OWNER, "projectName": PROJECT, "stackName": server.keeper.stack,
            "tags": {}, "version": 1}  # fmt: skip


def _stacks(server: Server, body: Body) -> Mapping[str, Any]:
    return {"stacks": [_stack(server, body)]}


def _export(server: Server, _body: Body) -> Mapping[str, Any]:
    return server.keeper.deployment(server.url)


def _begin(_server: Server, body: Body) -> Mapping[str, Any]:
    # one at a time, so a name says enough: ``up`` calls its preview an update, too
    return {"updateID": _DRY if body.flag("options", "dryRun") else "update"}


def _begin_preview(_server: Server, _body: Body) -> Mapping[str, Any]:
    return {"updateID": _DRY}


def _start(server: Server, body: Body) -> Mapping[str, Any]:
    server.keeper.require_taken()
    return _start_dry(server, body)


def _start_dry(server: Server, _body: Body) -> Mapping[str, Any]:
    return {"version": 1, "token": server.token, "journalVersion": JOURNAL_VERSION}


def _lease(server: Server, _body: Body) -> Mapping[str, Any]:
    return {"token": server.token}


def _record(server: Server, body: Body) -> Mapping[str, Any]:
    server.keeper.record(body.entries())
    return {}


def _complete(server: Server, body: Body) -> Mapping[str, Any]:
    server.keeper.close(body.text("status"))
    return {}


def _nothing(_server: Server, _body: Body) -> Mapping[str, Any]:
    return {}


def _encrypt(server: Server, body: Body) -> Mapping[str, Any]:
    return {"ciphertext": server.keeper.sealer.encrypt(body.data("plaintext"))}


def _batch_encrypt(server: Server, body: Body) -> Mapping[str, Any]:
    plain = [_data(each) for each in body.texts("plaintexts")]
    return {"ciphertexts": [server.keeper.sealer.encrypt(each) for each in plain]}


def _decrypt(server: Server, body: Body) -> Mapping[str, Any]:
    return {"plaintext": _opened(server, body.text("ciphertext"))}


def _batch_decrypt(server: Server, body: Body) -> Mapping[str, Any]:
    return {"plaintexts": {each: _opened(server, each) for each in body.texts("ciphertexts")}}


def _opened(server: Server, sealed: str) -> str:
    return base64.b64encode(server.keeper.sealer.decrypt(sealed)).decode()


def _take(server: Server, _body: Body) -> Mapping[str, Any]:
    server.keeper.take()
    return {}


def _give_back(server: Server, _body: Body) -> Mapping[str, Any]:
    server.keeper.give_back()
    return {}


_STACK = r"/api/stacks/[^/]+/[^/]+/[^/]+"
_NAMED = re.compile(r"/api/stacks/[^/]+/[^/]+/([^/]+)")
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


def _route(method: str, path: str, stack: str) -> Route | None:
    """Return what answers a request. Raises ``Refused`` for another stack than the one served."""
    path = path.partition("?")[0]
    named = _NAMED.match(path)
    if named and unquote(named[1]) != stack:
        raise Refused(HTTPStatus.NOT_FOUND, f"only the stack {stack} is served")
    return next((r for m, p, r in _ROUTES if m == method and p.fullmatch(path)), None)
