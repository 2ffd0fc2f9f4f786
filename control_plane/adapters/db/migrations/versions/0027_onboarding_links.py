"""One-time links to the onboarding portal, with sessions and attempts."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of links, sessions and attempts with their rules."""
    path = Path(__file__).with_name("0027_onboarding_links.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
