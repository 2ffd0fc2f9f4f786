"""A tenant changes its mode: deployments beside each other, and what is copied between them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give deployments their position, and add the table of what was copied."""
    path = Path(__file__).with_name("0020_mode_changes.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
