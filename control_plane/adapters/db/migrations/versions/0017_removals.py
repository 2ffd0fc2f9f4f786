"""Sagas of steps, and the removal of tenants and Hubs."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and their rules; nothing is being removed yet."""
    path = Path(__file__).with_name("0017_removals.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
