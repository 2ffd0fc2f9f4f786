"""Keys of approvers, and decisions that are signed with them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, the columns and their rules."""
    path = Path(__file__).with_name("0045_approver_keys.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
