"""HubSpot's companies and deals, as its reference describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.systems.stub import Asked, Reply

TOKEN = "pat-eu1-0000-secret"


class HubSpot:
    def __init__(self) -> None:
        self.unique = {"tenant_id"}
        self.known = {"name", "domain", "country", "tenant_id", "contract_number", "plan"}
        self.companies: dict[str, dict[str, Any]] = {}
        self.deals: list[dict[str, Any]] = []
        self.page = 2

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(
                401, _error("INVALID_AUTHENTICATION", "Authentication credentials not found")
            )
        if asked.path == "/crm/objects/2026-03/companies/batch/upsert":
            return self._upsert(asked.body["inputs"])
        if asked.path == "/crm/objects/2026-03/deals/search":
            return self._search(asked.body)
        if asked.path == "/crm/properties/2026-03/companies/tenant_id":
            if "tenant_id" not in self.known:
                return Reply(404, _error("OBJECT_NOT_FOUND", "no such property"))
            return Reply(200, {"name": "tenant_id", "hasUniqueValue": "tenant_id" in self.unique})
        return Reply(404, _error("OBJECT_NOT_FOUND", "no such path"))

    def _upsert(self, inputs: list[dict[str, Any]]) -> Reply:
        results = []
        for item in inputs:
            name = item["idProperty"]
            for each in item["properties"]:
                if each not in self.known:
                    detail = {
                        "message": f'Property "{each}" does not exist',
                        "code": "PROPERTY_DOESNT_EXIST",
                        "context": {"propertyName": [each]},
                    }  # fmt: skip
                    return Reply(
                        400, {**_error("VALIDATION_ERROR", "not valid"), "errors": [detail]}
                    )
            if name not in self.unique:
                text = f"Unable to perform update/upsert by non-unique 0-2 property {name}"
                return Reply(400, _error("VALIDATION_ERROR", text))
            is_new = item["id"] not in self.companies
            record = self.companies.setdefault(item["id"], {"id": str(512 + len(self.companies))})
            record.update(item["properties"])
            results.append({"id": record["id"], "new": is_new, "properties": item["properties"],
                            "archived": False})  # fmt: skip
        return Reply(200, {"status": "COMPLETE", "results": results})

    def _search(self, body: dict[str, Any]) -> Reply:
        (group,) = body["filterGroups"]
        stage, since = group["filters"]
        found = [
            deal for deal in self.deals
            if deal["dealstage"] in stage["values"]
            and datetime.fromisoformat(deal["closedate"]).timestamp() * 1000 >= int(since["value"])
        ]  # fmt: skip
        found.sort(key=lambda deal: str(deal["closedate"]))
        start = int(body["after"])
        page = found[start : start + self.page]
        results = [
            {"id": deal["id"], "properties": {name: deal.get(name) for name in body["properties"]}}
            for deal in page
        ]
        answer: dict[str, Any] = {"total": len(found), "results": results}
        if start + self.page < len(found):
            answer["paging"] = {"next": {"after": str(start + self.page)}}
        return Reply(200, answer)


def _error(category: str, message: str) -> dict[str, Any]:
    return {"status": "error", "category": category, "message": message, "correlationId": "c"}
