"""Lists take the time of a page, however many rows there are: indexes in the order of pages."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes; every entry of the audit log is written again, with its action."""
    statements = Path(__file__).with_name("0012_lists.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
