"""The schema's rules without a database; a test compares them with ``adapters/db/tables.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.approval import Approval, Barred, Decision
from control_plane.domain.bundle import (
    LIVE_BUNDLE,
    Bundle,
    DownloadLink,
    Handover,
    Receipt,
)
from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.hub import Hub
from control_plane.domain.plan import Plan
from control_plane.domain.run import HOLDS_SLOT, Run, RunStatus
from control_plane.domain.tenant import Contract, ProvisioningRequest, Tenant
from control_plane.ports import IdempotencyRecord

_MODES: Final = (None, "A", "B", "C")
_KINDS: Final = ("user", "service", "system")


@dataclass(frozen=True)
class Unique:
    """Fields that no two rows share; rows that ``among`` leaves out and nulls do not count."""

    name: str
    fields: tuple[str, ...]
    among: Callable[[Any], bool] = lambda _row: True


@dataclass(frozen=True)
class TableRules:
    """What the schema says of one table.

    ``references`` are (field, table) pairs, checked at commit; ``checks`` are (name, predicate).
    """

    name: str
    entity: type[Any]
    unique: tuple[Unique, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    checks: tuple[tuple[str, Callable[[Any], bool]], ...] = ()
    immutable: bool = False

    @property
    def versioned(self) -> bool:
        """Whether rows carry a version that ``save`` checks."""
        return "version" in self.entity.__dataclass_fields__


TENANT: Final = TableRules(
    "tenant",
    Tenant,
    unique=(Unique("uq_tenant_slug", ("slug",)),),
    checks=(("mode", lambda row: row.mode in _MODES),),
)
CONTRACT: Final = TableRules(
    "contract",
    Contract,
    unique=(Unique("uq_contract_provider_envelope_id", ("provider", "envelope_id")),),
    references=(("tenant_id", "tenant"),),
    checks=(("mode", lambda row: row.mode in _MODES),),
    immutable=True,
)
REQUEST: Final = TableRules(
    "provisioning_request",
    ProvisioningRequest,
    references=(("tenant_id", "tenant"), ("contract_ref", "contract")),
)
HUB: Final = TableRules(
    "hub",
    Hub,
    unique=(Unique("uq_hub_region_cell", ("region", "cell")),),
    checks=(("capacity", lambda row: row.capacity >= 0),),
)
DEPLOYMENT: Final = TableRules(
    "deployment",
    Deployment,
    unique=(Unique("uq_deployment_stack", ("stack",)),),
    references=(("tenant_id", "tenant"), ("hub_id", "hub")),
    checks=(("spec_version", lambda row: row.spec_version >= 1),),
)
ACCOUNT: Final = TableRules(
    "account",
    Account,
    unique=(
        Unique("uq_account_account_id", ("account_id",)),
        Unique("uq_account_claimed_by", ("claimed_by",)),
    ),
    references=(("claimed_by", "deployment"),),
    checks=(("shared_is_never_claimed", lambda row: not row.shared or row.claimed_by is None),),
)
RUN: Final = TableRules(
    "run",
    Run,
    unique=(
        Unique(
            "uq_run_one_applies_per_deployment",
            ("deployment_id",),
            lambda row: (
                row.status in HOLDS_SLOT
                or (row.status is RunStatus.BLOCKED and row.blocked_from in HOLDS_SLOT)
            ),
        ),
    ),
    references=(
        ("deployment_id", "deployment"),
        ("tenant_id", "tenant"),
        ("plan_id", "plan"),
        ("approval_id", "approval"),
        ("supersedes", "run"),
        ("retry_of", "run"),
    ),
    checks=(
        (
            "blocked_names_what",
            lambda row: (row.status is RunStatus.BLOCKED) == (row.blocked_on is not None),
        ),
        ("attempt", lambda row: row.attempt >= 1),
    ),
)
PLAN: Final = TableRules(
    "plan",
    Plan,
    references=(("run_id", "run"), ("deployment_id", "deployment")),
    immutable=True,
)
APPROVAL: Final = TableRules(
    "approval",
    Approval,
    unique=(Unique("uq_approval_plan_id", ("plan_id",)),),
    references=(("run_id", "run"), ("plan_id", "plan"), ("tenant_id", "tenant")),
)
BARRED: Final = TableRules(
    "barred",
    Barred,
    unique=(Unique("uq_barred_approval_id_subject", ("approval_id", "subject")),),
    references=(("approval_id", "approval"),),
    immutable=True,
)
DECISION: Final = TableRules(
    "decision",
    Decision,
    unique=(Unique("uq_decision_approval_id_actor_id", ("approval_id", "actor_id")),),
    references=(("approval_id", "approval"),),
    checks=(
        ("decision", lambda row: row.decision in {"approve", "reject"}),
        ("actor_kind", lambda row: row.actor_kind in _KINDS),
    ),
    immutable=True,
)
BUNDLE: Final = TableRules(
    "bundle",
    Bundle,
    unique=(
        Unique("uq_bundle_deployment_id_number", ("deployment_id", "number")),
        Unique(
            "uq_bundle_one_is_live_per_deployment",
            ("deployment_id",),
            lambda row: row.status in LIVE_BUNDLE,
        ),
    ),
    references=(("tenant_id", "tenant"), ("deployment_id", "deployment")),
    checks=(("number", lambda row: row.number >= 1),),
)
HANDOVER: Final = TableRules("handover", Handover, references=(("bundle_id", "bundle"),))
LINK: Final = TableRules(
    "download_link",
    DownloadLink,
    unique=(Unique("uq_download_link_token_hash", ("token_hash",)),),
    references=(("bundle_id", "bundle"), ("handover_id", "handover")),
    checks=(("uses", lambda row: row.uses >= 0),),
)
RECEIPT: Final = TableRules(
    "receipt",
    Receipt,
    unique=(Unique("uq_receipt_bundle_id", ("bundle_id",)),),
    references=(("bundle_id", "bundle"),),
    immutable=True,
)
IDEMPOTENCY: Final = TableRules("idempotency_record", IdempotencyRecord)

TABLES: Final = (
    TENANT, CONTRACT, REQUEST, HUB, DEPLOYMENT, ACCOUNT, RUN, PLAN, APPROVAL, BARRED, DECISION,
    BUNDLE, HANDOVER, LINK, RECEIPT, IDEMPOTENCY,
)  # fmt: skip
