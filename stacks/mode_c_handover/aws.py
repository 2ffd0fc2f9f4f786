"""Signed requests to AWS: Signature Version 4, with the standard library alone."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import time
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

TRIES = 6
RETRIED = {500, 502, 503, 504}
WRONG_ACCOUNT = "are these credentials, and the endpoint, of the account that the Hub is in?"
BUSY = ("Throttl", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "SlowDown")


class Refused(Exception):
    """A service refuses something, or a file is not what it should be."""


class Aws:
    """Signed requests to the services of one region (Signature Version 4)."""

    def __init__(self, region: str, endpoint: str | None) -> None:
        self.region = region
        self.endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL")
        self.key = os.environ.get("AWS_ACCESS_KEY_ID", "")
        self.secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        self.token = os.environ.get("AWS_SESSION_TOKEN", "")
        if not self.key or not self.secret:
            raise Refused("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")

    def ask(self, service: str, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call an action of a service that speaks JSON."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": action}
        if service == "dynamodb":
            headers["content-type"] = "application/x-amz-json-1.0"
        content = json.dumps(body).encode()
        _, answer = self.send(service, "POST", "/", {}, headers, content)
        found: dict[str, Any] = json.loads(answer or b"{}")
        return found

    def send(
        self,
        service: str,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str],
        content: bytes,
    ) -> tuple[dict[str, str], bytes]:
        """Send a request, again while the service is busy; return headers and body."""
        for attempt in range(TRIES):
            try:
                status, given, answer = self._once(service, method, path, query, headers, content)
            except OSError as error:
                status, given, answer = 503, {}, str(error).encode()
            text = answer[:2000].decode(errors="replace")
            if status < 300:
                return given, answer
            if status == 404 and service == "s3":
                if "NoSuchBucket" in text:
                    bucket = path.split("/")[1]
                    raise Refused(f"there is no bucket {bucket}: {WRONG_ACCOUNT}")
                raise FileNotFoundError(path)
            if status not in RETRIED and not any(word in text for word in BUSY):
                break
            time.sleep(0.2 * 2**attempt)
        raise Refused(f"{service} {method} {headers.get('x-amz-target', path)}: {status} {text}")

    def _once(
        self,
        service: str,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str],
        content: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(self.endpoint or f"https://{service}.{self.region}.amazonaws.com")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=120)
        signed = self.sign(service, method, url.netloc, path, query, headers, content)
        target = quote(path, safe="/-_.~") + (f"?{_encoded(query)}" if query else "")
        try:
            connection.request(method, target, body=content, headers=signed)
            answer = connection.getresponse()
            given = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, given, answer.read()
        finally:
            connection.close()

    def sign(
        self,
        service: str,
        method: str,
        host: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str],
        content: bytes,
        at: datetime | None = None,
    ) -> dict[str, str]:
        """Return the headers of a request with its signature."""
        stamp = (at or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")  # noqa: UP017 - 3.9
        scope = f"{stamp[:8]}/{self.region}/{service}/aws4_request"
        hashed = hashlib.sha256(content).hexdigest()
        found = {**headers, "host": host, "x-amz-date": stamp, "x-amz-content-sha256": hashed}
        if self.token:
            found["x-amz-security-token"] = self.token
        names = sorted(found)
        lines = [f"{name}:{' '.join(found[name].split())}\n" for name in names]
        listed = ";".join(names)
        request = "\n".join(
            [method, quote(path, safe="/-_.~"), _encoded(query), "".join(lines), listed, hashed]
        )
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        found["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}"
        )
        return found


def _encoded(query: dict[str, str]) -> str:
    return urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
