"""A witness on loopback that does what c2sp.org/tlog-witness says, and faults that a test sets."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.adapters.audit.cosignature import WitnessKey
from control_plane.adapters.audit.merkle import verify_consistency
from control_plane.adapters.audit.note import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    parse_checkpoint,
    parse_note,
)

Answer = tuple[int, dict[str, str], bytes]
SIZE_KIND = {"content-type": "text/x.tlog.size"}


class ScriptedWitness:
    """One witness of some logs; it remembers the last head it cosigned, as ``seen``.

    ``fault`` may answer in its place: it is given the body, and what would be answered as a
    function; ``asked`` are the bodies. ``clock`` is what its cosignatures are dated by.
    """

    def __init__(self, name: str, *logs: VerifierKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.key = WitnessKey(name=name, public_key=self._key.public_key().public_bytes_raw())
        self.logs = list(logs)
        self.seen: dict[str, Checkpoint] = {}
        self.asked: list[str] = []
        self.clock: Callable[[], float] = time.time
        self.fault: Callable[[str, Callable[[], Answer]], Answer] | None = None
        self._lock = threading.Lock()
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                is_call = self.path == "/prefix/add-checkpoint"
                status, headers, content = witness.answer(body) if is_call else (405, {}, b"")
                self.send_response(status)
                for field, value in headers.items():
                    self.send_header(field, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def line(self) -> str:
        """Its line in a policy."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}/prefix"
        return f"witness {self.key.name} {self.key} {url}"

    def answer(self, body: str) -> Answer:
        """Answer a request, or let the fault do so."""
        self.asked.append(body)

        def real() -> Answer:
            with self._lock:
                return self._add_checkpoint(body)

        return real() if self.fault is None else self.fault(body, real)

    def cosign(self, text: str, at: float | None = None) -> str:
        """Return a line over the text of a checkpoint."""
        seconds = int(self.clock() if at is None else at)
        signature = self._key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        blob = self.key.id + struct.pack(">Q", seconds) + signature
        return f"— {self.key.name} {base64.b64encode(blob).decode()}\n"

    def _add_checkpoint(self, body: str) -> Answer:
        top, _, content = body.partition("\n\n")
        old_line, *proof = top.split("\n")
        assert old_line.startswith("old ")
        old = int(old_line[4:])
        note = parse_note(content)
        head = parse_checkpoint(note.text)
        keys = [key for key in self.logs if key.name == head.origin]
        if not keys:
            return 404, {}, b"unknown log\n"
        try:
            note.verified(keys)
        except NoteInvalid:
            return 403, {}, b"no signature of a known key\n"
        if old > head.size:
            return 400, {}, b"old size is larger\n"
        seen = self.seen.get(head.origin)
        if old != (seen.size if seen else 0):
            return 409, SIZE_KIND, b"%d\n" % (seen.size if seen else 0)
        hashes = tuple(base64.b64decode(line) for line in proof)
        if seen is not None and seen.size == head.size and seen.root != head.root:
            return 409, SIZE_KIND, b"%d\n" % seen.size
        if seen is None:
            is_consistent = not hashes
        else:
            is_consistent = verify_consistency(seen.size, head.size, seen.root, head.root, hashes)
        if not is_consistent:
            return 422, {}, b"the proof does not verify\n"
        self.seen[head.origin] = head
        return 200, {}, self.cosign(note.text).encode()


@contextmanager
def witnessing(*witnesses: ScriptedWitness) -> Iterator[None]:
    """Let witnesses answer while the block runs."""
    threads = [
        threading.Thread(target=item.server.serve_forever, args=(0.02,)) for item in witnesses
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for item, thread in zip(witnesses, threads, strict=True):
            item.server.shutdown()
            thread.join(10)
            item.server.server_close()
