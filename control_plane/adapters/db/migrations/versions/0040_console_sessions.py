"""Sessions of the console."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0040"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of sessions with its rules."""
    path = Path(__file__).with_name("0040_console_sessions.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
