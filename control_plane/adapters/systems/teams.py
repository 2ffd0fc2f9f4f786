"""Microsoft Teams by Graph: shared channels of one team.

Whether people of another organisation may be in one is decided by the policies of both sides, so
inviting may be refused for good: https://learn.microsoft.com/graph/api/channel-post-members
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.tokens import Tokens
from control_plane.adapters.systems.web import SECONDS, Answer, JsonApi, Pages
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Invited, Ref

SYSTEM: Final = "teams"
URL: Final = "https://graph.microsoft.com/v1.0"
LOGIN_URL: Final = "https://login.microsoftonline.com"
LONGEST_NAME: Final = 50
_LONGEST_DESCRIPTION: Final = 1024
_MEMBER: Final = "#microsoft.graph.aadUserConversationMember"


@dataclass(frozen=True, kw_only=True)
class TeamsDirectory:
    """The vendor's directory, the team that has the channels, and the owner of each of them."""

    directory: str
    client_id: str
    team: str
    owner: str
    url: str = URL
    login_url: str = LOGIN_URL


class TeamsChat:
    """The port ``Chat``. A channel's description ends with the key that it was made with."""

    system = SYSTEM
    longest_name = LONGEST_NAME

    def __init__(
        self,
        directory: TeamsDirectory,
        *,
        secret: Credential,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._directory = directory
        login = JsonApi(
            system=SYSTEM, url=directory.login_url, headers=dict, now=now, seconds=seconds
        )
        self._tokens = Tokens(
            api=login,
            path=f"/{directory.directory}/oauth2/v2.0/token",
            form=lambda: {
                "grant_type": "client_credentials",
                "client_id": directory.client_id,
                "client_secret": secret(),
                "scope": "https://graph.microsoft.com/.default",
            },
        )
        self._api = JsonApi(
            system=SYSTEM, url=directory.url, headers=self._tokens.headers, now=now,
            seconds=seconds,
        )  # fmt: skip

    def check(self) -> str:
        """Ask for the team; returns what was found, in words."""
        answer = self._call("GET", f"/teams/{self._directory.team}")
        if not answer.is_success:
            raise self._refused(answer)
        return f"the team {answer.object().get('displayName')} is there"

    def open_channel(self, name: str, *, topic: str, key: str) -> Ref:
        """Make a shared channel with one owner, as Teams demands, or find the one of this key."""
        found = self.find_channel(key)
        if found is not None:
            return found
        owner = f"{self._directory.url}/users('{self._directory.owner}')"
        mark = _mark(key)
        body = {
            "displayName": name,
            "description": f"{topic[: _LONGEST_DESCRIPTION - len(mark) - 1]} {mark}",
            "membershipType": "shared",
            "members": [{"@odata.type": _MEMBER, "user@odata.bind": owner, "roles": ["owner"]}],
        }
        answer = self._call("POST", self._channels, body=body)
        if answer.status == 202:  # it is being made; listed from the beginning
            made = self.find_channel(key)
            if made is None:
                raise self._api.later(
                    "teams is still making the channel", headers=answer.headers, acted=True
                )
            return Ref(id=made.id, url=made.url, created=True)
        if answer.is_success:
            return _ref(answer.object(), created=True)
        refused = self._refused(answer, name=name)
        # something on the way may have repeated the request, which then meets itself
        ours = self.find_channel(key) if refused.data["reason"] == "name_taken" else None
        if ours is None:
            raise refused
        return ours

    def find_channel(self, key: str) -> Ref | None:
        """Return the channel of a key."""
        mark = _mark(key)
        found = (
            each for each in self._pages(self._channels)
            if str(each.get("description") or "").endswith(mark)
        )  # fmt: skip
        return next((_ref(each, created=False) for each in found), None)

    def invite(self, channel_id: str, email: str, *, key: str) -> Invited:  # noqa: ARG002 - no keys there
        """Add one person as a member, unless they are one."""
        members = f"{self._channels}/{quote(channel_id, safe='')}/members"
        for each in self._pages(members):
            if str(each.get("email") or "").casefold() == email.casefold():
                return Invited(email=email, id=each.get("id"), status="member")
        user = f"{self._directory.url}/users('{email.replace(chr(39), chr(39) * 2)}')"
        body = {"@odata.type": _MEMBER, "roles": [], "user@odata.bind": user}
        answer = self._call("POST", members, body=body)
        if not answer.is_success:
            raise self._refused(answer)
        return Invited(email=email, id=answer.object().get("id"), status="member")

    def close_channel(self, channel_id: str) -> None:
        """Archive a channel."""
        path = f"{self._channels}/{quote(channel_id, safe='')}/archive"
        answer = self._call("POST", path, body={})
        is_archived = answer.status == 400 and "archived" in _message(answer)
        if not (answer.is_success or answer.status == 404 or is_archived):
            raise self._refused(answer)

    @property
    def _channels(self) -> str:
        return f"/teams/{self._directory.team}/channels"

    def _call(self, method: str, path: str, **content: Any) -> Answer:
        return self._tokens.call(self._api, method, path, **content)

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        answer = self._call("GET", path)
        base = self._directory.url.rstrip("/")
        pages = Pages(SYSTEM)
        while True:
            if not answer.is_success:
                raise self._refused(answer)
            yield from answer.object().get("value") or []
            following = answer.object().get("@odata.nextLink")
            if not following:
                return
            if not str(following).startswith(base + "/"):
                raise self._api.refused("names a next page elsewhere", reason="unreadable")
            parts = urlsplit(pages.following(following).removeprefix(base))
            answer = self._call("GET", f"{parts.path}?{parts.query}")

    def _refused(self, answer: Answer, *, name: str | None = None) -> SystemRefused:
        """Return the refusal; messages name people, so only codes are kept."""
        error = answer.object().get("error") or {}
        code = str(error.get("code") or "without a code")[:60]
        text = _message(answer)
        if name is not None and ("already exist" in text or code == "NameAlreadyExists"):
            return self._api.refused(f"has another channel named {name}", reason="name_taken")
        if answer.status == 401:
            return self._api.refused("refuses the token", reason="credential")
        # 404: nobody of that address is known in the directory, which is the usual case of a person
        # of another organisation whose policies were not set up yet
        return self._api.refused(
            f"refuses ({answer.status} {code})",
            reason=code,
            kind="policy" if answer.status in {403, 404} else "refused",
        )


def _mark(key: str) -> str:
    return f"[{key}]"


def _message(answer: Answer) -> str:
    return str((answer.object().get("error") or {}).get("message") or "").lower()


def _ref(channel: Mapping[str, Any], *, created: bool) -> Ref:
    return Ref(id=str(channel["id"]), url=channel.get("webUrl"), created=created)
