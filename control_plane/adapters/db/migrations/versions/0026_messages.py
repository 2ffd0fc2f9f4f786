"""The outbox: messages to people, and addresses that get none."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of messages and suppressions with their rules."""
    path = Path(__file__).with_name("0026_messages.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
