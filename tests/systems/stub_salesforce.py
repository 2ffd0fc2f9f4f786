"""Salesforce's accounts and opportunities, as its REST reference describes them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.systems.stub import Asked, Reply

CLIENT = "3MVG9.client"
TOKEN = "sf-0000-secret"
_BASE = "/services/data/v62.0"


class Salesforce:
    def __init__(self) -> None:
        self.accounts: list[dict[str, Any]] = []
        self.opportunities: list[dict[str, Any]] = []
        self.external = {"Tenant_Id__c"}
        self.key: RSAKey | None = None  # of the client, where it signs
        self.tokens = 0  # how many were issued; the last one is valid
        self.answers_updates_with = 200
        self.page = 2

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/services/oauth2/token":
            return self._token(asked.form)
        if asked.headers.get("authorization") != f"Bearer 00D-{self.tokens}":
            return Reply(401, [{"errorCode": "INVALID_SESSION_ID", "message": "expired"}])
        if asked.path == f"{_BASE}/sobjects/Account/describe":
            fields = [{"name": name, "externalId": True} for name in self.external]
            return Reply(200, {"name": "Account", "fields": fields})
        upsert = re.fullmatch(rf"{_BASE}/sobjects/Account/(\w+)/(.+)", asked.path)
        if upsert is not None:
            return self._record(asked, *upsert.groups())
        if asked.path == f"{_BASE}/query":
            return self._query(asked.query["q"])
        following = re.fullmatch(rf"{_BASE}/query/(\d+)", asked.path)
        if following is not None:
            return self._page(int(following[1]))
        return Reply(404, [{"errorCode": "NOT_FOUND", "message": "does not exist"}])

    def _token(self, form: dict[str, str] | Any) -> Reply:
        if self.key is not None:
            claims = jwt.decode(form["assertion"], self.key, algorithms=["RS256"]).claims
            is_known = claims["iss"] == CLIENT and claims["sub"] == "integration@vendor.example"
        else:
            is_known = (form["client_id"], form["client_secret"]) == (CLIENT, TOKEN)
        if not is_known:
            return Reply(400, {"error": "invalid_client", "error_description": "no"})
        self.tokens += 1
        return Reply(
            200, {"access_token": f"00D-{self.tokens}", "instance_url": "https://x.example"}
        )

    def _record(self, asked: Asked, name: str, value: str) -> Reply:
        if name not in self.external:
            return Reply(404, [{"errorCode": "NOT_FOUND", "message": "does not exist"}])
        found = [each for each in self.accounts if each[name].casefold() == value.casefold()]
        if asked.method == "GET":
            return Reply(200, found[0])
        if len(found) > 1:
            return Reply(300, [f"{_BASE}/sobjects/Account/{each['Id']}" for each in found])
        if name in asked.body or "Id" in asked.body:
            return Reply(400, [{"errorCode": "INVALID_FIELD", "message": "not in the body"}])
        if found:
            found[0].update(asked.body)
            if self.answers_updates_with == 204:
                return Reply(204)
            body = {"id": found[0]["Id"], "success": True, "errors": [], "created": False}
            return Reply(200, body)
        identifier = f"001{len(self.accounts):015d}"
        self.accounts.append({"Id": identifier, name: value, **asked.body})
        return Reply(201, {"id": identifier, "success": True, "errors": [], "created": True})

    def _query(self, query: str) -> Reply:
        since = re.search(r"LastStageChangeDate >= (\S+)", query)
        assert since is not None
        assert "IsWon = true" in query
        start = datetime.fromisoformat(since[1])
        self.found = [
            each for each in self.opportunities
            if datetime.strptime(each["LastStageChangeDate"], "%Y-%m-%dT%H:%M:%S.%f%z") >= start
        ]  # fmt: skip
        return self._page(0)

    def _page(self, start: int) -> Reply:
        end = start + self.page
        more = {} if end >= len(self.found) else {"nextRecordsUrl": f"{_BASE}/query/{end}"}
        return Reply(200, {"records": self.found[start:end], "done": not more, **more})
