"""HubSpot as CRM: companies by a property of ours with unique values, deals by search.

https://developers.hubspot.com/docs/api-reference/2026-03/crm/objects/companies/batch/upsert-companies
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.facts import named
from control_plane.adapters.systems.web import SECONDS, Answer, JsonApi, Pages
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Company, Ref, SignedDeal

SYSTEM: Final = "hubspot"
URL: Final = "https://api.hubapi.com"
VERSION: Final = "2026-03"
_PAGE: Final = 100
_MOST: Final = 10_000  # results of one search


@dataclass(frozen=True, kw_only=True)
class HubSpotAccount:
    """An account. ``portal`` is its number, for links that people open.

    ``key_property`` is the company's property with unique values that holds the tenant's id.
    """

    url: str = URL
    version: str = VERSION
    key_property: str = "tenant_id"
    contract_property: str | None = None  # of deals
    fields: Mapping[str, str] = field(default_factory=dict)  # our facts -> properties of companies
    won_stages: tuple[str, ...] = ("closedwon",)
    portal: str | None = None


class HubSpotCrm:
    """The port ``Crm``. An upsert by a unique property is the same however often it is sent."""

    system = SYSTEM

    def __init__(
        self,
        account: HubSpotAccount,
        *,
        token: Credential,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._account = account
        self._api = JsonApi(
            system=SYSTEM,
            url=account.url,
            headers=lambda: {"authorization": f"Bearer {token()}"},
            now=now,
            seconds=seconds,
        )

    def check(self) -> str:
        """Ask for the definition of our property; returns what was found, in words."""
        name = self._account.key_property
        base = "/crm/v3/properties" if self._account.version == "v3" else (
            f"/crm/properties/{self._account.version}"
        )  # fmt: skip
        answer = self._api.call("GET", f"{base}/companies/{name}")
        if answer.status == 404:
            raise self._without_property()
        found = self._whole(answer)
        if found.get("hasUniqueValue") is not True:
            raise self._without_property()
        return f"the property {name} is there, with unique values"

    def upsert_company(self, company: Company) -> Ref:
        """Create the company, or bring it up to date, by the tenant's id."""
        account = self._account
        properties = {
            "name": company.name, "domain": company.domain, "country": company.country,
            **named(company, account.fields), account.key_property: company.key,
        }  # fmt: skip
        item = {"id": company.key, "idProperty": account.key_property, "properties": properties}
        answer = self._api.call(
            "POST", self._path("companies/batch/upsert"), body={"inputs": [item]}
        )
        found = self._whole(answer)
        results = found.get("results") or []
        if answer.status == 207 or len(results) != 1:
            raise self._refusal(answer, found.get("errors") or [])
        record = results[0]
        return Ref(
            id=str(record["id"]),
            url=record.get("url") or self._link("0-2", str(record["id"])),
            created=bool(record.get("new", False)),
        )

    def won_since(self, instant: datetime) -> Iterator[SignedDeal]:
        """Yield the deals in a won stage whose close date is not before, oldest first.

        A search ends at 10,000 results, so the next one begins at the close date of the last. A new
        deal is found a moment later.
        """
        since, seen = instant, set[str]()
        while True:
            last, found = since, 0
            for deal in self._search(since):
                last, found = deal.won_at, found + 1
                if deal.id not in seen:
                    seen.add(deal.id)
                    yield deal
            if found < _MOST:
                return
            if last <= since:
                raise self._api.refused(
                    f"has more than {_MOST} won deals with one close date, which no search lists",
                    reason="unreadable",
                )
            since = last

    def _search(self, since: datetime) -> Iterator[SignedDeal]:
        """Yield the first deals won since, as many as one search lists."""
        account, after, pages = self._account, "0", Pages(SYSTEM)
        filters = [
            {"propertyName": "dealstage", "operator": "IN", "values": list(account.won_stages)},
            {"propertyName": "closedate", "operator": "GTE",
             "value": str(int(since.timestamp() * 1000))},
        ]  # fmt: skip
        while int(after) < _MOST:
            wanted = ["dealname", "closedate"]
            wanted += [account.contract_property] if account.contract_property else []
            body = {
                "filterGroups": [{"filters": filters}], "properties": wanted, "limit": _PAGE,
                "sorts": [{"propertyName": "closedate", "direction": "ASCENDING"}], "after": after,
            }  # fmt: skip
            answer = self._api.call("POST", self._path("deals/search"), body=body, acts=False)
            found = self._whole(answer)
            for record in found.get("results") or []:
                yield self._deal(record)
            following = ((found.get("paging") or {}).get("next") or {}).get("after")
            if following is None:
                return
            after = pages.following(following)

    def _deal(self, record: Mapping[str, Any]) -> SignedDeal:
        properties = record["properties"]
        name = self._account.contract_property
        return SignedDeal(
            id=str(record["id"]),
            contract_id=(properties.get(name) or None) if name else None,
            company=properties.get("dealname") or "",
            won_at=datetime.fromisoformat(properties["closedate"]).astimezone(UTC),
            url=self._link("0-3", str(record["id"])),
        )

    def _path(self, rest: str) -> str:
        version = self._account.version
        return f"/crm/v3/objects/{rest}" if version == "v3" else f"/crm/objects/{version}/{rest}"

    def _link(self, kind: str, identifier: str) -> str | None:
        portal = self._account.portal
        return portal and f"https://app.hubspot.com/contacts/{portal}/record/{kind}/{identifier}"

    def _whole(self, answer: Answer) -> Mapping[str, Any]:
        if answer.is_success:
            return answer.object()
        raise self._refusal(answer, [answer.object(), *(answer.object().get("errors") or [])])

    def _refusal(self, answer: Answer, errors: list[Any]) -> SystemRefused:
        """Return the refusal; messages may repeat what was sent, so only codes are kept."""
        text = " ".join(
            str(error.get("message", "")) for error in errors if isinstance(error, dict)
        )
        codes = {str(error.get("code", "")) for error in errors if isinstance(error, dict)}
        if answer.status in {401, 403}:
            return self._api.refused(
                f"refuses the token ({answer.status}): install one of a private app with the "
                "scopes that docs/systems.md names",
                reason="credential",
            )
        is_missing = "PROPERTY_DOESNT_EXIST" in codes or "does not exist" in text
        if "non-unique" in text or (is_missing and self._account.key_property in text):
            return self._without_property()
        shown = ", ".join(sorted(codes - {""})) or str(answer.object().get("category", ""))
        return self._api.refused(
            f"refuses ({answer.status} {shown or 'without a code'})", reason="refused"
        )

    def _without_property(self) -> SystemRefused:
        name = self._account.key_property
        return self._api.refused(
            f"has no company property {name} with unique values: create it under Settings, "
            f"Properties, Company properties, as single-line text with the internal name {name} "
            "and the rule that values are unique",
            reason="property_missing",
        )
