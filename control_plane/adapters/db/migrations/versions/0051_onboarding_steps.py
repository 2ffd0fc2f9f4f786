"""Steps of onboarding with what was answered, and each version of them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0051"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of steps and their versions with their rules."""
    path = Path(__file__).with_name("0051_onboarding_steps.sql")
    op.get_bind().exec_driver_sql(path.read_text(encoding="utf-8"))
