"""Holds on tenants and Hubs: while one stands, nothing of theirs begins to be applied."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of holds and its rules; nothing is held yet."""
    statements = Path(__file__).with_name("0015_holds.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
