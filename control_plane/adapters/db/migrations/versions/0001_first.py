"""The first schema: tables, rules of their rows, rights of the roles."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from control_plane.adapters.db.audit_grants import audit_rights_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything. The roles must exist (``roles.bootstrap``)."""
    connection = op.get_bind()
    for part in ("business_tables", "audit_tables", "row_rules", "rights"):
        statements = Path(__file__).with_name(f"0001_{part}.sql").read_text(encoding="utf-8")
        connection.exec_driver_sql(statements)
    for statement in audit_rights_sql(first=True):
        connection.exec_driver_sql(statement)
