"""The WSGI layer between the socket and moto: one request at a time, journaled, repeatable.

Each request runs alone, with a stopped clock and a seed of its own. A request that changes the
cloud is in the journal, and the journal on the disk, before it is answered; a cloud that is asked
to end does so when what it did is answered, or who asked would not know of it. At the next start
the entries run again with their clock, seed and keys, and the answers are compared with the
recorded ones.

A request counts as a change unless its name says that it reads. moto has reads that create
something (the first look at a region makes its default network, a look at an AWS-managed alias
makes the key): a read during which moto made a model or a backend is journaled as well.

Forgotten at a restart: what reads merely mark, such as the progress of an ECS task that is only
visible after it was described.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import time_machine
from moto.core.base_backend import BaseBackend
from moto.core.common_models import BaseModel
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from werkzeug.wsgi import ClosingIterator

from stacks.sandbox.entropy import Entropy, fresh_seed
from stacks.sandbox.journal import Entry, Journal
from stacks.sandbox.refusals import operation_of, refusal

log = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_SENDING_SECONDS = 5.0  # for a client that does not read
_READS = re.compile(
    r"(Describe|List|Get(?!SessionToken|FederationToken|Id$)|BatchGet|TransactGet|Head|Scan$|Query$"
    r"|Search|Lookup|Filter|Simulate)"
)
# KMS keeps no record of what its keys are used for
_STATELESS_KMS = re.compile(
    r"(Decrypt|Encrypt|ReEncrypt|Sign|Verify|VerifyMac|GenerateMac|GenerateRandom|GenerateDataKey\w*)$"
)
_KEPT = (
    "HTTP_", "CONTENT_", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REMOTE_ADDR", "REQUEST_",
    "SCRIPT_NAME", "SERVER_", "wsgi.url_scheme", PRESERVED_HEADER_NAMES_ENVIRON_KEY,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What moto answered."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def digest(self) -> str:
        """Digest over status, headers and body."""
        hashed = hashlib.sha256(self.status.encode())
        for name, value in sorted((name.lower(), value) for name, value in self.headers):
            hashed.update(f"\0{name}:{value}".encode())
        hashed.update(b"\0\0" + self.body)
        return hashed.hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How the repetition of a journal went; ``differing`` are numbers of entries."""

    replayed: int
    differing: tuple[int, ...]
    seconds: float


class Remembering:
    """WSGI application that puts a journal in front of another one."""

    def __init__(self, application: Application, journal: Journal | None) -> None:
        """Wrap ``application``; without a journal the cloud forgets everything at its end."""
        self._application = application
        self._journal = journal
        self._lock = threading.Lock()
        self._is_ending = False
        self._unsent = 0  # answers on their way to who asked
        self._sent = threading.Condition()
        self._number = 0
        self._made = 0
        self._entropy = Entropy()
        if journal:
            self._entropy.install()
            self._count_what_is_made()

    def replay(self, progress: Callable[[int], None]) -> Replay:
        """Repeat the journal; call before the first request. ``progress`` gets running counts."""
        if self._journal is None:
            return Replay(replayed=0, differing=(), seconds=0.0)
        started = time.perf_counter()
        differing: list[int] = []
        with time_machine.travel(0, tick=False) as clock:
            for entry in self._journal.entries():
                clock.move_to(entry.time)
                self._entropy.begin(entry.seed, entry.keys)
                answer = self._call(_revived(entry.environ), entry.body)
                if (answer.status, answer.digest) != (entry.status, entry.answer):
                    differing.append(entry.number)
                self._number = entry.number
                progress(entry.number)
        return Replay(
            replayed=self._number,
            differing=tuple(differing),
            seconds=time.perf_counter() - started,
        )

    def close(self) -> None:
        """Wait until what was done is answered, refuse what comes later, close the journal."""
        self._is_ending = True  # who waits for the lock gives it back: it goes to none in turn
        self._lock.acquire()  # kept for good: nothing may be done after this
        with self._sent:
            self._sent.wait_for(lambda: self._unsent == 0, _SENDING_SECONDS)
        if self._journal:
            self._journal.close()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI). Raises ConnectionAbortedError when the cloud ends."""
        body = _read_body(environ)
        with self._lock:
            if self._is_ending:
                raise ConnectionAbortedError("the cloud ends")  # the server hangs up at this
            answer = self._answer(environ, body)
            with self._sent:
                self._unsent += 1
        start_response(answer.status, answer.headers)
        return ClosingIterator([answer.body], self._is_sent)

    def _is_sent(self) -> None:
        with self._sent:
            self._unsent -= 1
            self._sent.notify_all()

    def _answer(self, environ: Environ, body: bytes) -> Answer:
        if self._journal is None:
            return self._call(environ, body)
        made, seed = self._made, fresh_seed()
        self._entropy.begin(seed)
        with time_machine.travel(time.time(), tick=False):
            now = time.time()
            answer = self._call(environ, body)
        if not _is_read(environ, body) or self._made != made:
            self._number += 1
            self._journal.append(
                Entry(
                    number=self._number,
                    time=now,
                    seed=seed,
                    keys=tuple(self._entropy.generated),
                    status=answer.status,
                    answer=answer.digest,
                    environ={k: v for k, v in environ.items() if k.startswith(_KEPT)},
                    body=body,
                )
            )
        return answer

    def _call(self, environ: Environ, body: bytes) -> Answer:
        sent: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            sent.append((status, list(headers)))
            return lambda _: None

        inner = {**environ, "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
        try:
            chunks = self._application(inner, start_response)
            try:
                data = b"".join(chunks)
            finally:
                getattr(chunks, "close", lambda: None)()
        except Exception as error:  # whatever moto raises is answered, never fatal
            if not isinstance(error, NotImplementedError):
                log.exception("moto failed")
            status, headers, data = refusal(environ, body, error)
            return Answer(status=status, headers=headers, body=data)
        status, headers = sent[-1]
        if _has_no_route(environ, status, data):
            status, headers, data = refusal(environ, body, NotImplementedError())
        return Answer(status=status, headers=headers, body=data)

    def _count_what_is_made(self) -> None:
        """Count every model and backend that moto makes, so that a read that makes one is seen."""
        make_model, make_backend = BaseModel.__new__, BaseBackend.__init__

        def counted_model(cls: type, *args: Any, **kwargs: Any) -> Any:
            self._made += 1
            return make_model(cls, *args, **kwargs)

        def counted_backend(backend: Any, region_name: str, account_id: str) -> None:
            self._made += 1
            make_backend(backend, region_name, account_id)

        for owner, name, counted in (
            (BaseModel, "__new__", counted_model),
            (BaseBackend, "__init__", counted_backend),
        ):
            setattr(owner, name, counted)


def _is_read(environ: Mapping[str, Any], body: bytes) -> bool:
    operation = operation_of(environ, body)
    if not operation:
        return environ["REQUEST_METHOD"] in {"GET", "HEAD", "OPTIONS"}
    if str(environ.get("HTTP_X_AMZ_TARGET", "")).startswith("TrentService."):
        return bool(_READS.match(operation) or _STATELESS_KMS.match(operation))
    return bool(_READS.match(operation))


def _has_no_route(environ: Mapping[str, Any], status: str, data: bytes) -> bool:
    """Distinguish moto's own "no such page" from an API's "not found"."""
    signed = "HTTP_AUTHORIZATION" in environ
    return signed and status[:3] in {"404", "405"} and data.startswith(b"<!doctype html>")


def _read_body(environ: Environ) -> bytes:
    size = environ.get("CONTENT_LENGTH")
    if size:
        body: bytes = environ["wsgi.input"].read(int(size))
    else:
        body = environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else b""
    return body


def _revived(environ: Mapping[str, Any]) -> Environ:
    return {
        **environ,
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
