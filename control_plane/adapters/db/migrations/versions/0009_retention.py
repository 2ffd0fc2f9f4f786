"""What is kept for some time: details of ended runs, engine calls, served checkpoints."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from control_plane.adapters.db.audit_grants import audit_rights_sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the application and the signer delete it, and set a timer for every run that ended."""
    connection = op.get_bind()
    statements = Path(__file__).with_name("0009_retention.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements)
    for statement in audit_rights_sql():
        connection.exec_driver_sql(statement)
