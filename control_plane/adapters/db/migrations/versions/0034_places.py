"""The key of a former place goes with that place, and no later."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the salt of a former place that was destroyed be erased while its tenant stays."""
    path = Path(__file__).with_name("0034_places.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
