"""A server on loopback that answers as DocuSign's documentation says: tokens, accounts, envelopes.

Its faults are told beforehand: ``answers`` are statuses that the next requests for envelopes get.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

ACCOUNT = "4e0a9d6c-1f5b-4a3e-9c27-8d1b6f0a2c55"


@dataclass
class DocusignStub:
    """What the server has and what it was asked."""

    key: RSAKey
    envelopes: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    after_page: Any = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                stub.token(self, {name: values[0] for name, values in form.items()})

            def do_GET(self) -> None:
                stub.get(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, to: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return say(to, 400, {"error": "unsupported_grant_type"})
        claims = jwt.decode(form["assertion"], self.key, algorithms=["RS256"]).claims
        self.claims.append(dict(claims))
        if claims["sub"] == "without consent":
            return say(to, 400, {"error": "consent_required"})
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        return say(to, 200, {
            "access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600,
        })  # fmt: skip

    def get(self, to: BaseHTTPRequestHandler) -> None:
        path = urlsplit(to.path)
        if not self.tokens or to.headers["authorization"] != f"Bearer {self.tokens[-1]}":
            return say(to, 401, {"errorCode": "AUTHORIZATION_INVALID_TOKEN", "message": "x"})
        if path.path == "/oauth/userinfo":
            accounts = [{"account_id": ACCOUNT, "is_default": True, "base_uri": self.url}]
            return say(to, 200, {"sub": "user", "accounts": accounts})
        if self.answers:
            answer = self.answers.pop(0)
            if answer is not None:
                return say(to, *answer)
        base = f"/restapi/v2.1/accounts/{ACCOUNT}/envelopes"
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        if path.path == base:
            return self.listing(to, query)
        found = [each for each in self.envelopes if path.path == f"{base}/{each['envelopeId']}"]
        if not found:
            return say(to, 404, {"errorCode": "ENVELOPE_DOES_NOT_EXIST", "message": "x"})
        return say(to, 200, found[0])

    def listing(self, to: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        self.asked.append(query)
        since = datetime.fromisoformat(query["from_date"])
        statuses, start, count = query["status"].split(","), int(query["start_position"]), int(
            query["count"])  # fmt: skip
        found = sorted(
            (
                each for each in self.envelopes
                if each["status"] in statuses
                and datetime.fromisoformat(each["statusChangedDateTime"]) >= since
            ),
            key=lambda each: str(each["statusChangedDateTime"]),
        )  # fmt: skip
        page = found[start : start + count]
        answer: dict[str, Any] = {
            "resultSetSize": str(len(page)), "totalSetSize": str(len(found)),
            "startPosition": str(start), "endPosition": str(start + max(len(page) - 1, 0)),
        }  # fmt: skip
        if page:
            answer["envelopes"] = page
        say(to, 200, answer)
        if self.after_page is not None:
            self.after_page(self)


def say(to: BaseHTTPRequestHandler, status: int, content: Any, **headers: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    to.send_response(status)
    for name, value in {"content-type": "application/json", **headers}.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("content-length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)
