"""Bodies that callers send; unknown fields are refused everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from control_plane.domain import spellings
from control_plane.domain.changing import Wish
from control_plane.domain.facts import MOST_SEATS
from control_plane.domain.hub import MOST_SLICES, HubWish
from control_plane.domain.networks import MOST_NETWORKS
from control_plane.services.request_form import domain_name, time_zone

Mode = Literal["A", "B", "C"]


class Body(BaseModel):
    """A closed body; strings are taken as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _prose(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable() or not text.strip():
        raise ValueError("must be readable text without control characters")
    return text


def _instant(value: object) -> datetime:
    return spellings.instant(value if isinstance(value, str) else "")  # and no number


def _formed(pattern: str, sentence: str) -> Callable[[str], str]:
    return lambda text: spellings.form(text, pattern, sentence)


def _schema(pattern: str | None = None, *, longest: int | None = None) -> WithJsonSchema:
    """Return what the OpenAPI document says of a string; faults are described by our sentences."""
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if pattern is not None:
        schema["pattern"] = f"^{pattern}$"
    if longest is not None:
        schema["maxLength"] = longest
    return WithJsonSchema(schema)


_LINE: Final = _schema(longest=spellings.NAME_LENGTH)
Flag = Annotated[bool, Field(strict=True)]  # no "yes", no 1
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, AfterValidator(spellings.name), _LINE]
Provider = Annotated[str, AfterValidator(spellings.provider), _LINE]
Identifier = Annotated[str, AfterValidator(spellings.identifier), _LINE]
Country = Annotated[str, AfterValidator(spellings.country), _schema("[A-Z]{2}")]
Language = Annotated[str, AfterValidator(spellings.language), _schema(longest=35)]
Email = Annotated[str, AfterValidator(spellings.email), _schema(longest=254)]
Domain = Annotated[str, AfterValidator(domain_name), _schema(longest=253)]
TimeZone = Annotated[str, AfterValidator(time_zone), _schema(longest=64)]
Reason = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_prose)]
Item = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_prose)]
Seats = Annotated[int, Field(ge=0, le=MOST_SEATS, strict=True)]
Uptime = Annotated[
    str,
    AfterValidator(
        _formed(spellings.UPTIME, 'must be a percentage as a decimal string, such as "99.9"')
    ),
    _schema(spellings.UPTIME),
]
Region = Annotated[
    str,
    AfterValidator(_formed(spellings.REGION, "must be an AWS region such as eu-west-1")),
    _schema(spellings.REGION),
]
Zone = Annotated[
    str,
    AfterValidator(_formed(spellings.ZONE, "must be a residency zone such as eu or us_gov")),
    _schema(spellings.ZONE),
]
Cell = Annotated[
    str,
    AfterValidator(
        _formed(spellings.CELL, "must be 1 to 8 lower-case letters and digits such as c1")
    ),
    _schema(spellings.CELL),
]
Environment = Annotated[
    str,
    AfterValidator(
        _formed(
            spellings.ENVIRONMENT,
            "must be 2 to 20 lower-case letters, digits and hyphens, such as production",
        )
    ),
    _schema(spellings.ENVIRONMENT),
]
# the domain says which networks can be built: a refusal there is kept with its contract
Networks = Annotated[list[str], Field(json_schema_extra={"maxItems": MOST_NETWORKS})]


class Contract(Body):
    """What was signed."""

    provider: Provider
    envelope_id: Identifier
    contract_id: Identifier
    signed_at: Instant
    subscription: Literal["lite", "standard", "enterprise"]
    mode: Mode | None = None
    seats: Seats | None = None
    sla_uptime_min: Uptime | None = None


class Company(Body):
    """Who signed."""

    legal_name: Text
    domain: Domain
    country: Country
    time_zone: TimeZone = "UTC"


class Contact(Body):
    """A person at the customer."""

    role: Literal["it_admin", "executive_sponsor", "business_sponsor", "security", "billing"]
    name: Text
    email: Email
    locale: Language | None = None


class Residency(Body):
    """Where the data may be stored."""

    zone: Zone | None = None
    regions: Annotated[list[Region], Field(max_length=20)] = []
    strict: Flag = False


class Requirements(Body):
    """What the mode is resolved from, besides the contract."""

    requested_mode: Mode | None = None
    residency: Residency | None = None
    cloud: Literal["aws", "azure", "gcp", "other"] | None = None
    customer_managed_key: Flag = False
    dedicated_network: Flag = False
    ip_allow_list: Networks = []
    data_must_stay_in_customer_cloud: Flag = False
    regulated_sector: Text | None = None
    sovereignty_framework: Text | None = None
    phone_sev1: Flag = False
    segment: Text | None = None


class ProvisioningRequest(Body):
    """A signed contract for a tenant."""

    contract: Contract
    company: Company
    contacts: Annotated[list[Contact], Field(max_length=20)] = []
    requirements: Requirements = Requirements()
    environment: Environment = "production"
    additional_tenant: Annotated[
        bool, Field(strict=True, description="Create an additional tenant of the company.")
    ] = False

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON with its defaults, the same for the same request."""
        document = plain(self)
        if not self.additional_tenant:
            del document["additional_tenant"]  # a contract sent before there was the field is equal
        return document


class Facts(Requirements):
    """Facts for a mode resolution; all but the subscription are optional."""

    subscription: Literal["lite", "standard", "enterprise"]
    contract_mode: Mode | None = None
    current_mode: Mode | None = None
    seats: Seats | None = None
    sla_uptime_min: Uptime | None = None


class ModeDecision(Body):
    """An architect's decision: without ``facts`` it confirms a review, with them it resolves again.

    ``facts`` holds only what changes; null clears a fact.
    """

    facts: dict[str, Any] | None = None
    reason: Reason

    @model_validator(mode="after")
    def _small(self) -> Self:
        if self.facts is not None and len(json.dumps(self.facts)) > 20_000:
            raise ValueError("facts are too large")
        return self


class ChangedFacts(Body):
    """Facts to change; omitted ones stay, null clears one."""

    seats: Seats | None = None
    ip_allow_list: Networks | None = None
    segment: Text | None = None
    regulated_sector: Text | None = None
    sovereignty_framework: Text | None = None
    data_must_stay_in_customer_cloud: Flag | None = None
    customer_managed_key: Flag | None = None
    dedicated_network: Flag | None = None
    phone_sev1: Flag | None = None
    cloud: Literal["aws", "azure", "gcp", "other"] | None = None
    # facts that change another way: a refusal names that way
    subscription: Literal["lite", "standard", "enterprise"] | None = None
    sla_uptime_min: Uptime | None = None
    residency: Residency | None = None
    requested_mode: Mode | None = None
    contract_mode: Mode | None = None
    current_mode: Mode | None = None


class Amendment(Body):
    """An amendment that was signed; what it omits stays as it is.

    `ends_on` is the last day of the contract, and before `retention_until` nothing of the tenant is
    deleted.
    """

    number: Identifier
    signed_at: Instant
    effective_on: date | None = None
    ends_on: date | None = None
    retention_until: date | None = None
    subscription: Literal["lite", "standard", "enterprise"] | None = None
    seats: Seats | None = None
    sla_uptime_min: Uptime | None = None


class HubEnvironment(Body):
    """Choices of a shared Hub."""

    version: Annotated[str, Field(max_length=40)] = ""
    zones: Annotated[int, Field(strict=True)] = 0


class TenantEnvironment(HubEnvironment):
    """Choices of a dedicated Hub; without a `size` the number of seats decides."""

    size: Annotated[str, Field(max_length=40)] | None = None


class TenantChange(Body):
    """A change of a tenant within its mode."""

    facts: ChangedFacts = ChangedFacts()
    environment: TenantEnvironment = TenantEnvironment()
    amendment: Amendment | None = None
    reason: Reason

    def wish(self) -> Wish:
        """Return what was sent, and nothing else, as plain JSON."""
        amendment = self.amendment
        return Wish(
            facts=_sent(self.facts),
            environment=_sent(self.environment),
            amendment=_sent(amendment) if amendment is not None else None,
        )


class HubChange(Body):
    """A change of a shared Hub; ``capacity`` counts slices."""

    capacity: Annotated[int, Field(ge=1, le=MOST_SLICES, strict=True)] | None = None
    environment: HubEnvironment = HubEnvironment()
    reason: Reason

    def wish(self) -> HubWish:
        """Return what was sent, and nothing else, as plain JSON."""
        return HubWish(capacity=self.capacity, environment=_sent(self.environment))


class Explained(Body):
    """A reason, for what needs nothing else."""

    reason: Reason


class Hold(Body):
    """A hold; `applying` says whether an apply that began before it finishes or stops."""

    kind: Literal["legal", "compliance", "safety", "pause"]
    applying: Literal["finishes", "stops"] = "finishes"
    reason: Reason


class HoldRelease(Body):
    """The release of a hold."""

    reason: Reason


class QuarantineRelease(Body):
    """The release of a log that the signer had set aside."""

    reason: Reason


class FindingDecision(Body):
    """A decision on a finding; `until` is the end of a waiver, with its offset from UTC."""

    decision: Literal["adopt", "revert", "waive"]
    reason: Reason
    until: AwareDatetime | None = None


class FindingDecisions(FindingDecision):
    """The same decision on several findings of a tenant."""

    findings: Annotated[
        list[Annotated[str, Field(pattern=r"^fnd_[0-9A-HJKMNP-TV-Z]{26}$")]],
        Field(min_length=1, max_length=100),
    ]


class Sweep(Body):
    """A look at everything, spread over minutes."""

    minutes: Annotated[int, Field(ge=0, le=1440, strict=True)] = 10


class Hub(Body):
    """A shared Hub to be built; ``capacity`` counts slices.

    Each slice has an IAM role, and an AWS account has a thousand of them by default.
    """

    region: Region
    cell: Cell = "c1"
    capacity: Annotated[int, Field(ge=1, le=MOST_SLICES, strict=True)] = 100


AccountNumber = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
RoleArn = Annotated[
    str,
    Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", max_length=600),
]
# what AWS takes for sts:ExternalId
ExternalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$")]


class Account(Body):
    """An AWS account for the pool; ``shared`` when it may serve many deployments."""

    account_id: AccountNumber
    role_arn: RoleArn | None = None
    external_id: ExternalId | None = None
    shared: Flag = False


class AccountChange(Body):
    """Changes to an account; omitted fields stay, null removes a role."""

    role_arn: RoleArn | None = None
    external_id: ExternalId | None = None
    shared: Flag = False


class Signed(Body):
    """A decision as its approver signed it, see docs/approvals.md.

    ``signature`` is the base64 of the blob that ``ssh-keygen -Y sign`` makes over ``statement``.
    """

    statement: Annotated[str, Field(min_length=1, max_length=2000)]
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]{1,4096}$")]
    approver_key: Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    reason_salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Decision(Body):
    """An approval or rejection of exactly one plan digest.

    ``acknowledge`` names what the plan cannot undo, all of it and nothing else, by name or URN; it
    goes with an approval alone.
    """

    decision: Literal["approve", "reject"]
    plan_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    reason: Reason
    acknowledge: Annotated[list[Item], Field(max_length=500)] = []
    signed: Signed | None = None


class Withdrawal(Body):
    """Why the caller withdraws an approval."""

    reason: Reason


class BundleEdit(Body):
    """Terraform variables to change; see ``docs/mode-c.md``."""

    inputs: Annotated[dict[str, Any], Field(max_length=40)]


class HandOver(Body):
    """Recipient of the bundle."""

    recipient_name: Text
    recipient_email: Email
    revoke_earlier_links: Flag = False


class Receipt(Body):
    """The output ``receipt`` of the customer's apply."""

    receipt: Annotated[dict[str, Any], Field(max_length=40)]


def _sent(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_unset=True)


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
