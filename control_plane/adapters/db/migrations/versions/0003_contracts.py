"""A contract's number is unique per provider; refusals of a contract are kept."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the constraint, the table and their rights."""
    statements = Path(__file__).with_name("0003_contracts.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)
