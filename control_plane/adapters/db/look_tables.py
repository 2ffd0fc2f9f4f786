"""Tables of what looks lead to: decisions on findings, sweeps, and where everything is.

As in ``tables.py``, a column is a field of the domain's dataclass.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, text

from control_plane.adapters.db.columns import (
    KEY,
    Choice,
    choice,
    document,
    documents,
    key,
    moment,
    one_of,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.actor import ActorKind
from control_plane.domain.engine import Place
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.residence import Promise
from control_plane.domain.sweep import SweepOutcome

finding_decision = Table(
    "finding_decision",
    metadata,
    key(),
    reference("finding_id", "finding"),
    reference("tenant_id", "tenant", nullable=True),
    choice("verdict", Verdict),
    words("value_digest"),
    moment("until", nullable=True),
    reference("run_id", "run", nullable=True),
    words("reason"),
    words("decided_by"),
    words("person"),
    choice("actor_kind", ActorKind),
    moment("decided_at"),
    CheckConstraint("(verdict = 'waive') = (until IS NOT NULL)", name="waived_until"),
    CheckConstraint("(verdict = 'waive') = (run_id IS NULL)", name="carried_by_a_run"),
    CheckConstraint("actor_kind = 'user'", name="by_a_person"),
)
Index("ix_finding_decision_finding_id", finding_decision.c.finding_id, finding_decision.c.id)
Index("ix_finding_decision_run_id", finding_decision.c.run_id)

sweep = Table(
    "sweep",
    metadata,
    key(),
    words("requested_by"),
    moment("requested_at"),
    Column("minutes", Integer, nullable=False),
    CheckConstraint("minutes >= 0", name="minutes"),
)
sweep_item = Table(
    "sweep_item",
    metadata,
    Column("sweep_id", KEY, ForeignKey("sweep.id", ondelete="CASCADE"), primary_key=True),
    reference("deployment_id", "deployment", primary_key=True),
    Column("outcome", Choice(SweepOutcome), nullable=True),
    one_of("outcome", SweepOutcome),
)
Index("ix_sweep_item_waiting", sweep_item.c.deployment_id, postgresql_where=text("outcome IS NULL"))

residence = Table(
    "residence",
    metadata,
    key(),
    reference("deployment_id", "deployment"),
    reference("tenant_id", "tenant", nullable=True),
    document("promise", Promise),
    documents("places", Place),
    Column("ok", Boolean, nullable=True),
    words("unanswered"),
    words("digest"),
    reference("first_seen_by", "run"),
    moment("first_seen_at"),
    reference("last_seen_by", "run"),
    moment("last_seen_at"),
    moment("searched_at", nullable=True),
    Column("version", Integer, nullable=False),
)
Index("ix_residence_deployment_id", residence.c.deployment_id, residence.c.id)
Index("ix_residence_first_seen_by", residence.c.first_seen_by)
Index("ix_residence_last_seen_by", residence.c.last_seen_by)
Index("ix_residence_tenant_id", residence.c.tenant_id, residence.c.id)
