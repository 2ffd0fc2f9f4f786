"""Tables of sagas. As in ``tables.py``, a column is a field of the domain's dataclass."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    text,
)

from control_plane.adapters.db.columns import (
    choice,
    json_list,
    json_object,
    key,
    moment,
    one_of,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.actor import ActorKind
from control_plane.domain.removal import TOPIC_OF, RemovalTopic, RemovalWord
from control_plane.domain.saga import TERMINAL_SAGA, SagaKind, SagaStatus, StepOutcome

saga = Table(
    "saga",
    metadata,
    key(),
    reference("tenant_id", "tenant", nullable=True),
    reference("hub_id", "hub", nullable=True),
    choice("kind", SagaKind),
    choice("status", SagaStatus),
    words("step"),
    Column("is_undoing", Boolean, nullable=False),
    words("reason"),
    words("requested_by"),
    json_list("requesters"),
    json_object("data"),
    words("waits_for", nullable=True),
    moment("due_at", nullable=True),
    json_object("error", nullable=True),
    Column("turn", Integer, nullable=False),
    moment("started_at"),
    moment("ended_at", nullable=True),
    moment("updated_at"),
    Column("version", Integer, nullable=False),
    CheckConstraint("(tenant_id IS NULL) <> (hub_id IS NULL)", name="one_owner"),
    CheckConstraint(
        f"(status IN ({quoted(TERMINAL_SAGA)})) = (ended_at IS NOT NULL)", name="ended"
    ),
)
_OPEN: Final = text("ended_at IS NULL")
Index("uq_saga_one_is_open_per_tenant", saga.c.tenant_id, unique=True, postgresql_where=_OPEN)
Index("uq_saga_one_is_open_per_hub", saga.c.hub_id, unique=True, postgresql_where=_OPEN)
Index("ix_saga_tenant_id", saga.c.tenant_id, saga.c.id)
Index("ix_saga_hub_id", saga.c.hub_id, saga.c.id)

saga_step = Table(
    "saga_step",
    metadata,
    key(),
    reference("saga_id", "saga"),
    Column("number", Integer, nullable=False),
    words("name"),
    Column("is_undo", Boolean, nullable=False),
    reference("run_id", "run", nullable=True),
    json_object("result"),
    moment("started_at"),
    moment("ended_at", nullable=True),
    choice("outcome", StepOutcome, nullable=True),
    json_object("error", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_with_outcome"),
)
Index("uq_saga_step_one_is_open", saga_step.c.saga_id, unique=True, postgresql_where=_OPEN)
Index("ix_saga_step_saga_id", saga_step.c.saga_id, saga_step.c.id)
Index("ix_saga_step_run_id", saga_step.c.run_id)

removal_decision = Table(
    "removal_decision",
    metadata,
    key(),
    reference("saga_id", "saga"),
    choice("topic", RemovalTopic),
    choice("word", RemovalWord),
    words("digest", nullable=True),
    json_object("counts"),
    words("actor_id"),
    words("person"),
    words("actor_kind"),
    words("reason"),
    moment("decided_at"),
    json_object("evidence"),
    UniqueConstraint("saga_id", "topic"),
    one_of("actor_kind", ActorKind),
    CheckConstraint(
        " OR ".join(f"word = '{word}' AND topic = '{topic}'" for word, topic in TOPIC_OF.items()),
        name="word_on_topic",
    ),
    CheckConstraint("actor_kind = 'user'", name="by_a_person"),
    CheckConstraint(
        "word NOT IN ('customer_destroyed', 'export_acknowledged') OR digest IS NOT NULL",
        name="proof",
    ),
)

import_report = Table(
    "import_report",
    metadata,
    key(),
    reference("saga_id", "saga"),
    words("manifest_digest"),
    words("digest"),
    json_object("body"),
    words("registered_by"),
    moment("registered_at"),
    UniqueConstraint("saga_id", "manifest_digest"),
)

certificate = Table(
    "certificate",
    metadata,
    key(),
    reference("saga_id", "saga"),
    reference("tenant_id", "tenant", nullable=True),
    reference("hub_id", "hub", nullable=True),
    json_object("body"),
    words("digest"),
    moment("issued_at"),
    UniqueConstraint("saga_id"),
)
Index("ix_certificate_tenant_id", certificate.c.tenant_id)
Index("ix_certificate_hub_id", certificate.c.hub_id)
