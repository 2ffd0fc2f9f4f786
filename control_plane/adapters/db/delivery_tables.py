"""The table of deliveries. As in ``tables.py``, a column is a field of the domain's dataclass."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)

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
from control_plane.domain.delivery import OPEN_DELIVERY, DeliveryStatus

_MADE = quoted({DeliveryStatus.ACCEPTED, DeliveryStatus.REPEATED})
_OPEN = quoted(OPEN_DELIVERY)

delivery = Table(
    "delivery",
    metadata,
    key(),
    words("source"),
    words("dedupe_key"),
    words("account", nullable=True),
    words("envelope_id", nullable=True),
    words("event", nullable=True),
    words("sha256"),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=True),
    words("key_name", nullable=True),
    choice("status", DeliveryStatus),
    words("code", nullable=True),
    json_object("error", nullable=True),
    reference("request_id", "provisioning_request", nullable=True),
    reference("tenant_id", "tenant", nullable=True),
    Column("times_received", Integer, nullable=False),
    moment("received_at"),
    moment("last_received_at"),
    Column("turn", Integer, nullable=False),
    Column("lost_turns", Integer, nullable=False),
    Column("is_additional", Boolean, nullable=False),
    words("decided_by", nullable=True),
    words("decision_reason", nullable=True),
    moment("decided_at", nullable=True),
    moment("settled_at", nullable=True),
    Column("version", Integer, nullable=False),
    UniqueConstraint("dedupe_key"),
    CheckConstraint("(code IS NULL) = (error IS NULL)", name="code_of_error"),
    CheckConstraint(f"status NOT IN ({_OPEN}) OR code IS NOT NULL", name="open_for_a_reason"),
    CheckConstraint(
        f"status NOT IN ({_MADE}) OR (request_id IS NOT NULL AND tenant_id IS NOT NULL)",
        name="made_a_tenant",
    ),
    CheckConstraint("(status = 'received') = (settled_at IS NULL)", name="settled"),
    CheckConstraint(
        "key_name IS NOT NULL OR (body IS NULL AND status = 'refused')", name="authentic"
    ),
    CheckConstraint("status <> 'received' OR body IS NOT NULL", name="has_its_content"),
    CheckConstraint(
        "num_nulls(decided_by, decision_reason, decided_at) IN (0, 3)", name="decided_by_somebody"
    ),
    CheckConstraint("NOT is_additional OR decided_by IS NOT NULL", name="additional_by_somebody"),
    CheckConstraint(
        "status <> 'dismissed' OR decided_by IS NOT NULL", name="dismissed_by_somebody"
    ),
    CheckConstraint("body IS NULL OR octet_length(body) <= 262144", name="small"),
    CheckConstraint("times_received > 0", name="received"),
)
Index("ix_delivery_source", delivery.c.source, delivery.c.id)
Index("ix_delivery_status", delivery.c.status, delivery.c.id)
Index("ix_delivery_envelope_id", delivery.c.envelope_id, delivery.c.id)
Index("ix_delivery_tenant_id", delivery.c.tenant_id, delivery.c.id)
Index("ix_delivery_request_id", delivery.c.request_id)
# what retention looks at: contents of what is settled, and what nobody signed
Index(
    "ix_delivery_settled_at",
    delivery.c.settled_at,
    postgresql_where=text(f"body IS NOT NULL AND status NOT IN ({_OPEN}, 'received')"),
)
Index(
    "ix_delivery_unsigned",
    delivery.c.last_received_at,
    postgresql_where=text("key_name IS NULL"),
)
