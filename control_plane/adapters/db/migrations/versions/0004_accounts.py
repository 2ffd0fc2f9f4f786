"""Accounts can be taken out of the pool."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the application delete rows of the pool; it refuses to while one is in use."""
    op.execute("GRANT DELETE ON account TO tenantplane_app")
