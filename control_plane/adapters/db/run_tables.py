"""Tables of runs: engine calls, evidence, findings, timers, progress, plans and decisions.

As in ``tables.py``, a column is a field of the domain's dataclass.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from control_plane.adapters.db.columns import (
    Choice,
    Converted,
    choice,
    document,
    documents,
    json_list,
    json_object,
    json_value,
    key,
    moment,
    one_of,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.actor import ActorKind
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.calls import CallOutcome
from control_plane.domain.cause import Cause
from control_plane.domain.engine import Check, Operation, OutputChange, PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.finding import FindingKind
from control_plane.domain.risk import Risk
from control_plane.domain.run import (
    CHANGING,
    HOLDS_SLOT,
    LOOK_TRANSITIONS,
    PLAN_TRANSITIONS,
    TERMINAL_RUN,
    BlockedOn,
    RunKind,
    RunStatus,
    Scope,
)
from control_plane.domain.signed_decision import SignedStatement
from control_plane.domain.timers import TimerKind

run = Table(
    "run",
    metadata,
    key(),
    reference("deployment_id", "deployment"),
    reference("tenant_id", "tenant", nullable=True),
    Column("number", Integer, nullable=False),
    choice("kind", RunKind),
    choice("status", RunStatus),
    Column("spec_number", Integer, nullable=False),
    words("requested_by"),
    words("on_behalf_of", nullable=True),
    json_list("requesters"),
    moment("requested_at"),
    moment("started_at", nullable=True),
    moment("ended_at", nullable=True),
    choice("blocked_on", BlockedOn, nullable=True),
    choice("blocked_from", RunStatus, nullable=True),
    reference("plan_id", "plan", nullable=True, cyclic=True),
    reference("approval_id", "approval", nullable=True, cyclic=True),
    reference("evidence_id", "evidence", nullable=True, cyclic=True),
    reference("supersedes", "run", nullable=True),
    reference("retry_of", "run", nullable=True),
    json_object("draft", nullable=True),
    document("scope", Scope, nullable=True),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    words("state_before", nullable=True),
    json_list("states_written"),
    Column("turn", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("is_working", Boolean, nullable=False),
    json_object("error", nullable=True),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("deployment_id", "number"),
    CheckConstraint("(status = 'blocked') = (blocked_on IS NOT NULL)", name="blocked_names_what"),
    CheckConstraint(
        f"kind <> 'refresh' OR status IN ({quoted(LOOK_TRANSITIONS)})", name="status_of_refresh"
    ),
    CheckConstraint(
        f"CASE WHEN kind = 'plan' THEN status IN ({quoted(PLAN_TRANSITIONS)})"
        " ELSE status <> 'planned' END",
        name="status_of_plan",
    ),
    CheckConstraint("(kind = 'plan') = (draft IS NOT NULL)", name="draft_of_plan"),
    CheckConstraint(
        "kind <> 'plan' OR approval_id IS NULL AND started_at IS NULL AND evidence_id IS NULL",
        name="plan_asks_nobody",
    ),
    CheckConstraint("cause IS NULL OR tenant_id IS NOT NULL", name="cause_of_tenant"),
    CheckConstraint("scope IS NULL OR kind = 'update'", name="scope_of_update"),
    CheckConstraint("turn >= 1 AND deaths >= 0 AND failures >= 0", name="counts"),
)
# of runs that change something, not of looks and plans: the newest of those is what decides
CHANGES: Final = f"kind NOT IN ({quoted(frozenset(RunKind) - CHANGING)})"
LOOK_IS_OPEN: Final = (
    f"kind = '{RunKind.REFRESH}' AND status IN ({quoted(LOOK_TRANSITIONS.keys() - TERMINAL_RUN)})"
)
Index(
    "uq_run_one_applies_per_deployment",
    run.c.deployment_id,
    unique=True,
    # a run that is blocked in its apply keeps the slot: its state is half way
    postgresql_where=text(
        f"{CHANGES} AND (status IN ({quoted(HOLDS_SLOT)})"
        f" OR status = 'blocked' AND blocked_from IN ({quoted(HOLDS_SLOT)}))"
    ),
)
Index(
    "uq_run_one_look_per_deployment",
    run.c.deployment_id,
    unique=True,
    postgresql_where=text(LOOK_IS_OPEN),
)
Index(
    "ix_run_changing", run.c.deployment_id, run.c.number, postgresql_where=text(CHANGES)
)  # fmt: skip
Index("ix_run_retry_of", run.c.retry_of, run.c.id)
Index(
    "ix_run_looks", run.c.deployment_id, run.c.number,
    postgresql_where=text(f"kind = '{RunKind.REFRESH}'"),
)  # fmt: skip
Index("ix_run_supersedes", run.c.supersedes, postgresql_where=text("supersedes IS NOT NULL"))
Index("ix_run_evidence_id", run.c.evidence_id)
Index("ix_run_tenant_id", run.c.tenant_id, run.c.id)
Index(
    "ix_run_newest", run.c.tenant_id, run.c.requested_at, run.c.id, postgresql_where=text(CHANGES)
)
Index("ix_run_status", run.c.status, run.c.id)

engine_call = Table(
    "engine_call",
    metadata,
    key(),
    reference("run_id", "run"),
    reference("deployment_id", "deployment"),
    Column("number", Integer, nullable=False),
    words("worker"),
    words("host"),
    moment("begun_at"),
    moment("deadline_at"),
    moment("ended_at", nullable=True),
    choice("outcome", CallOutcome, nullable=True),
    Column("version", Integer, nullable=False),
    UniqueConstraint("deployment_id", "number"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_with_outcome"),
)
Index("ix_engine_call_run_id", engine_call.c.run_id)
Index("ix_engine_call_open", engine_call.c.worker, postgresql_where=text("ended_at IS NULL"))

evidence = Table(
    "evidence",
    metadata,
    key(),
    reference("deployment_id", "deployment"),
    reference("run_id", "run"),
    words("call_id"),
    Column("spec_number", Integer, nullable=False),
    words("state_digest", nullable=True),
    Column("ok", Boolean, nullable=False),
    documents("checks", Check),
    moment("looked_at"),
)
Index("ix_evidence_deployment_id", evidence.c.deployment_id)
Index("ix_evidence_run_id", evidence.c.run_id)

finding = Table(
    "finding",
    metadata,
    key(),
    reference("deployment_id", "deployment"),
    reference("tenant_id", "tenant", nullable=True),
    choice("kind", FindingKind),
    words("subject"),
    words("type"),
    words("path"),
    json_value("expected"),
    json_value("actual"),
    reference("first_seen_by", "run"),
    moment("first_seen_at"),
    reference("last_seen_by", "run"),
    moment("last_seen_at"),
    reference("closed_by", "run", nullable=True),
    moment("closed_at", nullable=True),
    moment("waived_until", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("(closed_by IS NULL) = (closed_at IS NULL)", name="closed_by_a_run"),
    CheckConstraint("closed_at IS NULL OR waived_until IS NULL", name="waived_while_open"),
)
Index(
    "uq_finding_one_is_open",
    finding.c.deployment_id,
    finding.c.kind,
    finding.c.subject,
    finding.c.path,
    unique=True,
    postgresql_where=text("closed_at IS NULL"),
)
Index("ix_finding_deployment_id", finding.c.deployment_id)
Index("ix_finding_tenant_id", finding.c.tenant_id, finding.c.id)
Index(
    "ix_finding_open", finding.c.tenant_id, finding.c.id, postgresql_where=text("closed_at IS NULL")
)
# a look is deleted when nothing refers to it
Index("ix_finding_first_seen_by", finding.c.first_seen_by)
Index("ix_finding_last_seen_by", finding.c.last_seen_by)
Index("ix_finding_closed_by", finding.c.closed_by)

timer = Table(
    "timer",
    metadata,
    Column("kind", Choice(TimerKind), primary_key=True),
    Column("subject", Text, primary_key=True),
    moment("due_at"),
    one_of("kind", TimerKind),
)
Index("ix_timer_due_at", timer.c.due_at)

run_event = Table(
    "run_event",
    metadata,
    reference("run_id", "run", primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    moment("time"),
    words("kind"),
    json_object("body"),
    CheckConstraint("seq >= 1", name="seq"),
)

plan = Table(
    "plan",
    metadata,
    key(),
    reference("run_id", "run"),
    reference("deployment_id", "deployment"),
    words("digest"),
    json_object("parts"),
    documents("operations", Operation),
    documents("outputs", OutputChange),
    documents("resources", PlannedResource),
    json_object("summary"),
    document("evaluation", Evaluation),
    documents("risks", Risk),
    moment("created_at"),
)
Index("ix_plan_run_id", plan.c.run_id)

approval = Table(
    "approval",
    metadata,
    key(),
    reference("run_id", "run"),
    reference("plan_id", "plan"),
    words("plan_digest"),
    reference("tenant_id", "tenant", nullable=True),
    choice("status", ApprovalStatus),
    words("rule"),
    Column("needed", Integer, nullable=False),
    json_list("rules"),
    json_list("roles"),
    json_list("windows"),
    Column("signed", Boolean, nullable=False),
    moment("opens_at", nullable=True),
    moment("closes_at", nullable=True),
    moment("expires_at"),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    UniqueConstraint("plan_id"),
    CheckConstraint("needed >= 1", name="needed"),
    CheckConstraint(
        "num_nulls(opens_at, closes_at) IN (0, 2) AND opens_at <= closes_at",
        name="opens_and_closes",
    ),
    CheckConstraint(
        "CASE WHEN status = 'waiting' OR windows = '[]' THEN opens_at IS NULL"
        " ELSE status <> 'approved' OR opens_at IS NOT NULL END",
        name="opens_by_its_windows",
    ),
)
Index("ix_approval_run_id", approval.c.run_id)
Index("ix_approval_tenant_id", approval.c.tenant_id, approval.c.id)
Index("ix_approval_status", approval.c.status, approval.c.id)

barred = Table(
    "barred",
    metadata,
    key(),
    reference("approval_id", "approval"),
    words("subject"),
    words("reason"),
    UniqueConstraint("approval_id", "subject"),
)

decision = Table(
    "decision",
    metadata,
    key(),
    reference("approval_id", "approval"),
    words("decision"),
    words("plan_digest"),
    words("actor_id"),
    words("person"),
    words("actor_kind"),
    words("reason"),
    moment("decided_at"),
    Column("number", Integer, nullable=False),
    json_list("acknowledged"),
    document("signed", SignedStatement, nullable=True),
    # where two must agree, they are two people with two accounts
    UniqueConstraint("approval_id", "person", "number"),
    UniqueConstraint("approval_id", "actor_id", "number"),
    one_of("decision", ("approve", "reject")),
    one_of("actor_kind", ActorKind),
)

Index(
    "uq_decision_nonce",
    text("(signed ->> 'nonce')"),
    unique=True,
    postgresql_where=text("signed IS NOT NULL"),
    _table=decision,
)

withdrawal = Table(
    "withdrawal",
    metadata,
    key(),
    reference("approval_id", "approval"),
    reference("decision_id", "decision"),
    words("actor_id"),
    words("person"),
    words("reason"),
    moment("withdrawn_at"),
    UniqueConstraint("decision_id"),
)
Index("ix_withdrawal_approval_id", withdrawal.c.approval_id)
