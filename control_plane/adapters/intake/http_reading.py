"""Asking a provider over HTTP: bounded in time and size, its faults in our words."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from control_plane.adapters.loopback import connection_options
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable

TIMEOUT_SECONDS: Final = 20.0  # for the connection and for each piece of an answer
WHOLE_SECONDS: Final = 60.0
MAX_BYTES: Final = 16 * 1024 * 1024
_LONGEST_PAUSE: Final = 24 * 3600


class Unauthorized(Exception):
    """The token is not taken any more."""


class Missing(Exception):
    """What was asked for is not there."""


def require_https(url: str) -> str:
    """Return a URL that a token may be sent to. Raises ``SettingInvalid`` for a plain one."""
    parsed = httpx.URL(url)
    if parsed.scheme != "https" and not (parsed.scheme == "http" and is_loopback(parsed.host)):
        raise SettingInvalid(f"{url} must begin with https://, since a token is sent to it")
    return url.rstrip("/")


def ask(
    system: str,
    method: str,
    url: str,
    *,
    token: str | None = None,
    params: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the JSON object that a system answers; no redirect is followed.

    Raises ``SystemUnavailable`` for what may pass, half an answer among it, ``SystemRefused`` for
    what needs a person, ``Unauthorized`` for 401 and ``Missing`` for 404.
    """
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    end = time.monotonic() + WHOLE_SECONDS
    content = bytearray()
    try:
        with httpx.stream(
            method, url, headers=headers, params=params, data=form, timeout=TIMEOUT_SECONDS,
            **connection_options(url),
        ) as answer:  # fmt: skip
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MAX_BYTES or time.monotonic() > end:
                    raise SystemUnavailable(f"{system} answers too much or too slowly")
    except httpx.HTTPError as error:
        kind = type(error).__name__
        raise SystemUnavailable(f"{system} cannot be reached ({kind})", system=system) from error
    return _read(system, answer, bytes(content))


def _read(system: str, answer: httpx.Response, content: bytes) -> dict[str, Any]:
    status = answer.status_code
    if status == httpx.codes.UNAUTHORIZED:
        raise Unauthorized
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        data: dict[str, Any] = {"system": system, "status": status}
        pause = answer.headers.get("retry-after", "")
        if pause.isascii() and pause.isdigit():
            data["retry_after"] = min(int(pause), _LONGEST_PAUSE)
        raise SystemUnavailable(f"{system} answers {status}", **data)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if status == httpx.codes.NOT_FOUND:
        raise Missing
    if status != httpx.codes.OK:
        code = found.get("errorCode", found.get("error", "")) if isinstance(found, dict) else ""
        if code == "ENVELOPE_DOES_NOT_EXIST":  # DocuSign answers 400
            raise Missing
        raise SystemRefused(
            f"{system} answers {status} {str(code)[:80]!a}", system=system, status=status
        )
    if not isinstance(found, dict):
        raise SystemUnavailable(f"{system} gave half an answer", system=system)
    return found
