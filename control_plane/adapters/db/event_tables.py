"""The tables of event subscriptions, and of what goes to each.

Events have no foreign key to their subscription: one that is removed meanwhile must not undo
the cause of an event.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    text,
)

from control_plane.adapters.db.columns import (
    KEY,
    choice,
    documents,
    json_list,
    json_object,
    key,
    moment,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.subscription import SealedSecret, SendStatus, SubscriptionStatus

event_subscription = Table(
    "event_subscription",
    metadata,
    key(),
    words("url"),
    json_list("types"),
    reference("tenant_id", "tenant", nullable=True),
    words("description", nullable=True),
    documents("secrets", SealedSecret),
    choice("status", SubscriptionStatus),
    words("code", nullable=True),
    words("created_by"),
    moment("created_at"),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    CheckConstraint("(status = 'disabled') = (code IS NOT NULL)", name="disabled_for_a_reason"),
    CheckConstraint("jsonb_array_length(types) BETWEEN 1 AND 30", name="types"),
    CheckConstraint("jsonb_array_length(secrets) BETWEEN 1 AND 2", name="secrets"),
    CheckConstraint("url ~ '^https?://' AND length(url) <= 2000", name="url"),
)
Index("ix_event_subscription_tenant_id", event_subscription.c.tenant_id)

# how a subscription fares; written by who sends, while a lease is held
event_turn = Table(
    "event_turn",
    metadata,
    key("subscription_id"),
    moment("leased_until", nullable=True),
    moment("retry_at", nullable=True),
    Column("failures", Integer, nullable=False),
    moment("failing_since", nullable=True),
    moment("last_success_at", nullable=True),
    CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="failing"),
)

# the number of the newest event of a tenant, or of all that belongs to none
event_sequence = Table(
    "event_sequence",
    metadata,
    key("tree"),
    Column("last", BigInteger, nullable=False),
)

# what people watch of a tenant, numbered as its public events are
tenant_event = Table(
    "tenant_event",
    metadata,
    Column("tenant_id", KEY, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", KEY, nullable=False),
    words("name"),
    moment("occurred_at"),
    json_object("data"),
    CheckConstraint("seq > 0", name="seq"),
)
Index("ix_tenant_event_occurred_at", tenant_event.c.occurred_at)

outgoing_event = Table(
    "outgoing_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", KEY, nullable=False),
    Column("event_id", KEY, nullable=False),
    words("name"),
    Column("schema_version", Integer, nullable=False),
    Column("tree", KEY, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    moment("occurred_at"),
    json_object("data"),
    choice("status", SendStatus),
    Column("attempts", Integer, nullable=False),
    moment("next_at"),
    moment("tried_at", nullable=True),
    Column("answer_code", Integer, nullable=True),
    words("failure", nullable=True),
    Column("answer", LargeBinary, nullable=True),
    moment("sent_at", nullable=True),
    CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="sent"),
    CheckConstraint("answer IS NULL OR octet_length(answer) <= 1024", name="answer"),
    CheckConstraint("attempts >= 0", name="attempts"),
)
Index("ix_outgoing_event_subscription_id", outgoing_event.c.subscription_id, outgoing_event.c.id)
_PENDING = text("status = 'pending'")
Index(
    "ix_outgoing_event_due",
    outgoing_event.c.subscription_id,
    outgoing_event.c.next_at,
    postgresql_where=_PENDING,
)
Index(
    "ix_outgoing_event_order",
    outgoing_event.c.subscription_id,
    outgoing_event.c.tree,
    outgoing_event.c.id,
    postgresql_where=_PENDING,
)
Index("ix_outgoing_event_occurred_at", outgoing_event.c.occurred_at)

# what workers open sealed secrets with: the public half, from the master secret
sealing_key = Table(
    "sealing_key",
    metadata,
    key(),
    Column("public", LargeBinary, nullable=False),
    moment("created_at"),
    CheckConstraint("octet_length(public) = 32", name="public"),
)
