"""What the emulated cloud answers when moto lacks an operation or fails at it.

moto's own answer is an HTML page with status 500, which SDKs cannot read and repeat up to 25
times. Here it is status 501, which no SDK repeats, with an error in the protocol of the request
that names the operation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
_XML_SERVICES = frozenset({"s3", "route53", "cloudfront"})


def operation_of(environ: Mapping[str, Any], body: bytes) -> str:
    """Return the name of the API operation, or "" when only method and path show it."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    if target:
        return target.rsplit(".", 1)[-1]
    query = str(environ.get("QUERY_STRING", "")).encode()
    found = _ACTION.search(body[:65536]) or _ACTION.search(query)
    return found[1].decode() if found else ""


def service_of(environ: Mapping[str, Any]) -> str:
    """Return the service in the signature of the request, or ""."""
    found = _SERVICE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    return found[1] if found else ""


def refusal(
    environ: Mapping[str, Any], body: bytes, error: Exception
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return status, headers and body for a request at which moto raised ``error``."""
    operation = operation_of(environ, body) or (
        f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    )
    name = f"{service_of(environ) or 'this service'}: {operation}"
    if type(error) is NotImplementedError:
        message = f"The emulated cloud does not support {name}"
    else:
        message = f"The emulated cloud failed at {name} ({type(error).__name__}: {error})"
    if _speaks_xml(environ, body):
        text = (
            "<ErrorResponse><Error><Type>Receiver</Type><Code>NotImplemented</Code>"
            f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
        )
        return "501 Not Implemented", [("Content-Type", "application/xml")], text.encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-ErrorType", "NotImplemented"),
    ]
    document = {"__type": "NotImplemented", "message": message}
    return "501 Not Implemented", headers, json.dumps(document).encode()


def _speaks_xml(environ: Mapping[str, Any], body: bytes) -> bool:
    if environ.get("HTTP_X_AMZ_TARGET"):
        return False
    return bool(_ACTION.search(body[:65536])) or service_of(environ) in _XML_SERVICES
