"""Logs that the signer set aside: a finding that stays until a person has released it.

The signer takes a log up again by itself when its rows are in order. That it was not is what
somebody has to look into, so the finding outlives that.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.db.audit_tables import audit_quarantine
from control_plane.adapters.db.faults import translated
from control_plane.domain.actor import system
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.ids import RANDOM_BYTES, make_id
from control_plane.ports.quarantine import SetAside

_ROW = (
    audit_quarantine.c.id, audit_quarantine.c.tree, audit_quarantine.c.why,
    audit_quarantine.c.since, audit_quarantine.c.ended_at, audit_quarantine.c.released_at,
    audit_quarantine.c.released_by,
)  # fmt: skip
_IS_OPEN = audit_quarantine.c.released_at.is_(None)


class SqlQuarantine:
    """The port ``Quarantine`` on one connection of the application."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def found(self, tree: str | None, *, limit: int) -> Sequence[SetAside]:
        """Return those of a log, or of all, newest first; none of the open ones is left out."""
        query = select(*_ROW)
        if tree is not None:
            query = query.where(audit_quarantine.c.tree == tree)
        ordered = query.order_by(
            audit_quarantine.c.released_at.desc().nulls_first(), audit_quarantine.c.id.desc()
        )
        with translated():
            return [_finding(row) for row in self._connection.execute(ordered.limit(limit))]

    def open(self, tree: str) -> SetAside | None:
        """Return the finding of a log that nobody has released, locked."""
        query = select(*_ROW).where(audit_quarantine.c.tree == tree, _IS_OPEN)
        with translated():
            row = self._connection.execute(query.with_for_update()).one_or_none()
        return None if row is None else _finding(row)

    def release(self, finding: SetAside, *, by: str, at: datetime) -> SetAside:
        """Note that a person released it."""
        changed = update(audit_quarantine).where(audit_quarantine.c.id == finding.id)
        with translated():
            row = self._connection.execute(
                changed.values(released_at=at, released_by=by).returning(*_ROW)
            ).one()
        return _finding(row)


def _finding(row: Any) -> SetAside:
    return SetAside(**row._mapping)


class HeldTrees:
    """Keeps the findings for the signer, with an event of each in the platform's log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, str] | None = None  # what the database was told

    def note(self, reasons: Mapping[str, str], *, is_sweep: bool) -> None:
        """Note the trees that are held now, with reasons; by a sweep the others are in order.

        Raises what the database raises; the next call tries again.
        """
        if dict(reasons) == self._known and not (is_sweep and self._known is None):
            return
        with self._engine.begin() as connection:
            rows = connection.execute(select(*_ROW).where(_IS_OPEN)).all()
            standing = {row.tree: row for row in rows}
            for tree, why in reasons.items():
                row = standing.get(tree)
                if row is None or row.ended_at is not None:
                    self._set_aside(connection, tree, why)
            if is_sweep:
                for tree, row in standing.items():
                    if row.ended_at is None and tree not in reasons:
                        self._in_order(connection, tree)
        self._known = dict(reasons) if is_sweep else None

    def _set_aside(self, connection: Connection, tree: str, why: str) -> None:
        statement = insert(audit_quarantine).values(tree=tree, why=why)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["tree"], index_where=_IS_OPEN,
                set_={"why": statement.excluded.why, "ended_at": None},
            )
        )  # fmt: skip
        self._record(connection, "log.set_aside", {"log": tree, "why": why})

    def _in_order(self, connection: Connection, tree: str) -> None:
        connection.execute(
            update(audit_quarantine)
            .where(audit_quarantine.c.tree == tree, _IS_OPEN)
            .values(ended_at=func.clock_timestamp())
        )
        self._record(connection, "log.in_order", {"log": tree})

    def _record(self, connection: Connection, action: str, data: Mapping[str, Any]) -> None:
        now = datetime.now(UTC)
        event = AuditEvent(
            id=make_id("event", int(now.timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES)),
            tree=PLATFORM, action=action, stage=Stage.COMPLETED, time=now, actor=system("signer"),
            targets=(("audit_log", str(data["log"])),), data=data,
        )  # fmt: skip
        SqlAuditLog(connection).record(event)
