"""A contract's number is unique per provider; refusals of a contract are kept."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy import Connection, text

from control_plane.domain.errors import Conflict

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_TWICE = text(
    """
    SELECT provider, contract_id, string_agg(id, ', ' ORDER BY id) AS ids
    FROM contract GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2
    """
)
_NAMED = 5


def upgrade() -> None:
    """Add the constraint, the table and their rights.

    Raises ``Conflict`` that names the contracts which share a number: which of them keeps it is
    nothing that a migration can know.
    """
    connection = op.get_bind()
    _require_numbers_once(connection)
    statements = Path(__file__).with_name("0003_contracts.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements)


def _require_numbers_once(connection: Connection) -> None:
    found = connection.execute(_TWICE).all()
    if not found:
        return
    named = [f"{row.provider} {row.contract_id} ({row.ids})" for row in found[:_NAMED]]
    if len(found) > _NAMED:
        named.append(f"and {len(found) - _NAMED} more")
    raise Conflict(
        f"contract numbers are held more than once: {'; '.join(named)}. From this release on a "
        "provider's number belongs to one contract. Give all but one of each another number, as "
        "docs/operations.md says under Upgrade, and upgrade again; nothing was changed",
        constraint="uq_contract_provider_contract_id",
    )
