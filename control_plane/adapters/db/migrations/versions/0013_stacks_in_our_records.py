"""States are records of ours: nothing of the engine's own layout is kept beside them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop what the engine needed to open its state, and the processes that named its locks."""
    path = Path(__file__).with_name("0013_stacks_in_our_records.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
