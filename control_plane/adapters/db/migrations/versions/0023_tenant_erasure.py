"""What a removed tenant leaves is destroyed: salts of stacks, and personal values of its rows."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of salts, and the rules of their erasure."""
    path = Path(__file__).with_name("0023_tenant_erasure.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
