"""Personal values of the log: who may read them, and how two people erase them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0033"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add grants and erasures, and the functions that alone read and erase values of the log."""
    path = Path(__file__).with_name("0033_personal_data.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
