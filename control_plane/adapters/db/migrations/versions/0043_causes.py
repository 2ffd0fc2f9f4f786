"""The step of a journey that a run or a bundle was made for; the stream of a tenant's events."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0043"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add causes to runs and bundles, and the table of the stream, with their rules."""
    path = Path(__file__).with_name("0043_causes.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
