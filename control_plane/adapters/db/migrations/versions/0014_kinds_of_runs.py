"""What the kind of a run demands: a look applies nothing, two people approve a destroy."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the rules. Earlier releases only built and updated, so that every row keeps them."""
    path = Path(__file__).with_name("0014_kinds_of_runs.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
