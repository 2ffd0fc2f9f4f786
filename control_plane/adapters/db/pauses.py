"""Whether the queue is paused, asked outside of a use case."""

from __future__ import annotations

from sqlalchemy import Connection, select

from control_plane.adapters.db.mapping import PAUSE
from control_plane.domain.queue_pause import QueuePause


def standing_pause(connection: Connection) -> QueuePause | None:
    """Return the pause of the queue that stands."""
    table = PAUSE.table
    row = connection.execute(select(table).where(table.c.resumed_at.is_(None))).one_or_none()
    return PAUSE.to_entity(row) if row is not None else None
