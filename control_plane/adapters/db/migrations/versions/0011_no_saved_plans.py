"""Plans of the engine are not kept: the digest binds, and each apply makes its own."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the column; what lies under plans/ in the object store is of no more use."""
    statements = Path(__file__).with_name("0011_no_saved_plans.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
