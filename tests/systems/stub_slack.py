"""Slack's methods for channels that are shared, as its reference describes them."""

from __future__ import annotations

import re
from typing import Any

from tests.systems.stub import Asked, Reply

TOKEN = "xoxb-0000-secret"


class Slack:
    def __init__(self) -> None:
        self.channels: dict[str, dict[str, Any]] = {}
        self.invites: list[dict[str, Any]] = []
        self.members: set[tuple[str, str]] = set()  # channel, address
        self.scopes = {"conversations.connect:manage"}
        self.forbids: str | None = None  # the error of an invitation
        self.page = 2

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error("invalid_auth")
        method = asked.path.rpartition("/")[2]
        return {
            "auth.test": self._who,
            "users.conversations": self._mine,
            "conversations.create": self._create,
            "conversations.setPurpose": self._purpose,
            "conversations.setTopic": self._topic,
            "conversations.inviteShared": self._invite,
            "conversations.listConnectInvites": self._pending,
            "conversations.archive": self._archive,
        }.get(method, lambda _: _error("unknown_method"))(asked.form | asked.query)

    def add(self, name: str, *, creator: str = "U_OTHER", purpose: str = "") -> str:
        identifier = f"C{len(self.channels):08d}"
        self.channels[identifier] = {
            "id": identifier, "name": name, "creator": creator, "is_archived": False,
            "purpose": {"value": purpose}, "topic": {"value": ""},
        }  # fmt: skip
        return identifier

    def _who(self, _: dict[str, str]) -> Reply:
        return _ok(user="tenantplane", team="Vendor", user_id="U_BOT")

    def _mine(self, form: dict[str, str]) -> Reply:
        mine = [each for each in self.channels.values() if each["creator"] == "U_BOT"]
        start = int(form.get("cursor") or 0)
        more = str(start + self.page) if start + self.page < len(mine) else ""
        return _ok(
            channels=mine[start : start + self.page], response_metadata={"next_cursor": more}
        )

    def _create(self, form: dict[str, str]) -> Reply:
        name = form["name"]
        if not re.fullmatch(r"[a-z0-9_-]{1,80}", name):
            return _error("invalid_name_specials")
        if any(each["name"] == name for each in self.channels.values()):
            return _error("name_taken")
        return _ok(channel=self.channels[self.add(name, creator="U_BOT")])

    def _purpose(self, form: dict[str, str]) -> Reply:
        if len(form["purpose"]) > 250:
            return _error("too_long")
        self.channels[form["channel"]]["purpose"] = {"value": form["purpose"]}
        return _ok()

    def _topic(self, form: dict[str, str]) -> Reply:
        self.channels[form["channel"]]["topic"] = {"value": form["topic"]}
        return _ok()

    def _invite(self, form: dict[str, str]) -> Reply:
        if form["channel"] not in self.channels:
            return _error("channel_not_found")
        if self.forbids:
            return _error(self.forbids)
        if "," in form["emails"] or "[" in form["emails"]:
            return _error("too_many_emails")
        if (form["channel"], form["emails"]) in self.members:
            return _error("already_in_channel")
        self.invites.append(
            {"direction": "outgoing", "status": "sent", "invite_type": "channel",
             "invite": {"id": f"I{len(self.invites)}", "recipient_email": form["emails"]},
             "channel": {"id": form["channel"]}}
        )  # fmt: skip
        return _ok(invite_id=self.invites[-1]["invite"]["id"], is_legacy_shared_channel=False)

    def _pending(self, _: dict[str, str]) -> Reply:
        if "conversations.connect:manage" not in self.scopes:
            return _error("missing_scope", needed="conversations.connect:manage")
        return _ok(invites=self.invites)

    def _archive(self, form: dict[str, str]) -> Reply:
        channel = self.channels.get(form["channel"])
        if channel is None:
            return _error("channel_not_found")
        if channel["is_archived"]:
            return _error("already_archived")
        channel["is_archived"] = True
        return _ok()


def _ok(**facts: Any) -> Reply:
    return Reply(200, {"ok": True, **facts})


def _error(code: str, **facts: Any) -> Reply:
    return Reply(200, {"ok": False, "error": code, **facts})
