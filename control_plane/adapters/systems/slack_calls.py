"""Calls of Slack's methods through Slack's own library, and what its errors mean."""

from __future__ import annotations

import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from control_plane.adapters.systems.web import MAX_BYTES, seconds_to_wait
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable

SYSTEM: Final = "slack"
# errors that pass, by Slack's list of what any method may answer
_LATER: Final = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable",
     "request_timeout", "team_added_to_org", "method_rate_limited"}
)  # fmt: skip
_LOGIN: Final = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive",
     "missing_scope", "no_permission", "not_allowed_token_type"}
)  # fmt: skip
_POLICY: Final = frozenset(
    {"restricted_action", "org_login_required", "not_paid", "slack_connect_blocked_file_upload",
     "user_is_restricted", "invite_limit_reached", "connection_limit_exceeded",
     "connection_limit_exceeded_pending", "external_channel_migrating", "not_supported"}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where methods are called, and as whom."""

    token: str = field(repr=False)
    url: str
    seconds: float
    now: Callable[[], datetime]


def call(
    where: Where, method: str, arguments: Mapping[str, Any], *, acts: bool
) -> Mapping[str, Any]:
    """Call a method once; ``acts`` says that something changes there.

    Raises ``SystemUnavailable``, and ``SystemRefused`` with Slack's error as its reason.
    """
    client = _BoundedClient(where.token, where.url, where.seconds)
    try:
        answer = client.api_call(method, params=dict(arguments))
    except SlackApiError as error:
        raise _fact(where, method, error, acts=acts) from None
    except urllib.error.URLError as error:  # nothing was sent: no connection
        raise _unreachable(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _lost(type(error).__name__, acted=acts) from error
    return answer.data if isinstance(answer.data, dict) else {}


def _fact(
    where: Where, method: str, error: SlackApiError, *, acts: bool
) -> SystemUnavailable | SystemRefused:
    response: Any = error.response
    code = str(response.get("error") or "")
    headers = {name.lower(): value for name, value in dict(response.headers).items()}
    status = response.status_code
    if status == 429 or code in _LATER:
        wait = seconds_to_wait(headers.get("retry-after"), where.now())
        data = {} if wait is None else {"retry_after": wait}
        return SystemUnavailable(f"slack asks to wait ({method})", system=SYSTEM, **data)
    if 300 <= status < 400:
        return SystemRefused(
            "slack answers with a redirect, which is not followed: is its URL right?",
            system=SYSTEM, reason="redirect",
        )  # fmt: skip
    if status >= 500 or " " in code or not code:  # a sentence of the library: not its answer
        return _lost(f"{method}, {status}", acted=acts)
    what = "the token or its scopes" if code in _LOGIN else "the call"
    kind = "policy" if code in _POLICY else "refused"
    return SystemRefused(
        f"slack refuses {what}: {code} ({method})", system=SYSTEM, reason=code, kind=kind,
        needed=response.get("needed"),
    )  # fmt: skip


class _BoundedClient(WebClient):
    """The library's client with bounds.

    It follows no redirects, which would take the token along, uses no proxy on loopback, reads no
    answer without end, and writes no log lines of its own, which quote answers.
    """

    def __init__(self, token: str, url: str, seconds: float) -> None:
        quiet = logging.getLogger("tenantplane.slack")
        quiet.disabled = True
        super().__init__(token=token, base_url=url.rstrip("/") + "/", timeout=int(seconds) or 1,
                         logger=quiet, retry_handlers=[])  # fmt: skip
        if is_loopback(urlsplit(url).hostname or ""):
            self.proxy = None

    def _perform_urllib_http_request_internal(
        self, url: str, req: urllib.request.Request
    ) -> dict[str, Any]:
        del url  # that of the request, as the library calls this
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPSHandler(context=self.ssl),
            _NoRedirects(),
        )
        with opener.open(req, timeout=self.timeout) as answer:
            content = answer.read(MAX_BYTES + 1)
            promised = answer.headers.get("content-length")
            if len(content) > MAX_BYTES or (promised and len(content) != int(promised)):
                raise ValueError("too large, or cut: reading a part does not say so")
            return {
                "status": answer.status,
                "headers": answer.headers,
                "body": content.decode("utf-8", "replace"),
            }


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the answer itself is an error then."""


def _unreachable(error: urllib.error.URLError) -> SystemUnavailable | SystemRefused:
    if "CERTIFICATE_VERIFY_FAILED" in str(error.reason):
        return SystemRefused(
            "slack has a certificate that is not accepted", system=SYSTEM, reason="certificate"
        )
    return SystemUnavailable("slack cannot be reached", system=SYSTEM)


def _lost(what: str, *, acted: bool) -> SystemUnavailable:
    return SystemUnavailable(
        f"slack did not answer ({what})",
        system=SYSTEM,
        **({"may_have_acted": True} if acted else {}),
    )
