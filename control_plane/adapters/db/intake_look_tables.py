"""Tables of looks at sources of contracts. As in ``tables.py``, a column is a field."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, text

from control_plane.adapters.db.columns import (
    choice,
    json_object,
    key,
    moment,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.reconciling import DifferenceKind, IntakeFindingStatus

_LASTING = quoted({IntakeFindingStatus.OPEN, IntakeFindingStatus.SETTLED})

intake_finding = Table(
    "intake_finding",
    metadata,
    key(),
    words("source"),
    choice("kind", DifferenceKind),
    words("subject"),
    words("digest"),
    words("explanation"),
    reference("delivery_id", "delivery", nullable=True),
    reference("tenant_id", "tenant", nullable=True),
    choice("status", IntakeFindingStatus),
    moment("found_at"),
    moment("last_seen_at"),
    words("reason", nullable=True),
    words("settled_by", nullable=True),
    moment("ended_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(status = 'open') = (reason IS NULL)", name="ended_for_a_reason"),
    CheckConstraint("(status = 'settled') = (settled_by IS NOT NULL)", name="settled_by_somebody"),
    CheckConstraint(
        "(kind = 'missing_here') = (delivery_id IS NOT NULL)", name="missing_has_its_delivery"
    ),
)
# one open finding for one difference; one that was settled is not found again
Index(
    "uq_intake_finding_difference",
    intake_finding.c.source,
    intake_finding.c.kind,
    intake_finding.c.subject,
    intake_finding.c.digest,
    unique=True,
    postgresql_where=text(f"status IN ({_LASTING})"),
)
Index("ix_intake_finding_status", intake_finding.c.status, intake_finding.c.id)
Index("ix_intake_finding_source", intake_finding.c.source, intake_finding.c.id)
Index("ix_intake_finding_tenant_id", intake_finding.c.tenant_id, intake_finding.c.id)
Index("ix_intake_finding_delivery_id", intake_finding.c.delivery_id)

intake_look = Table(
    "intake_look",
    metadata,
    key(),
    moment("position"),
    words("checked"),
    Column("turn", Integer, nullable=False),
    moment("looked_at", nullable=True),
    json_object("error", nullable=True),
    Column("version", Integer, nullable=False),
)
