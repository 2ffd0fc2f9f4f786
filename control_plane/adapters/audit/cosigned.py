"""Checkpoints of the root log with the cosignatures of witnesses, as they are stored and served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from control_plane.adapters.db.audit_tables import audit_checkpoint
from control_plane.domain.deployment import ROOT


@dataclass(frozen=True, kw_only=True)
class CosignedCheckpoint:
    """A checkpoint of the root log; ``cosigs`` are {name, key_id, time, line} of each witness.

    ``quorum_at`` is the time since which a quorum vouches for it, None while none does.
    """

    size: int
    note: str
    cosigs: Sequence[Mapping[str, Any]]
    signed_at: datetime
    quorum_at: datetime | None

    def served(self) -> str:
        """Return the note with a signature line more of each witness."""
        return self.note + "".join(f"{item['line']}\n" for item in self.cosigs)


_CHECKPOINTS = (
    select(
        audit_checkpoint.c.size,
        audit_checkpoint.c.note,
        audit_checkpoint.c.cosigs,
        audit_checkpoint.c.signed_at,
        audit_checkpoint.c.quorum_at,
    )
    .where(audit_checkpoint.c.tenant_id == ROOT)
    .order_by(audit_checkpoint.c.size.desc())
    .limit(1)
)


def newest_root(connection: Connection) -> CosignedCheckpoint | None:
    """Return the newest checkpoint of the root log."""
    return _one(connection, _CHECKPOINTS)


def newest_quorum(connection: Connection) -> CosignedCheckpoint | None:
    """Return the newest checkpoint of the root log that a quorum of witnesses cosigned."""
    return _one(connection, _CHECKPOINTS.where(audit_checkpoint.c.quorum_at.is_not(None)))


def newest_cosigned(connection: Connection) -> CosignedCheckpoint | None:
    """Return the newest that a quorum cosigned, else that anybody did, else the newest."""
    has_any = _CHECKPOINTS.where(text("cosigs <> '[]'::jsonb"))  # as the index says
    return newest_quorum(connection) or _one(connection, has_any) or newest_root(connection)


def _one(connection: Connection, query: Any) -> CosignedCheckpoint | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else CosignedCheckpoint(**row._mapping)
