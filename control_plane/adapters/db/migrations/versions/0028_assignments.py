"""Who of the vendor works for a tenant, and the meetings that people were invited to."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of assignments and meetings with their rules."""
    path = Path(__file__).with_name("0028_assignments.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
