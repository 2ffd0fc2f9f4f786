"""Keepers for tests: one that serves in this process, and what is asked of it."""

from __future__ import annotations

import http.client
import json
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.keeper import Order, serve
from stacks.engine.sdk import VERSION

STACK = "acme.production.a"
PASSPHRASE = "a passphrase for tests only"
TOKEN = "the-token-of-this-call"
PLACE = f"/api/stacks/organization/tenantplane/{STACK}"


@dataclass(frozen=True)
class Served:
    """A keeper that serves."""

    port: int
    token: str = TOKEN

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return status and document of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": f"token {self.token}", **named}
        try:
            connection.request(method, path, body=content, headers=given)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.getheader("Content-Length") == str(len(text)) or method == "HEAD"
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, document = self.ask("GET", path)
        assert status == 200, document
        return document

    def post(self, path: str, body: Any = None) -> Any:
        status, document = self.ask("POST", path, body)
        assert status == 200, document
        return document


def order(folder: Path, *, call_id: str = "run_a.1", **changes: Any) -> Order:
    asked = Order(
        call_id=call_id,
        stack=STACK,
        backend_url=f"file://{folder}/states",
        endpoint=None,
        engine=f"v{VERSION}",
        passphrase=PASSPHRASE,
        token=TOKEN,
    )
    return replace(asked, **changes)


@contextmanager
def keeping(asked: Order, *, needs_state: bool = False) -> Iterator[Served]:
    """Serve what is ordered, until the end of the context."""
    reading, writing = os.pipe()
    said: queue.Queue[Any] = queue.Queue()
    thread = threading.Thread(
        target=serve, args=(asked, reading, said.put), kwargs={"needs_state": needs_state}
    )
    thread.start()
    try:
        announced = said.get(timeout=60)
        if "port" not in announced:
            raise CallFailed(**{**announced, "code": Code(announced["code"])})
        yield Served(announced["port"], asked.token)
    finally:
        os.close(writing)
        thread.join(60)
        os.close(reading)
        assert not thread.is_alive()


def urn(name: str) -> str:
    return f"urn:pulumi:{STACK}::tenantplane::aws:ssm/parameter:Parameter::{name}"


def entries(*, name: str = "one", sequence: int = 1) -> list[dict[str, Any]]:
    resource = {"urn": urn(name), "type": "aws:ssm/parameter:Parameter", "custom": True}
    begin = {"type": "creating", "resource": resource}
    return [
        {"kind": 0, "sequenceID": sequence, "operationID": sequence, "operation": begin},
        {"kind": 1, "sequenceID": sequence + 1, "operationID": sequence,
         "state": {**resource, "id": name}},
    ]  # fmt: skip


UPDATE = f"{PLACE}/update"
JOURNAL = f"{UPDATE}/update/journalentries"
