"""Tables of the audit log. What they mean is written in ``docs/audit-log.md``.

``tenant_id`` names the tree: a tenant id, or ``platform``. Only ``audit_disclosure`` holds personal
data. ``audit_subtree`` and ``audit_pointer`` can be rebuilt from ``audit_entry`` at any time and
prove nothing.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from control_plane.adapters.db.metadata import metadata

_now: Final = func.clock_timestamp()
_TREE_NAME: Final = "tenant_id ~ '^(platform|ten_[0-9A-HJKMNP-TV-Z]{26})$'"
# nobody records an event in the root log: it is made of the heads of the others
_LOG_NAME: Final = "tenant_id ~ '^(platform|root|ten_[0-9A-HJKMNP-TV-Z]{26})$'"

# of a body in canonical JSON the action comes first, after `\n{"action":"`; as PostgreSQL spells it
_BEFORE: Final = "POSITION(('\\x0a7b22616374696f6e223a22'::bytea) IN (entry))"
_ACTION: Final = (
    f"CASE WHEN ({_BEFORE} > 0) THEN split_part(encode(SUBSTRING(entry FROM ({_BEFORE} + 12)"
    " FOR 64), 'escape'::text), '\"'::text, 1) ELSE NULL::text END"
)

# written by the business transaction; the sequencer takes rows out, nobody else does
audit_pending = Table(
    "audit_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("enqueued_at", DateTime(timezone=True), nullable=False, server_default=_now),
    UniqueConstraint("event_id"),
    CheckConstraint(_TREE_NAME, name="tree_name"),
    CheckConstraint("octet_length(body) BETWEEN 1 AND 61440", name="body_size"),
)

Index("ix_audit_pending_enqueued_at", audit_pending.c.enqueued_at)

# the log itself: entry = header line, newline, body; leaf = SHA-256(0x00 || entry)
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    # read out of the entry by the database, to find entries by it; it proves nothing
    Column("action", Text, Computed(_ACTION, persisted=True), nullable=True),
    UniqueConstraint("event_id"),
    CheckConstraint(_LOG_NAME, name="tree_name"),
    CheckConstraint("idx >= 0", name="idx"),
    CheckConstraint("octet_length(entry) BETWEEN 1 AND 65535", name="entry_size"),
    CheckConstraint("octet_length(leaf) = 32", name="leaf_size"),
)

Index("ix_audit_entry_action", audit_entry.c.tenant_id, audit_entry.c.action, audit_entry.c.idx)

# where each tree ends; unsigned_since is null when the newest checkpoint covers the tree; held says
# why the signer leaves the tree alone
audit_tree = Table(
    "audit_tree",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("unsigned_since", DateTime(timezone=True), nullable=True),
    Column("held", Text, nullable=True),
    CheckConstraint("size >= 0 AND octet_length(frontier) <= 64 * 32", name="size"),
)
Index(
    "ix_audit_tree_unsigned_since",
    audit_tree.c.unsigned_since,
    postgresql_where=text("unsigned_since IS NOT NULL"),
)

Index("ix_audit_tree_held", audit_tree.c.tenant_id, postgresql_where=text("held IS NOT NULL"))

# signed tree heads, in the database before anybody is served one; one root per size
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("note", Text, nullable=False),
    Column("cosigs", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("signed_at", DateTime(timezone=True), nullable=False, server_default=_now),
    # the time since which a quorum of witnesses vouches for it; null while none does
    Column("quorum_at", DateTime(timezone=True), nullable=True),
    CheckConstraint("size > 0", name="size"),
    CheckConstraint("jsonb_typeof(cosigs) = 'array'", name="cosigs"),
    CheckConstraint(
        "tenant_id = 'root' OR (cosigs = '[]'::jsonb AND quorum_at IS NULL)", name="of_root"
    ),
    CheckConstraint("quorum_at IS NULL OR cosigs <> '[]'::jsonb", name="quorum"),
)

Index("ix_audit_checkpoint_signed_at", audit_checkpoint.c.signed_at)
Index(
    "ix_audit_checkpoint_quorum",
    audit_checkpoint.c.tenant_id,
    audit_checkpoint.c.size,
    postgresql_where=text("quorum_at IS NOT NULL"),
)
Index(
    "ix_audit_checkpoint_cosigned",
    audit_checkpoint.c.tenant_id,
    audit_checkpoint.c.size,
    postgresql_where=text("cosigs <> '[]'::jsonb"),
)

# where in the root log the head of a tree is: rebuildable from its entries, proves nothing
audit_root_leaf = Table(
    "audit_root_leaf",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("idx", BigInteger, nullable=False),
    UniqueConstraint("idx"),
    CheckConstraint(_TREE_NAME, name="tree_name"),
    CheckConstraint("size > 0 AND idx >= 0", name="numbers"),
)

# what each witness did last, by its name in the trust policy; fault is a word of witnessing.py
audit_witness = Table(
    "audit_witness",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key_id", Text, nullable=True),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("cosigned_at", DateTime(timezone=True), nullable=True),
    Column("fault", Text, nullable=True),
    Column("fault_since", DateTime(timezone=True), nullable=True),
    CheckConstraint("(fault IS NULL) = (fault_since IS NULL)", name="fault"),
    CheckConstraint("(size > 0) = (cosigned_at IS NOT NULL)", name="cosigned"),
)

# logs that the signer set aside; a finding stays until a person has released it
audit_quarantine = Table(
    "audit_quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tree", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("ended_at", DateTime(timezone=True), nullable=True),
    Column("released_at", DateTime(timezone=True), nullable=True),
    Column("released_by", Text, nullable=True),
    CheckConstraint(_LOG_NAME.replace("tenant_id", "tree"), name="tree_name"),
    CheckConstraint(
        "(released_at IS NULL) = (released_by IS NULL)"
        " AND (released_at IS NULL OR ended_at IS NOT NULL)",
        name="released",
    ),
)
Index(
    "uq_audit_quarantine_open",
    audit_quarantine.c.tree,
    unique=True,
    postgresql_where=text("released_at IS NULL"),
)

# checkpoints that somebody was given, who may have kept them: they are kept for 90 days
audit_served = Table(
    "audit_served",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
)

# values and salts of the commitments in the bodies: the one table with personal data
audit_disclosure = Table(
    "audit_disclosure",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=True),
    Column("value", Text, nullable=True),  # canonical JSON, the bytes that were committed to
    Column("erased_at", DateTime(timezone=True), nullable=True),
    Column("erasure_event", Uuid, nullable=True),
    CheckConstraint(
        "(erased_at IS NULL AND octet_length(salt) = 32 AND value IS NOT NULL)"
        " OR (erased_at IS NOT NULL AND salt IS NULL AND value IS NULL"
        " AND erasure_event IS NOT NULL)",
        name="open_or_erased",
    ),
)

# which key signs which sizes of a tree; to_size is exclusive and null while the key is in use
audit_key = Table(
    "audit_key",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("key_name", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("vkey", Text, nullable=False),
    Column("from_size", BigInteger, nullable=False),
    Column("to_size", BigInteger, nullable=True),
    Column("reason", Text, nullable=False),
)

# hashes of the complete subtrees of 256**level leaves, from level 1: the upper tiles
audit_subtree = Table(
    "audit_subtree",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("level BETWEEN 1 AND 7 AND octet_length(hash) = 32", name="hash"),
)

# the newest entry of each actor, approver and run: where the next header points back to
audit_pointer = Table(
    "audit_pointer",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("idx", BigInteger, nullable=False),
)

AUDIT_TABLES: Final = (
    audit_pending,
    audit_entry,
    audit_tree,
    audit_checkpoint,
    audit_served,
    audit_disclosure,
    audit_key,
    audit_subtree,
    audit_pointer,
    audit_root_leaf,
    audit_witness,
    audit_quarantine,
)
