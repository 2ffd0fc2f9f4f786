"""What a deployment should be: one closed schema per program.

A spec holds references to secrets, never values, and nothing that changes from run to run. The
control plane builds plain JSON from its own domain and validates it against the JSON Schemas
generated from these models.
"""

from __future__ import annotations

import difflib
import ipaddress
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from stacks.protection import PROTECTED, Protection

Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
Cidr = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")]
Short = Annotated[
    # single hyphens only: RDS refuses two in a row, and would do so when the rest is built
    str, Field(min_length=3, max_length=32, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
]
Version = Annotated[str, Field(pattern=r"^[0-9]{4}\.[0-9]{1,2}$")]  # of the Hub
LogDays = Literal[  # the periods that CloudWatch Logs offers
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545,
    731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]  # fmt: skip


def _known(program: str) -> AfterValidator:
    """Return the check that names are those of protected resources of ``program``."""
    known = PROTECTED[program]

    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(names):
            if name not in known:  # which is not quoted: nobody knows what it is
                (nearest,) = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
                raise ValueError(
                    f"the entry {number} names no protected resource of this program; the nearest "
                    f"name is {nearest}, all are {', '.join(sorted(known))}"
                )
        return tuple(sorted(set(names)))

    return AfterValidator(check)


def _listed(program: str) -> WithJsonSchema:
    names = {"type": "string", "enum": sorted(PROTECTED[program])}
    return WithJsonSchema({"type": "array", "items": names, "default": []})


UnprotectOfHub = Annotated[tuple[str, ...], _known("mode_a.hub"), _listed("mode_a.hub")]
UnprotectOfSlice = Annotated[tuple[str, ...], _known("mode_a.slice"), _listed("mode_a.slice")]
UnprotectOfDedicated = Annotated[tuple[str, ...], _known("mode_b"), _listed("mode_b")]


class Part(BaseModel):
    """A closed, immutable part of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Owner(Part):
    """Whom the resources belong to; becomes tags."""

    tenant: str  # slug, or "platform"
    mode: Literal["A", "B"]
    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{1,19}$")
    deployment: str  # deployment id
    short: Short  # prefix of physical names


class Network(Part):
    """A private network. One /20 subnet per zone is cut from ``cidr`` in the order of ``zones``.

    A network smaller than /18 is cut into quarters instead, and at least one stays free.
    """

    cidr: Cidr
    zones: tuple[str, ...] = Field(min_length=2, max_length=3)
    client_cidrs: tuple[Cidr, ...] = ()  # who may reach the Hub's front door

    @model_validator(mode="after")
    def _networks_are_networks(self) -> Self:
        prefix = ipaddress.IPv4Network(self.cidr).prefixlen
        if not 16 <= prefix <= 22:
            raise ValueError(f"cidr must be a network from /16 to /22, not {self.cidr}")
        for clients in self.client_cidrs:
            if ipaddress.IPv4Network(clients).prefixlen < 8:
                raise ValueError(f"client_cidrs must be /8 or narrower, not {clients}")
        if len(set(self.zones)) < len(self.zones):
            raise ValueError("zones must be different")
        return self

    def check_zones(self, region: str) -> None:
        """Raise ``ValueError`` for a zone that is not one of ``region``."""
        for zone in self.zones:
            if zone[:-1] != region:
                raise ValueError(f"zones must be zones of {region}, such as {region}a, not {zone}")


class Database(Part):
    """PostgreSQL of a dedicated Hub; the cloud manages the master password."""

    # 16 or 17 lets AWS choose and patch the minor version; 16.9 names it
    engine_version: str = Field(default="16", pattern=r"^1[67](\.\d{1,2})?$")
    instance_class: str = "db.t4g.medium"
    storage_gb: int = Field(default=50, ge=20, le=16384)
    multi_az: bool = True
    backup_days: int = Field(default=14, ge=7, le=35)
    skip_final_snapshot: bool = False  # what a removal takes away with the database


class Retention(Part):
    """How long things are kept."""

    log_days: LogDays = 365
    noncurrent_days: int = Field(default=90, ge=1, le=3650)
    key_deletion_days: int = Field(default=30, ge=7, le=30)


class HubSpec(Part):
    """The shared Hub of one region and cell (program ``mode_a.hub``)."""

    schema_version: Literal[1] = 1
    version: Version | None = None
    owner: Owner
    region: Region
    account_id: AccountId
    cell: str = Field(pattern=r"^[a-z0-9]{1,8}$")
    network: Network
    retention: Retention = Retention()
    unprotect: UnprotectOfHub = ()  # loses its protection, so that it can be removed

    @property
    def protection(self) -> Protection:
        """What is registered with protection."""
        return Protection(frozenset(self.unprotect))

    @model_validator(mode="after")
    def _zones_are_of_the_region(self) -> Self:
        self.network.check_zones(self.region)
        return self


class HubOutputs(Part):
    """What a slice needs of its Hub: the outputs of ``mode_a.hub``."""

    vpc_id: str
    private_subnet_ids: tuple[str, ...]
    app_security_group_id: str
    data_bucket: str
    data_bucket_arn: str
    table_name: str
    table_arn: str
    data_key_arn: str
    logs_key_arn: str
    boundary_arn: str
    log_group_prefix: str


class SharedHub(HubOutputs):
    """The Hub that a slice is part of, pinned in its spec: what it exports, and its id."""

    hub_id: str


class Transfer(Part):
    """The data is on its way to another deployment.

    ``reader_arn`` is the role that reads the objects of a slice, None where the account's own
    credentials do. While it is ``frozen`` the application reads, and changes nothing.
    """

    reader_arn: str | None = None
    frozen: bool = False


class SliceSpec(Part):
    """Mode A: one tenant's slice of a shared Hub (program ``mode_a.slice``)."""

    schema_version: Literal[1] = 1
    owner: Owner
    region: Region
    account_id: AccountId
    hub: SharedHub
    retention: Retention = Retention()
    transfer: Transfer | None = None
    unprotect: UnprotectOfSlice = ()  # loses its protection, so that it can be removed

    @property
    def protection(self) -> Protection:
        """What is registered with protection."""
        return Protection(frozenset(self.unprotect))


class Inherited(Part):
    """Where the data of a tenant lies that came from a slice: under the keys that it had there."""

    data_prefix: str
    leading_key: str


class DedicatedSpec(Part):
    """Mode B: a dedicated Hub (program ``mode_b``)."""

    schema_version: Literal[1] = 1
    version: Version | None = None
    owner: Owner
    region: Region
    account_id: AccountId
    network: Network
    database: Database = Database()
    retention: Retention = Retention()
    inherited: Inherited | None = None
    transfer: Transfer | None = None
    unprotect: UnprotectOfDedicated = ()  # loses its protection, so that it can be removed

    @property
    def protection(self) -> Protection:
        """What is registered with protection."""
        return Protection(frozenset(self.unprotect))

    @model_validator(mode="after")
    def _zones_are_of_the_region(self) -> Self:
        self.network.check_zones(self.region)
        return self


SPECS: dict[str, type[Part]] = {
    "mode_a.hub": HubSpec,
    "mode_a.slice": SliceSpec,
    "mode_b": DedicatedSpec,
}


def load(program: str, document: dict[str, Any]) -> HubSpec | SliceSpec | DedicatedSpec:
    """Return the typed spec of a program. Raises ``pydantic.ValidationError``."""
    return SPECS[program].model_validate(document)  # type: ignore[return-value]  # the table above holds exactly these
