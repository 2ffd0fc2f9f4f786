"""Which rules documents a process began to work with last."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the application's rights on it."""
    op.execute(
        """
        CREATE TABLE rules_document (
            id text COLLATE "C" NOT NULL,
            digest text NOT NULL,
            loaded_at timestamp with time zone NOT NULL,
            CONSTRAINT pk_rules_document PRIMARY KEY (id)
        )
        """
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON rules_document TO tenantplane_app")
