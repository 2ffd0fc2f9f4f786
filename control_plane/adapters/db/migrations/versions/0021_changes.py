"""What is chosen for a deployment, amendments, runs that only plan, and the pause of the queue."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, tables and rules of changes."""
    path = Path(__file__).with_name("0021_changes.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
