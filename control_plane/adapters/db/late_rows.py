"""The port ``LateRows``: what is late is found by when it was due, not among all that is open."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.journey_tables import STEP_IS_OPEN, journey_step, task
from control_plane.domain.task import TaskStatus


class SqlLateRows:
    """The port ``LateRows`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def journeys(
        self,
        now: datetime,
        *,
        limit: int,
        before: str | None = None,
        tenants: Collection[str | None] | None = None,
    ) -> Sequence[str]:
        """Return journeys with a step that is due and has not ended."""
        step = journey_step.c
        query = select(step.journey_id).distinct().where(STEP_IS_OPEN, step.due_at < now)
        return self._newest(query, step.journey_id, step.tenant_id, limit, before, tenants)

    def tasks(
        self,
        now: datetime,
        *,
        limit: int,
        before: str | None = None,
        tenants: Collection[str | None] | None = None,
        owners: Collection[str] | None = None,
    ) -> Sequence[str]:
        """Return open tasks that are due; with ``owners`` only theirs."""
        columns = task.c
        query = select(columns.id).where(columns.status == TaskStatus.OPEN, columns.due_at < now)
        if owners is not None:
            query = query.where(columns.owner.in_(list(owners)))
        return self._newest(query, columns.id, columns.tenant_id, limit, before, tenants)

    def _newest(
        self,
        query: Select[Any],
        key: ColumnElement[str],
        tenant: ColumnElement[str],
        limit: int,
        before: str | None,
        tenants: Collection[str | None] | None,
    ) -> Sequence[str]:
        if before is not None:
            query = query.where(key < before)
        if tenants is not None:
            among = tenant.in_([each for each in tenants if each is not None])
            query = query.where(or_(among, tenant.is_(None)) if None in tenants else among)
        with translated():
            return list(self._connection.execute(query.order_by(key.desc()).limit(limit)).scalars())
