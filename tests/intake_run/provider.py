"""A provider of signatures: it posts what was signed, badly, and says what it has when asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc.jwk import RSAKey

from tests.intake_run.contracts import DOCUSIGN, Attempt, Contract, body_of, listed
from tests.integration.docusign_stub import DocusignStub, say
from tests.signed import as_bytes, docusign_headers, webhook_headers

CALLERS: Final = 4
TOKEN: Final = "read-" + "0123456789abcdef"
_PAGE: Final = 100
_TRIES: Final = 60
_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class SigningKeys:
    """The keys that a message is signed with, each source's own; the newest is the last."""

    docusign: tuple[str, ...]
    signing: tuple[str, ...]


@dataclass
class Listing:
    """The listing of docs/intake.md, on loopback: what was signed, oldest change first."""

    items: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        listing = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listing.get(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/contracts"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, to: BaseHTTPRequestHandler) -> None:
        if to.headers["authorization"] != f"Bearer {TOKEN}":
            return say(to, 401, {})
        path = urlsplit(to.path)
        if path.path != "/contracts":
            name = path.path.rpartition("/")[2]
            found = [each for each in self.items if each["event"]["data"]["document_id"] == name]
            return say(to, 200, found[0]) if found else say(to, 404, {})
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        since, start = datetime.fromisoformat(query["since"]), int(query.get("cursor", "0"))
        items = [
            each for each in self.items if datetime.fromisoformat(each["changed_at"]) >= since
        ]  # fmt: skip
        end = start + _PAGE
        more = str(end) if end < len(items) else None
        return say(to, 200, {"items": items[start:end], "next": more})


class Provider:
    """Both sources: what they post goes to ``api``, what they have is at the two stubs."""

    def __init__(self, contracts: Sequence[Contract], begin: datetime) -> None:
        self.contracts = contracts
        self.begin = begin
        self.key = RSAKey.generate_key(2048)
        self.docusign = DocusignStub(self.key)
        self.listing = Listing()
        self.answers: Counter[int] = Counter()
        self.forged: set[bytes] = set()  # contents that were signed with a removed key
        self._lock = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.docusign)
        self._stack.enter_context(self.listing)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, *, is_well: bool) -> None:
        """Have everything that was signed; unless it is well, some of it is other or not found."""
        shown = [each for each in self.contracts if is_well or not each.is_unknown]
        items = [
            (each.source, listed(each, self.begin, is_changed=each.is_changed and not is_well))
            for each in shown
        ]
        self.docusign.envelopes = [item for source, item in items if source == DOCUSIGN]
        self.listing.items = [item for source, item in items if source != DOCUSIGN]

    def post(
        self, api: str, attempts: Sequence[Attempt], keys: SigningKeys, old: SigningKeys | None
    ) -> None:
        """Post messages, some at a time. Stale ones are signed with ``old`` first, if it is given.

        One that is not taken with success is posted again, as a provider does.
        """
        client = httpx.Client(base_url=api, timeout=60, trust_env=False)
        with client, ThreadPoolExecutor(CALLERS) as pool:
            for _ in pool.map(lambda each: self._deliver(client, each, keys, old), attempts):
                pass

    def _deliver(
        self, client: httpx.Client, attempt: Attempt, keys: SigningKeys, old: SigningKeys | None
    ) -> None:
        body = as_bytes(body_of(attempt, self.begin))
        if old is not None and attempt.is_stale:
            status = self._post(client, attempt, body, old)
            if status != 401:
                raise SystemExit(f"a removed key was answered with {status}")
            self.forged.add(body)
        for _ in range(_TRIES):
            status = self._post(client, attempt, body, keys)
            if status in {200, 202}:
                return
            if status not in {0, 429, 500, 503}:
                raise SystemExit(f"{attempt} was answered with {status}")
            time.sleep(_AGAIN_SECONDS)
        raise SystemExit(f"{attempt} was never taken")

    def _post(
        self, client: httpx.Client, attempt: Attempt, body: bytes, keys: SigningKeys
    ) -> int:  # fmt: skip
        """Post once; returns the status, 0 if there was no answer."""
        source = attempt.contract.source
        if source == DOCUSIGN:
            signed = docusign_headers(body, *keys.docusign)
        else:
            message_id = f"msg_{attempt.contract.number}_{attempt.retry}"
            each = [
                webhook_headers(body, datetime.now(UTC), key=key, message_id=message_id)
                for key in keys.signing
            ]
            signatures = " ".join(found["webhook-signature"] for found in each)
            signed = {**each[0], "webhook-signature": signatures}
        headers = {"Content-Type": "application/json", **signed}
        try:
            status = client.post(f"/v1/intake/{source}", content=body, headers=headers).status_code
        except httpx.TransportError:
            status = 0
        with self._lock:
            self.answers[status] += 1
        return status
