"""The table of what is destroyed when a tenant or a Hub was removed: the salts of its stacks."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Integer, Table

from control_plane.adapters.db.columns import moment, reference, words
from control_plane.adapters.db.metadata import metadata

SHAPE: Final = "^[A-Za-z0-9_-]{43}$"

stack_salt = Table(
    "stack_salt",
    metadata,
    reference("id", "deployment", primary_key=True),
    words("salt", nullable=True),
    Column("is_late", Boolean, nullable=False),
    moment("made_at"),
    moment("erased_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint(f"salt ~ '{SHAPE}'", name="salt"),
    CheckConstraint("(salt IS NULL) = (erased_at IS NOT NULL)", name="erased"),
)
