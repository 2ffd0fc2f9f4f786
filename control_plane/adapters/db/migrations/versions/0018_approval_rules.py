"""Approvals by risk: ticks, withdrawals and change windows, and what the database refuses."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add risks, ticks, withdrawals and windows; what waits has none of them."""
    path = Path(__file__).with_name("0018_approval_rules.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
