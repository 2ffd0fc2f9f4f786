"""The table of console sessions."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table

from control_plane.adapters.db.columns import Converted, key, moment, words
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.console_session import actor_document, actor_from

console_session = Table(
    "console_session",
    metadata,
    key(),
    Column("actor", Converted(actor_document, actor_from), nullable=False),
    words("secret_hmac"),
    moment("started_at"),
    moment("seen_at"),
    moment("expires_at"),
    moment("ended_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint(
        "expires_at > started_at AND expires_at <= started_at + interval '8 hours'",
        name="eight_hours",
    ),
)
Index("ix_console_session_expires_at", console_session.c.expires_at)
