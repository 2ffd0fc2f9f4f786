"""Specs, engine calls, evidence and timers as rows."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, move what the old columns held, replace the rules of decisions."""
    statements = Path(__file__).with_name("0002_change_model.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
