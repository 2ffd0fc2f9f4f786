"""One account is one decision; approvals keep their end; runs apply under their own approval."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the constraint, replace the rules of rows, take away rights that nothing used."""
    statements = Path(__file__).with_name("0008_rules_of_rows.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
