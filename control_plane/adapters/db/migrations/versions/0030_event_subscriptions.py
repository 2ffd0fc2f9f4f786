"""Subscriptions to public events, and what goes to each of them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of subscriptions and their events, with their rules."""
    path = Path(__file__).with_name("0030_event_subscriptions.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
