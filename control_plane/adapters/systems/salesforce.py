"""Salesforce as CRM: accounts by an external id of ours, opportunities by a query.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_upsert.htm
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from control_plane.adapters.systems.credentials import Credential
from control_plane.adapters.systems.facts import named
from control_plane.adapters.systems.tokens import Tokens
from control_plane.adapters.systems.web import SECONDS, Answer, JsonApi, Pages
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Company, Ref, SignedDeal

SYSTEM: Final = "salesforce"
LOGIN_URL: Final = "https://login.salesforce.com"
VERSION: Final = "62.0"
_JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_SECONDS: Final = 180
_LATER: Final = frozenset({"REQUEST_LIMIT_EXCEEDED", "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE"})


@dataclass(frozen=True, kw_only=True)
class SalesforceOrg:
    """An organisation by the URL of its own domain.

    ``grant`` is ``client_credentials`` (the credential is the client's secret) or ``jwt`` (it is a
    private key, and ``username`` the user whom it acts as). ``key_field`` is the external id of
    accounts that holds the tenant's id, ``contract_field`` that of opportunities.
    """

    url: str
    grant: str
    client_id: str
    username: str | None = None
    login_url: str = LOGIN_URL
    version: str = VERSION
    key_field: str = "Tenant_Id__c"
    contract_field: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)  # our facts -> fields of accounts


class SalesforceCrm:
    """The port ``Crm``. An upsert by an external id bears to be done again."""

    system = SYSTEM

    def __init__(
        self,
        org: SalesforceOrg,
        *,
        credential: Credential,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
    ) -> None:
        self._org = org
        self._credential = credential
        self._now = now
        open_api = JsonApi(system=SYSTEM, url=org.url, headers=dict, now=now, seconds=seconds)
        self._tokens = Tokens(api=open_api, path="/services/oauth2/token", form=self._form)
        self._api = JsonApi(
            system=SYSTEM, url=org.url, headers=self._tokens.headers, now=now, seconds=seconds
        )

    def check(self) -> str:
        """Ask for the definition of accounts; returns what was found, in words."""
        answer = self._call("GET", f"{self._base}/sobjects/Account/describe")
        if not answer.is_success:
            raise self._fact(answer)
        name = self._org.key_field
        fields = {each["name"]: each for each in answer.object().get("fields") or []}
        if not (fields.get(name) or {}).get("externalId"):
            raise self._without_field()
        return f"the field {name} is there, as an external id"

    def upsert_company(self, company: Company) -> Ref:
        """Create the account, or bring it up to date, by the tenant's id."""
        org = self._org
        body = {
            "Name": company.name, "Website": company.domain, **named(company, org.fields),
        }  # fmt: skip
        path = f"{self._base}/sobjects/Account/{org.key_field}/{quote(company.key, safe='')}"
        answer = self._call("PATCH", path, body=body)
        if answer.status == 300:
            raise self._api.refused(
                f"has several accounts with {org.key_field} {company.key}: merge them, and make "
                "the field unique",
                reason="several",
            )
        if not answer.is_success:
            raise self._fact(answer)
        identifier = answer.object().get("id") or self._id_of(path)  # 204 has no body
        return Ref(
            id=str(identifier),
            url=f"{org.url.rstrip('/')}/{identifier}",
            created=answer.status == 201,
        )

    def won_since(self, instant: datetime) -> Iterator[SignedDeal]:
        """Yield the opportunities that reached a won stage since, oldest first."""
        own = self._org.contract_field
        since = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        columns = "Id, Account.Name, LastStageChangeDate" + (f", {own}" if own else "")
        query = (  # nothing in it is from outside: names are checked, the time is ours
            f"SELECT {columns} FROM Opportunity WHERE IsWon = true "  # noqa: S608
            f"AND LastStageChangeDate >= {since} ORDER BY LastStageChangeDate, Id"
        )
        answer = self._call("GET", f"{self._base}/query", query={"q": query})
        pages = Pages(SYSTEM)
        while True:
            if not answer.is_success:
                raise self._fact(answer)
            for record in answer.object().get("records") or []:
                yield self._deal(record)
            following = answer.object().get("nextRecordsUrl")
            if not following:
                return
            if not str(following).startswith("/services/data/"):
                raise self._api.refused("names a next page elsewhere", reason="unreadable")
            answer = self._call("GET", pages.following(following))

    @property
    def _base(self) -> str:
        return f"/services/data/v{self._org.version}"

    def _call(self, method: str, path: str, **content: Any) -> Answer:
        return self._tokens.call(self._api, method, path, **content)

    def _id_of(self, path: str) -> str:
        answer = self._call("GET", path)
        if not answer.is_success:
            raise self._fact(answer)
        return str(answer.object()["Id"])

    def _deal(self, record: Mapping[str, Any]) -> SignedDeal:
        own = self._org.contract_field
        identifier = str(record["Id"])
        return SignedDeal(
            id=identifier,
            contract_id=(record.get(own) or None) if own else None,
            company=str((record.get("Account") or {}).get("Name") or ""),
            won_at=datetime.strptime(record["LastStageChangeDate"], "%Y-%m-%dT%H:%M:%S.%f%z"),
            url=f"{self._org.url.rstrip('/')}/{identifier}",
        )

    def _form(self) -> Mapping[str, str]:
        org = self._org
        if org.grant == "client_credentials":
            return {
                "grant_type": "client_credentials", "client_id": org.client_id,
                "client_secret": self._credential(),
            }  # fmt: skip
        return {"grant_type": _JWT_GRANT, "assertion": self._assertion()}

    def _assertion(self) -> str:
        """Return a statement of who we are, signed by the client's private key (RFC 7523)."""
        from joserfc import jwt  # noqa: PLC0415 - for who has such a client
        from joserfc.errors import JoseError  # noqa: PLC0415
        from joserfc.jwk import RSAKey  # noqa: PLC0415

        org = self._org
        claims = {
            "iss": org.client_id, "sub": org.username or "", "aud": org.login_url,
            "exp": int(self._now().timestamp()) + _JWT_SECONDS,
        }  # fmt: skip
        try:
            return jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(self._credential()))
        except (JoseError, ValueError) as error:
            raise self._api.refused(
                "needs a credential that is an RSA private key in PEM", reason="credential"
            ) from error

    def _fact(self, answer: Answer) -> SystemRefused | SystemUnavailable:
        """Return what an answer means; messages may repeat what was sent, so codes are kept."""
        errors = answer.body if isinstance(answer.body, list) else [answer.body]
        found = [each for each in errors if isinstance(each, dict)]
        codes = [str(each.get("errorCode", "")) for each in found]
        shown = f"{answer.status} {codes[0] if codes else 'without a code'}"
        if _LATER & set(codes):
            return self._api.later(f"salesforce asks to wait ({shown})", headers=answer.headers)
        if answer.status in {401, 403}:
            return self._api.refused(
                f"refuses the client ({shown}): it needs the rights that docs/systems.md names",
                reason="credential",
            )
        if "NOT_FOUND" in codes:  # of a record by an external id that accounts do not have
            return self._without_field()
        return self._api.refused(f"refuses ({shown})", reason="refused")

    def _without_field(self) -> SystemRefused:
        name = self._org.key_field
        return self._api.refused(
            f"has no external id {name} on accounts: create it under Setup, Object Manager, "
            "Account, Fields, as Text(40), External ID and Unique, and let the client's user see "
            "and edit it",
            reason="property_missing",
        )
