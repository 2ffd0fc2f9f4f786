"""The table of approvers' keys. A column is a field of the dataclass with the same name."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, UniqueConstraint

from control_plane.adapters.db.columns import key, moment, one_of, words
from control_plane.adapters.db.metadata import metadata

approver_key = Table(
    "approver_key",
    metadata,
    key(),
    words("actor_id"),
    words("person"),
    words("kind"),
    words("public_key"),
    words("fingerprint"),
    words("statement"),
    words("signature"),
    moment("enrolled_at"),
    words("confirmed_by", nullable=True),
    words("confirmed_person", nullable=True),
    words("confirm_key", nullable=True),
    words("confirm_statement", nullable=True),
    words("confirm_signature", nullable=True),
    moment("confirmed_at", nullable=True),
    words("revoked_by", nullable=True),
    words("revoke_reason", nullable=True),
    moment("revoked_at", nullable=True),
    Column("version", Integer, nullable=False),
    UniqueConstraint("fingerprint"),
    one_of("kind", ("ssh-ed25519",)),
    CheckConstraint(
        "num_nulls(confirmed_by, confirmed_person, confirm_key, confirm_statement,"
        " confirm_signature, confirmed_at) IN (0, 6)",
        name="confirmed_by_somebody",
    ),
    CheckConstraint(
        "num_nulls(revoked_by, revoke_reason, revoked_at) IN (0, 3)", name="revoked_by_somebody"
    ),
    CheckConstraint(
        "actor_id NOT IN (confirmed_by, confirmed_person)"
        " AND person NOT IN (confirmed_by, confirmed_person)",
        name="two_people",
    ),
)
Index("ix_approver_key_actor_id", approver_key.c.actor_id)
