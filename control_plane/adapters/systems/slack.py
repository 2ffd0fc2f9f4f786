"""Slack: channels that are shared by Slack Connect, through Slack's own library.

A channel has no key of its caller's, so its purpose ends with ours. Before a channel is made, those
that the app is in are looked through; before somebody is invited to one that was there already,
what is pending. https://docs.slack.dev/reference/slack-connect-api-reference
"""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.web import MAX_BYTES, SECONDS, seconds_to_wait
from control_plane.domain.networks import is_loopback
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Invited, Ref

SYSTEM: Final = "slack"
URL: Final = "https://slack.com/api/"
LONGEST_NAME: Final = 80
_LONGEST_PURPOSE: Final = 250
_PAGE: Final = 200
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
class SlackWorkspace:
    """A workspace. ``is_private``: only who is invited sees the channels."""

    url: str = URL
    is_private: bool = True


class SlackChat:
    """The port ``Chat`` over Slack. The token is that of a bot with the scopes of the docs page."""

    system = SYSTEM
    longest_name = LONGEST_NAME

    def __init__(
        self,
        workspace: SlackWorkspace,
        *,
        token: Credential,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._workspace = workspace
        self._token = token
        self._now = now
        self._seconds = seconds
        # invitations by channel and address: asking for those is allowed once a minute
        self._known: dict[str, dict[str, Invited]] = {}
        self._lock = threading.Lock()

    def check(self) -> str:
        """Ask who the token is; returns what was found, in words."""
        found = self._call("auth.test", acts=False)
        return f"the token is that of {found.get('user')} in {found.get('team')}"

    def open_channel(self, name: str, *, topic: str, key: str) -> Ref:
        """Make a channel, or find the one with this key.

        One of this name that our own app made and that has no key yet is ours too: making it and
        writing the key are two calls, and a process may die between them.
        """
        mark = _mark(key)
        mine = list(self._channels())
        found = next((each for each in mine if _purpose(each).endswith(mark)), None)
        if found is not None:
            return self._ref(found, created=False)
        try:
            made = self._call(
                "conversations.create", name=name, is_private=self._workspace.is_private
            )["channel"]
            created = True
        except SystemRefused as refused:
            if refused.data["reason"] != "name_taken":
                raise
            bot = self._call("auth.test", acts=False).get("user_id")
            unmarked = (
                each for each in mine
                if each.get("name") == name and each.get("creator") == bot and not _purpose(each)
            )  # fmt: skip
            made = next(unmarked, None)
            if made is None:
                raise
            created = False
        room = _LONGEST_PURPOSE - len(mark) - 1
        self._call("conversations.setPurpose", channel=made["id"], purpose=f"{topic[:room]} {mark}")
        self._call("conversations.setTopic", channel=made["id"], topic=topic[:_LONGEST_PURPOSE])
        if created:
            with self._lock:
                self._known[made["id"]] = {}
        return self._ref(made, created=created)

    def find_channel(self, key: str) -> Ref | None:
        """Return the channel of a key."""
        mark = _mark(key)
        found = (each for each in self._channels() if _purpose(each).endswith(mark))
        return next((self._ref(each, created=False) for each in found), None)

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:  # noqa: ARG002 - no keys there
        """Invite one person, unless an invitation is pending or the person is there already."""
        known = self._invitations(channel_id)
        if email in known:
            return known[email]
        try:
            found = self._call("conversations.inviteShared", channel=channel_id, emails=email)
            invited = Invited(email=email, id=found.get("invite_id"), status="sent")
        except SystemRefused as refused:
            if refused.data["reason"] != "already_in_channel":
                raise
            invited = Invited(email=email, id=None, status="already_in_channel")
        except SystemUnavailable:
            with self._lock:  # it may have been sent: the next attempt asks
                self._known.pop(channel_id, None)
            raise
        with self._lock:
            known[email] = invited
        return invited

    def close_channel(self, channel_id: str) -> None:
        """Archive a channel."""
        try:
            self._call("conversations.archive", channel=channel_id)
        except SystemRefused as refused:
            if refused.data["reason"] not in {"already_archived", "channel_not_found"}:
                raise

    def _channels(self) -> Iterator[Mapping[str, Any]]:
        """Yield the channels that the app is in, archived ones too: every one that it made."""
        wanted = "private_channel" if self._workspace.is_private else "public_channel"
        pages = self._pages("users.conversations", types=wanted, limit=_PAGE)
        for page in pages:
            yield from page.get("channels") or []

    def _invitations(self, channel_id: str) -> dict[str, Invited]:
        with self._lock:
            if channel_id in self._known:
                return self._known[channel_id]
        found: dict[str, Invited] = {}
        try:
            for page in self._pages("conversations.listConnectInvites", count=_PAGE):
                found.update(_pending(page, channel_id))
        except SystemRefused as refused:
            # without the scope for it nobody can look; Slack itself refuses who is there already
            if refused.data["reason"] not in {"missing_scope", "restricted_action"}:
                raise
        with self._lock:
            return self._known.setdefault(channel_id, found)

    def _pages(self, method: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        cursor = ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = self._call(method, acts=False, **arguments, **more)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def _ref(self, channel: Mapping[str, Any], *, created: bool) -> Ref:
        identifier = str(channel["id"])
        return Ref(id=identifier, url=f"https://slack.com/app_redirect?channel={identifier}",
                   created=created)  # fmt: skip

    def _call(self, method: str, *, acts: bool = True, **arguments: Any) -> Mapping[str, Any]:
        client = _BoundedClient(self._token(), self._workspace.url, self._seconds)
        try:
            answer = client.api_call(method, params=arguments)
        except SlackApiError as error:
            raise self._fact(method, error, acts=acts) from None
        except urllib.error.URLError as error:  # nothing was sent: no connection
            raise _unreachable(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _lost(type(error).__name__, acted=acts) from error
        return answer.data if isinstance(answer.data, dict) else {}

    def _fact(
        self, method: str, error: SlackApiError, *, acts: bool
    ) -> SystemUnavailable | SystemRefused:
        response: Any = error.response
        code = str(response.get("error") or "")
        headers = {name.lower(): value for name, value in dict(response.headers).items()}
        status = response.status_code
        if status == 429 or code in _LATER:
            wait = seconds_to_wait(headers.get("retry-after"), self._now())
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


def _mark(key: str) -> str:
    return f"[{key}]"


def _purpose(channel: Mapping[str, Any]) -> str:
    return str((channel.get("purpose") or {}).get("value") or "")


def _pending(page: Mapping[str, Any], channel_id: str) -> Iterator[tuple[str, Invited]]:
    for each in page.get("invites") or []:
        invite = each.get("invite") or {}
        email = invite.get("recipient_email")
        if (each.get("channel") or {}).get("id") == channel_id and email:
            yield email, Invited(email=email, id=invite.get("id"), status=str(each.get("status")))


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
