"""A server on loopback that stands for an API of somebody else, with faults on demand.

What it does is in a function of each API's own module; this one answers, counts and breaks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.systems.mails import noon


@dataclass(frozen=True)
class Asked:
    """One call: ``form`` is what a form or query says, ``body`` the JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Api = Callable[[Asked], Reply]

# what goes wrong: before the effect, and after it
BEFORE = ("429", "429 until", "503", "redirect")
AFTER = ("500", "no answer", "half an answer", "cut JSON", "silence")
TWICE = "twice"  # something on the way repeats a request; the second answer is the one that arrives


@dataclass
class Stub:
    """``faults`` are taken one for each call whose path has the text; ``asked`` is every call."""

    api: Api
    url: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def break_next(self, path: str, fault: str, times: int = 1) -> None:
        self.faults += [(path, fault)] * times

    def calls(self, method: str, path: str) -> int:
        return sum(each.method == method and path in each.path for each in self.asked)

    def fault_of(self, path: str) -> str | None:
        for index, (part, fault) in enumerate(self.faults):
            if part in path:
                del self.faults[index]
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        asked = self._read()
        with self.stub.lock:
            self.stub.asked.append(asked)
            fault = self.stub.fault_of(f"{asked.method} {asked.path}")
            if fault == TWICE:
                self.stub.api(asked)
            reply = _before(fault, self.stub) or self.stub.api(asked)
        if fault in AFTER:
            self._break(fault, reply)
        else:
            self._send(reply)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - the library's names

    def _read(self) -> Asked:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = self.headers.get("content-type") or ""
        parts = urlsplit(self.path)
        form = _flat(parse_qs(content.decode())) if "form-urlencoded" in kind else {}
        body = json.loads(content) if content and "json" in kind else None
        return Asked(
            method=self.command, path=unquote(parts.path), form=form, body=body,
            headers={name.lower(): value for name, value in self.headers.items()},
            query=_flat(parse_qs(parts.query)),
        )  # fmt: skip

    def _send(self, reply: Reply, *, promised: int = 0) -> None:
        content = b"" if reply.body is None else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(content) + promised))
        self.end_headers()
        self.wfile.write(content)

    def _break(self, fault: str, reply: Reply) -> None:
        self.close_connection = True
        if fault == "500":
            self._send(Reply(500, {"message": "something for ida@example.fi went wrong"}))
        elif fault == "half an answer":
            self._send(reply, promised=500)
        elif fault == "cut JSON":
            content = json.dumps(reply.body).encode()[:-2]
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        elif fault == "silence":
            self.stub.ends.wait(30)
        else:
            self.connection.close()


@contextmanager
def served(api: Api) -> Iterator[Stub]:
    stub = Stub(api=api)
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        stub.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _flat(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: found[0] for name, found in values.items()}


def _before(fault: str | None, stub: Stub) -> Reply | None:
    if fault == "429":
        return Reply(429, {"error": "ratelimited"}, {"Retry-After": "7"})
    if fault == "429 until":
        later = format_datetime(noon().replace(minute=2), usegmt=True)
        return Reply(429, {"error": "ratelimited"}, {"Retry-After": later})
    if fault == "503":
        return Reply(503, {"error": "maintenance"})
    if fault == "redirect":
        return Reply(302, None, {"Location": f"{stub.url}/elsewhere"})
    return None
