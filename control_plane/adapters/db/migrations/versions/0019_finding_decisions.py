"""Decisions on findings, sweeps, where everything is, and looks that are kept for some time."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and their rules; nothing is decided, swept or placed yet."""
    path = Path(__file__).with_name("0019_finding_decisions.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
