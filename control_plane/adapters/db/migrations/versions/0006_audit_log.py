"""Trees that are held, checkpoints that were served, and the rights for both."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from control_plane.adapters.db.audit_grants import audit_rights_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, the table and indexes; grant all rights on the audit log again.

    Every checkpoint that exists counts as served: nobody knows which were.
    """
    connection = op.get_bind()
    statements = Path(__file__).with_name("0006_audit_log.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements)
    for statement in audit_rights_sql():
        connection.exec_driver_sql(statement)
