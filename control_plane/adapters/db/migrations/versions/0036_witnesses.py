"""The root log, a leaf of it for each signed head, and cosignatures of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from control_plane.adapters.db.root_grants import root_rights_sql

revision = "0036"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the columns, with their rules and rights."""
    connection = op.get_bind()
    statements = Path(__file__).with_name("0036_witnesses.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements)
    for statement in root_rights_sql():
        connection.exec_driver_sql(statement)
