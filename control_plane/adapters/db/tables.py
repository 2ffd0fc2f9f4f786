"""Tables of tenants, deployments and bundles; those of runs are in ``run_tables.py``.

One column per field of the domain's dataclass, under the same name (``mapping.py``). Unique facts
are constraints here, so that no race between two requests can break them. What a check or an index
cannot say is in the triggers of the migrations: decisions and their approvals, and rows that are
never changed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    text,
)

from control_plane.adapters.db.approver_tables import approver_key
from control_plane.adapters.db.columns import (
    Converted,
    choice,
    documents,
    json_list,
    json_object,
    key,
    moment,
    one_of,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.console_tables import console_session
from control_plane.adapters.db.delivery_tables import delivery
from control_plane.adapters.db.disclosure_tables import disclosure_grant, erasure
from control_plane.adapters.db.erasure_tables import stack_salt
from control_plane.adapters.db.event_tables import (
    event_sequence,
    event_subscription,
    event_turn,
    outgoing_event,
    sealing_key,
    tenant_event,
)
from control_plane.adapters.db.intake_look_tables import intake_finding, intake_look
from control_plane.adapters.db.journey_tables import journey, journey_step, playbook_document, task
from control_plane.adapters.db.look_tables import finding_decision, residence, sweep, sweep_item
from control_plane.adapters.db.message_tables import message, suppression
from control_plane.adapters.db.metadata import metadata
from control_plane.adapters.db.onboarding_step_tables import (
    onboarding_step,
    onboarding_step_version,
)
from control_plane.adapters.db.onboarding_tables import (
    onboarding_attempt,
    onboarding_link,
    onboarding_session,
)
from control_plane.adapters.db.run_tables import (
    approval,
    barred,
    decision,
    engine_call,
    evidence,
    finding,
    plan,
    run,
    run_event,
    timer,
    withdrawal,
)
from control_plane.adapters.db.saga_tables import (
    certificate,
    import_report,
    removal_decision,
    saga,
    saga_step,
)
from control_plane.adapters.db.staffing_tables import assignment, meeting
from control_plane.adapters.db.transfers import transferred
from control_plane.domain.actor import ActorKind
from control_plane.domain.adoption import Adopted
from control_plane.domain.bundle import LIVE_BUNDLE, BundleStatus, Rehearsal
from control_plane.domain.cause import Cause
from control_plane.domain.deployment import DeploymentKind, Desired, Position
from control_plane.domain.hold import BY_ANOTHER, Applying, HoldKind
from control_plane.domain.hub import HubStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

_MODES: Final = ("A", "B", "C")

tenant = Table(
    "tenant",
    metadata,
    key(),
    words("slug"),
    words("legal_name"),
    words("domain"),
    words("country"),
    words("time_zone"),
    choice("status", TenantStatus),
    choice("waiting_on", WaitingOn, nullable=True),
    Column("hold", Boolean, nullable=False),
    Column("drifted", Boolean, nullable=False),
    reference("saga_id", "saga", nullable=True, cyclic=True),
    moment("retention_until", nullable=True),
    moment("removed_at", nullable=True),
    words("mode", nullable=True),
    words("region", nullable=True),
    json_object("facts"),
    json_object("decision"),
    json_list("editors"),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("slug"),  # rows of ended tenants stay, and so do their slugs
    one_of("mode", _MODES),
)
# a page of a list is the newest ids of a status, a tenant or a company: each index ends with the id
Index("ix_tenant_status", tenant.c.status, tenant.c.id)
Index("ix_tenant_domain", tenant.c.domain, tenant.c.id)
Index("ix_tenant_drifted", tenant.c.drifted, tenant.c.id)

contract = Table(
    "contract",
    metadata,
    key(),
    words("provider"),
    words("envelope_id"),
    words("contract_id"),
    words("digest"),
    moment("signed_at"),
    words("subscription"),
    words("mode", nullable=True),
    Column("seats", Integer, nullable=True),
    reference("tenant_id", "tenant"),
    moment("created_at"),
    UniqueConstraint("provider", "envelope_id"),
    UniqueConstraint("provider", "contract_id"),
    one_of("mode", _MODES),
)
Index("ix_contract_tenant_id", contract.c.tenant_id)
Index("ix_contract_envelope_id", contract.c.envelope_id)
Index("ix_contract_contract_id", contract.c.contract_id)

contract_amendment = Table(
    "contract_amendment",
    metadata,
    words("number"),
    moment("signed_at"),
    Column("effective_on", Date, nullable=True),
    Column("ends_on", Date, nullable=True),
    Column("retention_until", Date, nullable=True),
    words("subscription", nullable=True),
    Column("seats", Integer, nullable=True),
    words("sla_uptime_min", nullable=True),
    key(),
    reference("tenant_id", "tenant"),
    reference("contract_ref", "contract"),
    words("amended_by"),
    moment("amended_at"),
    UniqueConstraint("contract_ref", "number"),
)
Index("ix_contract_amendment_tenant_id", contract_amendment.c.tenant_id, contract_amendment.c.id)

provisioning_request = Table(
    "provisioning_request",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    reference("contract_ref", "contract"),
    json_object("body"),
    words("body_digest"),
    words("requested_by"),
    words("on_behalf_of", nullable=True),
    moment("created_at"),
)
Index(
    "ix_provisioning_request_tenant_id",
    provisioning_request.c.tenant_id,
    provisioning_request.c.id,
)
Index("ix_provisioning_request_contract_ref", provisioning_request.c.contract_ref)

refused_request = Table(
    "refused_request",
    metadata,
    key(),
    words("provider"),
    words("envelope_id"),
    words("body_digest"),
    words("code"),
    words("requested_by"),
    moment("refused_at"),
)
Index("ix_refused_request_contract", refused_request.c.provider, refused_request.c.envelope_id)

hub = Table(
    "hub",
    metadata,
    key(),
    words("region"),
    words("cell"),
    Column("capacity", Integer, nullable=False),
    choice("status", HubStatus),
    Column("hold", Boolean, nullable=False),
    reference("saga_id", "saga", nullable=True, cyclic=True),
    moment("removed_at", nullable=True),
    json_object("outputs"),
    json_list("requesters"),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("region", "cell"),
    CheckConstraint("capacity >= 0", name="capacity"),
)

hold = Table(
    "hold",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    reference("hub_id", "hub", nullable=True),
    choice("kind", HoldKind),
    choice("applying", Applying),
    words("reason"),
    words("placed_by"),
    json_list("placers"),
    moment("placed_at"),
    words("released_by", nullable=True),
    words("released_person", nullable=True),
    choice("released_kind", ActorKind, nullable=True),
    words("release_reason", nullable=True),
    moment("released_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("(tenant_id IS NULL) <> (hub_id IS NULL)", name="one_owner"),
    CheckConstraint(
        "num_nulls(released_by, released_person, released_kind, release_reason, released_at)"
        " IN (0, 5)",
        name="released_by_somebody",
    ),
    CheckConstraint(
        f"kind NOT IN ({quoted(BY_ANOTHER)}) OR released_at IS NULL OR released_kind = 'user'"
        " AND NOT placers ? released_by AND NOT placers ? released_person",
        name="another_person",
    ),
)
Index("ix_hold_tenant_id", hold.c.tenant_id, hold.c.id)
Index("ix_hold_hub_id", hold.c.hub_id, hold.c.id)

deployment = Table(
    "deployment",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    reference("hub_id", "hub", nullable=True),
    choice("kind", DeploymentKind),
    words("environment"),
    words("region"),
    words("account_id"),
    words("stack"),
    json_object("chosen"),
    Column("spec_number", Integer, nullable=False),
    Column("applied_spec", Integer, nullable=False),
    Column("is_unsettled", Boolean, nullable=False),
    reference("evidence_id", "evidence", nullable=True, cyclic=True),
    words("state_digest", nullable=True),
    json_object("outputs"),
    choice("position", Position),
    json_object("transfer"),
    json_object("inherited"),
    json_list("unprotected"),
    moment("removed_at", nullable=True),
    documents("adopted", Adopted),
    Column("is_read", Boolean, nullable=False),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("stack"),
    CheckConstraint("applied_spec BETWEEN 0 AND spec_number", name="applied_spec"),
    CheckConstraint("kind IN ('dedicated', 'slice') OR transfer = '{}'", name="transfer_of_ours"),
    CheckConstraint(
        "kind IN ('customer_run', 'dedicated') OR inherited = '{}'",
        name="inherited_by_a_whole_hub",
    ),
)
Index("ix_deployment_tenant_id", deployment.c.tenant_id)
Index(
    "uq_deployment_one_is_current", deployment.c.tenant_id, deployment.c.environment, unique=True,
    postgresql_where=text("tenant_id IS NOT NULL AND position = 'current'"),
)  # fmt: skip
Index("ix_deployment_evidence_id", deployment.c.evidence_id)
Index("ix_deployment_hub_id", deployment.c.hub_id, deployment.c.kind)

deployment_spec = Table(
    "deployment_spec",
    metadata,
    key(),
    reference("deployment_id", "deployment"),
    Column("number", Integer, nullable=False),
    json_object("document"),
    words("digest"),
    choice("desired", Desired),
    words("made_by"),
    moment("made_at"),
    UniqueConstraint("deployment_id", "number"),
    CheckConstraint("number >= 1", name="number"),
)

account = Table(
    "account",
    metadata,
    key(),
    words("account_id"),
    words("role_arn", nullable=True),
    words("external_id", nullable=True),
    Column("shared", Boolean, nullable=False),
    reference("claimed_by", "deployment", nullable=True),
    reference("served", "deployment", nullable=True),
    moment("retired_at", nullable=True),
    moment("created_at"),
    UniqueConstraint("account_id"),
    UniqueConstraint("claimed_by"),
    UniqueConstraint("served"),
    CheckConstraint("NOT shared OR claimed_by IS NULL", name="shared_is_never_claimed"),
    CheckConstraint("NOT shared OR served IS NULL", name="shared_serves_many"),
    CheckConstraint(
        "served IS NULL OR claimed_by IS NULL OR claimed_by = served", name="serves_one"
    ),
    CheckConstraint("retired_at IS NULL OR claimed_by IS NULL", name="retired_is_never_claimed"),
)

bundle = Table(
    "bundle",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    reference("deployment_id", "deployment"),
    Column("number", Integer, nullable=False),
    choice("status", BundleStatus),
    words("accepted_by", nullable=True),
    json_object("inputs"),
    Column("builds", Integer, nullable=False),
    choice("rehearsal", Rehearsal),
    words("content_digest", nullable=True),
    words("archive_digest", nullable=True),
    words("archive_name", nullable=True),
    json_object("files"),
    json_list("checks"),
    json_object("error", nullable=True),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    moment("handed_over_at", nullable=True),
    moment("expires_at", nullable=True),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("deployment_id", "number"),
    CheckConstraint("number >= 1", name="number"),
)
Index(
    "uq_bundle_one_is_live_per_deployment",
    bundle.c.deployment_id,
    unique=True,
    postgresql_where=text(f"status IN ({quoted(LIVE_BUNDLE)})"),
)
Index("ix_bundle_tenant_id", bundle.c.tenant_id, bundle.c.id)
Index("ix_bundle_newest", bundle.c.tenant_id, bundle.c.created_at, bundle.c.id)
Index("ix_bundle_status", bundle.c.status, bundle.c.id)

handover = Table(
    "handover",
    metadata,
    key(),
    reference("bundle_id", "bundle"),
    words("recipient_name"),
    words("recipient_email"),
    words("handed_over_by"),
    moment("handed_over_at"),
)
Index("ix_handover_bundle_id", handover.c.bundle_id)

download_link = Table(
    "download_link",
    metadata,
    key(),
    reference("bundle_id", "bundle"),
    reference("handover_id", "handover"),
    words("token_hash"),
    moment("expires_at"),
    Column("uses", Integer, nullable=False),
    moment("revoked_at", nullable=True),
    moment("created_at"),
    UniqueConstraint("token_hash"),
    CheckConstraint("uses >= 0", name="uses"),
)
Index("ix_download_link_bundle_id", download_link.c.bundle_id)

receipt = Table(
    "receipt",
    metadata,
    key(),
    reference("bundle_id", "bundle"),
    words("digest"),
    json_object("body"),
    words("registered_by"),
    moment("registered_at"),
)
Index("ix_receipt_bundle_id", receipt.c.bundle_id)

idempotency_record = Table(
    "idempotency_record",
    metadata,
    key(),
    words("body_digest"),
    Column("response_status", Integer, nullable=True),
    json_object("response_body", nullable=True),
    json_object("response_headers"),
    moment("created_at"),
    moment("expires_at"),
)
Index("ix_idempotency_record_expires_at", idempotency_record.c.expires_at)

queue_pause = Table(
    "queue_pause",
    metadata,
    key(),
    words("reason"),
    words("paused_by"),
    moment("paused_at"),
    words("resumed_by", nullable=True),
    words("resume_reason", nullable=True),
    moment("resumed_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint(
        "num_nulls(resumed_by, resume_reason, resumed_at) IN (0, 3)", name="resumed_by_somebody"
    ),
)
Index(
    "uq_queue_pause_one_stands",
    text("(true)"),
    unique=True,
    postgresql_where=text("resumed_at IS NULL"),
    _table=queue_pause,
)

rules_document = Table(
    "rules_document",
    metadata,
    key(),
    words("digest"),
    moment("loaded_at"),
)

BUSINESS_TABLES: Final = (
    tenant, contract, contract_amendment, provisioning_request, refused_request, hub, hold,
    deployment, deployment_spec,
    account, run,
    engine_call, evidence, finding, timer, run_event, plan, approval, barred, decision,
    withdrawal, bundle, handover, download_link, receipt, idempotency_record, queue_pause,
    rules_document,
    saga, saga_step, transferred,
    removal_decision, certificate, import_report, finding_decision, sweep,
    sweep_item, residence,
    stack_salt,
    delivery,
    intake_finding, intake_look,
    event_subscription, event_turn, event_sequence, tenant_event, outgoing_event, sealing_key,
    playbook_document, journey, journey_step, task,
    message, suppression,
    onboarding_link, onboarding_session, onboarding_attempt,
    onboarding_step, onboarding_step_version,
    console_session,
    assignment, meeting,
    disclosure_grant, erasure,
    approver_key,
)  # fmt: skip
# rows of these are written once; a trigger refuses to change or delete them, except for lines of
# runs that have ended (migration 0009). Requests and handovers are not among them: they name
# people, who may have to be erased
IMMUTABLE: Final = (
    contract, contract_amendment, refused_request, deployment_spec, evidence, run_event, plan,
    barred, decision,
    withdrawal,  receipt, removal_decision, certificate, finding_decision,
    import_report, playbook_document,
)  # fmt: skip
