"""What differs between sources of contracts and this installation, and how far looks came."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of looks at sources with their rules."""
    path = Path(__file__).with_name("0029_intake_findings.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
