"""Slack: channels that are shared by Slack Connect.

A channel has no key of its caller's, so its purpose ends with ours. Before a channel is made, those
that the app is in are looked through; before somebody is invited to one that was there already,
what is pending. https://docs.slack.dev/reference/slack-connect-api-reference
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.web import SECONDS, Pages
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Invited, Ref

SYSTEM: Final = "slack"
URL: Final = "https://slack.com/api/"
LONGEST_NAME: Final = 80
_LONGEST_PURPOSE: Final = 250
_PAGE: Final = 200
_MOST_REMEMBERED: Final = 1000  # channels, with those who were invited


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
        found = self.find_channel(key)
        if found is not None:
            return found
        try:
            answer = self._call(
                "conversations.create", name=name, is_private=self._workspace.is_private
            )
            made, created = answer["channel"], True
        except SystemRefused as refused:
            unmarked = self._unmarked(name) if refused.data["reason"] == "name_taken" else None
            if unmarked is None:
                raise
            made, created = unmarked, False
        mark = _mark(key)
        purpose = f"{topic[: _LONGEST_PURPOSE - len(mark) - 1]} {mark}"
        self._call("conversations.setPurpose", channel=made["id"], purpose=purpose)
        self._call("conversations.setTopic", channel=made["id"], topic=topic[:_LONGEST_PURPOSE])
        if created:
            self._remember(made["id"], {})
        return self._ref(made, created=created)

    def _unmarked(self, name: str) -> Mapping[str, Any] | None:
        """Return the channel of a name that our own app made and that has no key yet."""
        bot = self._call("auth.test", acts=False).get("user_id")
        found = (
            each for each in self._channels()
            if each.get("name") == name and each.get("creator") == bot and not _purpose(each)
        )  # fmt: skip
        return next(found, None)

    def _remember(self, channel_id: str, invited: dict[str, Invited]) -> dict[str, Invited]:
        with self._lock:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            return self._known.setdefault(channel_id, invited)

    def find_channel(self, key: str) -> Ref | None:
        """Return the channel of a key."""
        mark = _mark(key)
        found = (each for each in self._channels() if _purpose(each).endswith(mark))
        return next((self._ref(each, created=False) for each in found), None)

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:  # noqa: ARG002 - no keys there
        """Invite one person, unless an invitation is pending or the person is there already."""
        known, address = self._invitations(channel_id), email.casefold()
        if address in known:
            return replace(known[address], email=email)
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
            known[address] = invited
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
        return self._remember(channel_id, found)

    def _pages(self, method: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        pages, cursor = Pages(SYSTEM), ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = self._call(method, acts=False, **arguments, **more)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return
            cursor = pages.following(cursor)

    def _ref(self, channel: Mapping[str, Any], *, created: bool) -> Ref:
        identifier = str(channel["id"])
        return Ref(id=identifier, url=f"https://slack.com/app_redirect?channel={identifier}",
                   created=created)  # fmt: skip

    def _call(self, method: str, *, acts: bool = True, **arguments: Any) -> Mapping[str, Any]:
        from control_plane.adapters.systems import slack_calls  # noqa: PLC0415 - for who has Slack

        where = slack_calls.Where(
            token=self._token(), url=self._workspace.url, seconds=self._seconds, now=self._now
        )
        return slack_calls.call(where, method, arguments, acts=acts)


def _mark(key: str) -> str:
    return f"[{key}]"


def _purpose(channel: Mapping[str, Any]) -> str:
    return str((channel.get("purpose") or {}).get("value") or "")


def _pending(page: Mapping[str, Any], channel_id: str) -> Iterator[tuple[str, Invited]]:
    for each in page.get("invites") or []:
        invite = each.get("invite") or {}
        email = invite.get("recipient_email")
        if (each.get("channel") or {}).get("id") == channel_id and email:
            yield (
                str(email).casefold(),
                Invited(email=email, id=invite.get("id"), status=str(each.get("status"))),
            )
