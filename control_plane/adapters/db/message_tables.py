"""The tables of messages and of addresses that get none. A column is a field of the dataclass."""

from __future__ import annotations

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
    Converted,
    choice,
    json_object,
    key,
    moment,
    quoted,
    reference,
    words,
)
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.cause import Cause
from control_plane.domain.message import (
    OPEN_MESSAGE,
    UNSETTLED,
    Channel,
    MessageClass,
    MessageStatus,
    Reason,
)
from control_plane.domain.suppression import SuppressionKind

_UNSETTLED = quoted(UNSETTLED)
_KEPT = quoted(UNSETTLED | OPEN_MESSAGE)

message = Table(
    "message",
    metadata,
    key(),
    reference("tenant_id", "tenant"),
    words("event"),
    words("persona"),
    choice("channel", Channel),
    words("locale"),
    choice("message_class", MessageClass),
    words("recipient_name"),
    words("recipient_email"),
    json_object("data"),
    json_object("secrets"),
    words("calendar_method", nullable=True),
    words("calendar_content", nullable=True),
    words("dedupe_key"),
    Column("cause", Converted(Cause.to_document, Cause.from_document), nullable=True),
    choice("status", MessageStatus),
    choice("reason", Reason, nullable=True),
    json_object("error", nullable=True),
    Column("turn", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lost_turns", Integer, nullable=False),
    Column("may_be_twice", Boolean, nullable=False),
    words("message_id"),
    words("template", nullable=True),
    words("template_digest", nullable=True),
    words("system", nullable=True),
    words("system_id", nullable=True),
    moment("queued_at"),
    moment("settled_at", nullable=True),
    moment("erased_at", nullable=True),
    Column("version", Integer, nullable=False),
    UniqueConstraint("dedupe_key"),
    UniqueConstraint("message_id"),
    CheckConstraint(f"(status IN ({_UNSETTLED})) = (settled_at IS NULL)", name="settled"),
    CheckConstraint(
        "status NOT IN ('suppressed', 'dead', 'canceled') OR reason IS NOT NULL", name="says_why"
    ),
    CheckConstraint("status NOT IN ('sending', 'sent') OR reason IS NULL", name="nothing_wrong"),
    CheckConstraint(
        "status NOT IN ('sending', 'sent') OR (template IS NOT NULL AND system IS NOT NULL)",
        name="sent_as_something",
    ),
    CheckConstraint("(template IS NULL) = (template_digest IS NULL)", name="template_has_digest"),
    CheckConstraint(
        "(calendar_method IS NULL) = (calendar_content IS NULL)", name="calendar_is_whole"
    ),
    CheckConstraint("calendar_method IN ('REQUEST', 'CANCEL')", name="calendar_method"),
    CheckConstraint("turn > 0 AND attempts >= 0 AND lost_turns >= 0", name="counts"),
    CheckConstraint(
        "(erased_at IS NULL AND recipient_email <> '') OR "
        f"(erased_at IS NOT NULL AND status NOT IN ({_UNSETTLED}) AND recipient_email = '' AND "
        "recipient_name = '' AND data = '{}' AND secrets = '{}' AND calendar_content IS NULL)",
        name="erased_whole",
    ),
    CheckConstraint(
        "recipient_email !~ '[[:cntrl:]]' AND recipient_name !~ '[[:cntrl:]]'", name="one_line"
    ),
)
Index("ix_message_tenant_id", message.c.tenant_id, message.c.id)
Index("ix_message_status", message.c.status, message.c.id)
Index("ix_message_event", message.c.event, message.c.id)
# who got how much of late, for the cap
Index("ix_message_recipient_email", text("lower(recipient_email)"), message.c.settled_at)
Index(
    "ix_message_settled_at",
    message.c.settled_at,
    postgresql_where=text(f"erased_at IS NULL AND status NOT IN ({_KEPT})"),
)

suppression = Table(
    "suppression",
    metadata,
    key(),
    words("address_sha256"),
    words("domain"),
    choice("kind", SuppressionKind),
    words("reason"),
    words("added_by"),
    moment("added_at"),
    words("lifted_by", nullable=True),
    words("lift_reason", nullable=True),
    moment("lifted_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint(
        "num_nulls(lifted_by, lift_reason, lifted_at) IN (0, 3)", name="lifted_by_somebody"
    ),
    CheckConstraint("address_sha256 ~ '^[0-9a-f]{64}$'", name="is_a_digest"),
)
Index(
    "uq_suppression_one_stands",
    suppression.c.address_sha256,
    suppression.c.kind,
    unique=True,
    postgresql_where=text("lifted_at IS NULL"),
)
