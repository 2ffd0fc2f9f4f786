"""When a bundle was handed over last, and when a download link was revoked."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns; a bundle that was handed over before keeps the time of that."""
    statements = Path(__file__).with_name("0005_hand_overs.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
