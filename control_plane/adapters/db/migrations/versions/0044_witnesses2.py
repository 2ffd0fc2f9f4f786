"""What witnesses did last, and what of the cosignatures and keys may change."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from control_plane.adapters.db.witness_grants import witness_rights_sql

revision = "0044"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, the checks and the rights."""
    connection = op.get_bind()
    statements = Path(__file__).with_name("0044_witnesses2.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements)
    for statement in witness_rights_sql():
        connection.exec_driver_sql(statement)
