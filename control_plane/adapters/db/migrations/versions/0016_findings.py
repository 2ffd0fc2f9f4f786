"""Looks at what exists, and what they find."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the findings, let looks run beside other runs, and set a timer for each first look."""
    path = Path(__file__).with_name("0016_findings.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
