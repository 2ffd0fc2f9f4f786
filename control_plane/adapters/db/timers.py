"""The table of timers: claimed by one worker at a time, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.run_tables import timer
from control_plane.domain.timers import Timer, TimerKind

_new: Final = insert(timer)
_SET: Final = _new.on_conflict_do_update(
    index_elements=[timer.c.kind, timer.c.subject], set_={"due_at": _new.excluded.due_at}
)


class SqlTimers:
    """The port ``Timers``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, kind: TimerKind, subject: str, due_at: datetime) -> None:
        """Let it fall due at ``due_at``, whenever it was due before."""
        with translated():
            self._connection.execute(_SET, {"kind": kind, "subject": subject, "due_at": due_at})

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[Timer]:
        """Take timers that are due; if nothing becomes of it they fall due again at ``until``."""
        due = (
            select(timer.c.kind, timer.c.subject)
            .where(timer.c.due_at <= now)
            .order_by(timer.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            timer.update()
            .where(tuple_(timer.c.kind, timer.c.subject).in_(due))
            .values(due_at=until)
            .returning(timer.c.kind, timer.c.subject)
        )
        with translated():
            rows = self._connection.execute(statement).all()
        return [Timer(kind=kind, subject=subject, due_at=until) for kind, subject in rows]

    def finish(self, claimed: Timer) -> None:
        """Remove a claimed timer, unless it was set again meanwhile."""
        statement = timer.delete().where(
            timer.c.kind == claimed.kind,
            timer.c.subject == claimed.subject,
            timer.c.due_at == claimed.due_at,
        )
        with translated():
            self._connection.execute(statement)

    def cancel(self, kind: TimerKind, subject: str) -> None:
        """Remove a timer, if there is one."""
        statement = timer.delete().where(timer.c.kind == kind, timer.c.subject == subject)
        with translated():
            self._connection.execute(statement)
