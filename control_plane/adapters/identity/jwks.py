"""Fetching the keys of an identity provider: bounded in time and size."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import httpx

from control_plane.adapters.loopback import connection_options

TIMEOUT_SECONDS: Final = 5.0  # for the connection and for each piece of the answer
WHOLE_SECONDS: Final = 10.0
MAX_BYTES: Final = 1024 * 1024


def fetch_jwks(url: str) -> dict[str, Any]:
    """Return the JWKS document at a URL; redirects are not followed.

    Raises ``httpx.HTTPError`` when there is none, ``ValueError`` for what is not a JSON object, is
    too large, or takes too long to arrive.
    """
    deadline = time.monotonic() + WHOLE_SECONDS
    content = bytearray()
    options = connection_options(url)
    with httpx.stream("GET", url, timeout=TIMEOUT_SECONDS, **options) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError("the JWKS is too large")
            if time.monotonic() > deadline:
                raise ValueError("timed out fetching the JWKS")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("the JWKS is not a JSON object")  # noqa: TRY004 - a fault of the answer
    return found
