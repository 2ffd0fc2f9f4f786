"""How many builds of a bundle were asked for: what an earlier one finds is not kept."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; builds of before, one that is under way included, count as none."""
    statements = Path(__file__).with_name("0010_bundle_builds.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
