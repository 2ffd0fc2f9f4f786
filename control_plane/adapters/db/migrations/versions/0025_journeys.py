"""Journeys of tenants, their steps, and tasks of people."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of journeys with their rules."""
    path = Path(__file__).with_name("0025_journeys.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
