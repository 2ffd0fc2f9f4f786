"""Channels of Microsoft Graph, as its reference describes them, and the login in front of it."""

from __future__ import annotations

import re
from typing import Any

from tests.systems.stub import Asked, Reply

CLIENT, TEAM, OWNER = (f"{number}0000000-0000-0000-0000-000000000000" for number in "123")
TOKEN = "ms-0000-secret"
_CHANNELS = f"/v1.0/teams/{TEAM}/channels"


class Graph:
    def __init__(self) -> None:
        self.url = ""
        self.channels: list[dict[str, Any]] = []
        self.members: dict[str, list[dict[str, Any]]] = {}
        self.forbids = False
        self.accepts_with = 201
        self.page = 2

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/contoso.example/oauth2/v2.0/token":
            if (asked.form["client_id"], asked.form["client_secret"]) != (CLIENT, TOKEN):
                return Reply(401, {"error": "invalid_client"})
            return Reply(200, {"access_token": "eyJ", "expires_in": 3599, "token_type": "Bearer"})
        if asked.headers.get("authorization") != "Bearer eyJ":
            return _error(401, "InvalidAuthenticationToken")
        if asked.path == f"/v1.0/teams/{TEAM}":
            return Reply(200, {"id": TEAM, "displayName": "Customers"})
        if asked.path == _CHANNELS:
            return self._list(asked) if asked.method == "GET" else self._create(asked.body)
        one = re.fullmatch(rf"{_CHANNELS}/([^/]+)/(members|archive)", asked.path)
        if one is None or one[1] not in self.members:
            return _error(404, "NotFound")
        if one[2] == "archive":
            return self._archive(one[1])
        members = self.members[one[1]]
        return Reply(200, {"value": members}) if asked.method == "GET" else self._add(one[1], asked)

    def _list(self, asked: Asked) -> Reply:
        start = int(asked.query.get("$skiptoken", 0))
        end = start + self.page
        answer: dict[str, Any] = {"value": self.channels[start:end]}
        if end < len(self.channels):
            answer["@odata.nextLink"] = f"{self.url}{_CHANNELS}?$skiptoken={end}"
        return Reply(200, answer)

    def _create(self, body: dict[str, Any]) -> Reply:
        owners = [each for each in body["members"] if each["roles"] == ["owner"]]
        if body["membershipType"] != "shared" or len(owners) != 1 or len(body["displayName"]) > 50:
            return _error(400, "BadRequest")
        if any(each["displayName"] == body["displayName"] for each in self.channels):
            return _error(400, "BadRequest", "Channel name already existed, please use other name")
        identifier = f"19:{len(self.channels)}@thread.tacv2"
        channel = {
            "id": identifier, "displayName": body["displayName"], "membershipType": "shared",
            "description": body["description"], "webUrl": f"https://teams.example/{identifier}",
        }  # fmt: skip
        self.channels.append(channel)
        self.members[identifier] = []
        if self.accepts_with == 202:
            return Reply(202, None, {"Location": f"/teams('{TEAM}')/channels('{identifier}')"})
        return Reply(201, channel)

    def _add(self, channel: str, asked: Asked) -> Reply:
        if self.forbids:
            return _error(403, "Forbidden", "ida@example.fi: federated access is not allowed")
        user = re.search(r"users\('(.+)'\)$", asked.body["user@odata.bind"])
        assert user is not None
        member = {"id": f"m{len(self.members[channel])}", "email": user[1], "roles": []}
        self.members[channel].append(member)
        return Reply(201, member)

    def _archive(self, channel: str) -> Reply:
        found = next(each for each in self.channels if each["id"] == channel)
        if found.get("isArchived"):
            return _error(400, "BadRequest", "The channel is already archived")
        found["isArchived"] = True
        return Reply(202)


def _error(status: int, code: str, message: str = "no") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})
