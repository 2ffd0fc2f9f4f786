"""Deliveries of providers of signatures, with what became of each."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of deliveries with its rules."""
    path = Path(__file__).with_name("0024_deliveries.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
