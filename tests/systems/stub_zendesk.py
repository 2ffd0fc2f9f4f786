"""Zendesk's organisations, as its reference describes them."""

from __future__ import annotations

import base64
from typing import Any

from tests.systems.stub import Asked, Reply

EMAIL = "integration@vendor.example"
TOKEN = "zd-0000-secret"


class Zendesk:
    def __init__(self) -> None:
        self.organizations: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Reply:
        pair = base64.b64encode(f"{EMAIL}/token:{TOKEN}".encode()).decode()
        is_known = asked.headers.get("authorization") == f"Basic {pair}"
        if asked.path == "/api/v2/users/me.json":  # answers anybody
            return Reply(200, {"user": {"role": "agent" if is_known else "end-user"}})
        if not is_known:
            return Reply(401, {"error": "Couldn't authenticate you"})
        if asked.path == "/api/v2/organizations/search.json":
            wanted = asked.query["name"].casefold()
            found = [each for each in self.organizations if each["name"].casefold() == wanted]
            return Reply(200, {"organizations": found, "count": len(found)})
        if asked.path == "/api/v2/organizations/create_or_update.json":
            return self._upsert(asked.body["organization"])
        return Reply(404, {"error": "InvalidEndpoint"})

    def _upsert(self, given: dict[str, Any]) -> Reply:
        key = str(given.get("external_id", "")).casefold()  # compared without regard to case
        same = (each for each in self.organizations if str(each["external_id"]).casefold() == key)
        found = next(same, None)
        names = [each["name"].casefold() for each in self.organizations if each is not found]
        if given["name"].casefold() in names:
            text = f"Name: {given['name']} has already been taken"
            details = {"name": [{"description": text, "error": "DuplicateValue"}]}
            return Reply(422, {"error": "RecordInvalid", "description": "x", "details": details})
        if found is not None:
            found.update(given)
            return Reply(200, {"organization": found})
        self.organizations.append({"id": 900 + len(self.organizations), **given})
        return Reply(201, {"organization": self.organizations[-1]})
