"""Data handed over to a customer's account, and receipts of destroys that are checked."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the sagas that lead to Mode C, import reports, and what a destroy receipt says."""
    path = Path(__file__).with_name("0022_mode_c_handover.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
