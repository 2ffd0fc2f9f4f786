"""Bodies that callers send; unknown fields are refused everywhere."""

from __future__ import annotations

import ipaddress
import json
import re
import zoneinfo
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

Mode = Literal["A", "B", "C"]


class Body(BaseModel):
    """A closed body; strings are taken as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters or other spaces than the plain one")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _prose(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable() or not text.strip():
        raise ValueError("must be readable text without control characters")
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=True))


def _zone(text: str) -> str:
    if text not in _zones():
        raise ValueError("must be an IANA time zone such as Europe/Rome")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())  # walks a folder


def _rfc3339(value: object) -> object:
    """Take the text of RFC 3339 alone; pydantic would also take numbers and other spellings."""
    if not isinstance(value, str) or not _INSTANT.match(value):
        raise ValueError("must be an instant such as 2026-11-20T14:03:00Z")
    return value


def _plausible(instant: datetime) -> datetime:
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError(f"must lie between {_FIRST_YEAR} and {_LAST_YEAR}")
    return instant


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1990, 2200
Flag = Annotated[bool, Field(strict=True)]  # no "yes", no 1
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_plausible)]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Reason = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_prose)]
Network = Annotated[str, Field(max_length=43), AfterValidator(_network)]
TimeZone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
Region = Annotated[str, Field(min_length=5, max_length=30, pattern=r"^[a-z0-9-]+$")]
Email = Annotated[
    str,
    Field(max_length=254, pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$"),
    AfterValidator(_printable),
]
Domain = Annotated[
    str,
    Field(
        max_length=253, pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$"
    ),
]


class Contract(Body):
    """What was signed."""

    provider: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    envelope_id: Text
    contract_id: Text
    signed_at: Instant
    subscription: Literal["lite", "standard", "enterprise"]
    mode: Mode | None = None
    seats: Annotated[int, Field(ge=0, le=10_000_000, strict=True)] | None = None
    sla_uptime_min: Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,4})?$")] | None = None


class Company(Body):
    """Who signed."""

    legal_name: Text
    domain: Domain
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    time_zone: TimeZone = "UTC"


class Contact(Body):
    """A person at the customer."""

    role: Literal["it_admin", "executive_sponsor", "business_sponsor", "security", "billing"]
    name: Text
    email: Email
    locale: Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")] | None = None


class Residency(Body):
    """Where the data may lie."""

    zone: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")] | None = None
    regions: Annotated[list[Region], Field(max_length=20)] = []
    strict: Flag = False


class Requirements(Body):
    """What the mode is resolved from, besides the contract."""

    requested_mode: Mode | None = None
    residency: Residency | None = None
    cloud: Literal["aws", "azure", "gcp", "other"] | None = None
    customer_managed_key: Flag = False
    dedicated_network: Flag = False
    ip_allow_list: Annotated[list[Network], Field(max_length=100)] = []
    data_must_stay_in_customer_cloud: Flag = False
    regulated_sector: Text | None = None
    sovereignty_framework: Text | None = None
    phone_sev1: Flag = False
    segment: Text | None = None


class ProvisioningRequest(Body):
    """A signed contract that asks for a tenant."""

    contract: Contract
    company: Company
    contacts: Annotated[list[Contact], Field(max_length=20)] = []
    requirements: Requirements = Requirements()
    environment: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,19}$")] = "production"

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON with its defaults, the same for the same request."""
        return plain(self)


class Facts(Body):
    """Facts for a mode resolution; all but the subscription may be left out."""

    subscription: Literal["lite", "standard", "enterprise"]
    contract_mode: Mode | None = None
    current_mode: Mode | None = None
    seats: Annotated[int, Field(ge=0, le=10_000_000, strict=True)] | None = None
    sla_uptime_min: Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,4})?$")] | None = None
    requested_mode: Mode | None = None
    residency: Residency | None = None
    cloud: Literal["aws", "azure", "gcp", "other"] | None = None
    customer_managed_key: Flag = False
    dedicated_network: Flag = False
    ip_allow_list: Annotated[list[Network], Field(max_length=100)] = []
    data_must_stay_in_customer_cloud: Flag = False
    regulated_sector: Text | None = None
    sovereignty_framework: Text | None = None
    phone_sev1: Flag = False
    segment: Text | None = None


class ModeDecision(Body):
    """An architect's word: without ``facts`` a review is confirmed, with them it is resolved anew.

    ``facts`` holds only what changes; null clears a fact.
    """

    facts: dict[str, Any] | None = None
    reason: Reason

    @model_validator(mode="after")
    def _small(self) -> Self:
        if self.facts is not None and len(json.dumps(self.facts)) > 20_000:
            raise ValueError("facts are too large")
        return self


class Hub(Body):
    """A shared Hub to be built; ``capacity`` counts slices."""

    region: Region
    cell: Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")] = "c1"
    capacity: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 100


class Decision(Body):
    """A yes or no on exactly one plan digest."""

    decision: Literal["approve", "reject"]
    plan_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    reason: Reason


class BundleEdit(Body):
    """Terraform variables to replace, by name; see ``docs/mode-c.md``."""

    inputs: Annotated[dict[str, Any], Field(max_length=40)]


class HandOver(Body):
    """To whom the bundle is given."""

    recipient_name: Text
    recipient_email: Email


class Receipt(Body):
    """The output ``receipt`` of the customer's apply."""

    receipt: Annotated[dict[str, Any], Field(max_length=40)]


def plain(model: BaseModel) -> dict[str, Any]:
    """Return a model as plain JSON; instants in UTC with a Z."""

    def text(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, dict):
            return {key: text(item) for key, item in value.items()}
        if isinstance(value, list):
            return [text(item) for item in value]
        return value

    found = text(model.model_dump(mode="python"))
    return dict(found)
