"""Zendesk: organisations by our external id.

https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.facts import named
from control_plane.adapters.systems.web import SECONDS, Answer, JsonApi
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Company, Ref

SYSTEM: Final = "zendesk"
OURS: Final = "ten_"  # what our external ids begin with


@dataclass(frozen=True, kw_only=True)
class ZendeskAccount:
    """An account by its URL. ``email`` is the agent whose API token is used."""

    url: str
    email: str
    fields: Mapping[str, str] = field(default_factory=dict)  # our facts -> organisation fields


class ZendeskTickets:
    """The port ``Tickets``. Creating or updating by an external id bears to be done again."""

    system = SYSTEM

    def __init__(
        self,
        account: ZendeskAccount,
        *,
        token: Credential,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._account = account

        def headers() -> Mapping[str, str]:
            pair = f"{account.email}/token:{token()}".encode()
            return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}

        self._api = JsonApi(
            system=SYSTEM, url=account.url, headers=headers, now=now, seconds=seconds
        )

    def check(self) -> str:
        """Ask who the token is; returns what was found, in words."""
        answer = self._api.call("GET", "/api/v2/users/me.json")
        user = answer.object().get("user") or {}
        # without a credential that is right this answers as the anonymous user
        if not answer.is_success or user.get("role") not in {"admin", "agent"}:
            raise self._refused(answer if not answer.is_success else None)
        return f"the token is that of an {user['role']}"

    def upsert_organisation(self, company: Company) -> Ref:
        """Create the organisation, or bring it up to date, by the tenant's id.

        Names are unique there. Where another tenant of ours has it, the slug is added; where people
        made an organisation of this name, a person decides.
        """
        answer = self._upsert(company, company.name)
        if _is_duplicate(answer):
            other = self._named(company.name)
            if other is None or not str(other.get("external_id") or "").startswith(OURS):
                raise self._name_taken(company)
            answer = self._upsert(company, f"{company.name} ({company.slug})")
        if not answer.is_success:
            raise self._refused(answer)
        made = answer.object()["organization"]
        identifier = str(made["id"])
        base = self._account.url.rstrip("/")
        return Ref(
            id=identifier,
            url=f"{base}/agent/organizations/{identifier}",
            created=answer.status == 201,
        )

    def _upsert(self, company: Company, name: str) -> Answer:
        wanted: dict[str, Any] = {
            "external_id": company.key, "name": name, "domain_names": [company.domain],
        }  # fmt: skip
        if self._account.fields:
            wanted["organization_fields"] = named(company, self._account.fields)
        return self._api.call(
            "POST", "/api/v2/organizations/create_or_update.json", body={"organization": wanted}
        )

    def _named(self, name: str) -> Mapping[str, Any] | None:
        """Return the organisation of a name, or None when it is not found."""
        answer = self._api.call("GET", "/api/v2/organizations/search.json", query={"name": name})
        if not answer.is_success:
            raise self._refused(answer)
        found = answer.object().get("organizations") or []
        same = (each for each in found if str(each.get("name")).casefold() == name.casefold())
        return next(same, None)

    def _name_taken(self, company: Company) -> SystemRefused:
        return self._api.refused(
            f"has an organisation of this name that is not ours: if it is this customer, set its "
            f"external id to {company.key}; if not, rename it; then retry the step",
            reason="name_taken",
        )

    def _refused(self, answer: Answer | None) -> SystemRefused:
        if answer is None or answer.status in {401, 403}:
            return self._api.refused(
                "refuses the token: install an API token of the agent that the document names, "
                "with access by token switched on",
                reason="credential",
            )
        code = str(answer.object().get("error") or "without a code")
        return self._api.refused(f"refuses ({answer.status} {code[:40]})", reason="refused")


def _is_duplicate(answer: Answer) -> bool:
    details = answer.object().get("details") or {}
    names = details.get("name") or []
    return answer.status == 422 and any(each.get("error") == "DuplicateValue" for each in names)
