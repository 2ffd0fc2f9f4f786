"""The table of timers: claimed by one worker at a time, at least once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.run_tables import timer
from control_plane.domain.timers import Timer, TimerKind

# made once: making a statement costs more than it does
_new: Final = insert(timer)
_SET: Final = _new.on_conflict_do_update(
    index_elements=[timer.c.kind, timer.c.subject], set_={"due_at": _new.excluded.due_at}
)
_DUE: Final = (
    select(timer.c.kind, timer.c.subject)
    .where(timer.c.due_at <= bindparam("now", type_=timer.c.due_at.type))
    .order_by(timer.c.due_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = (
    timer.update()
    .where(tuple_(timer.c.kind, timer.c.subject).in_(_DUE))
    .values(due_at=bindparam("until", type_=timer.c.due_at.type))
    .returning(timer.c.kind, timer.c.subject)
)
_CANCEL: Final = timer.delete().where(
    timer.c.kind == bindparam("of_kind", type_=timer.c.kind.type),
    timer.c.subject == bindparam("of_subject", type_=timer.c.subject.type),
)
_FINISH: Final = _CANCEL.where(timer.c.due_at == bindparam("claimed", type_=timer.c.due_at.type))


def _named(kind: TimerKind, subject: str) -> dict[str, str]:
    return {"of_kind": kind, "of_subject": subject}


class SqlTimers:
    """The port ``Timers``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, kind: TimerKind, subject: str, due_at: datetime) -> None:
        """Let it fall due at ``due_at``, whenever it was due before."""
        with translated():
            self._connection.execute(_SET, {"kind": kind, "subject": subject, "due_at": due_at})

    def due(self, kind: TimerKind, subjects: Sequence[str]) -> Mapping[str, datetime]:
        """Return when the timers of a kind of some subjects fall due, of those that have one."""
        query = select(timer.c.subject, timer.c.due_at).where(
            timer.c.kind == kind, timer.c.subject.in_(list(subjects))
        )
        with translated():
            return dict(tuple(row) for row in self._connection.execute(query))

    def claim(self, now: datetime, *, until: datetime, limit: int) -> Sequence[Timer]:
        """Take timers that are due; if nothing becomes of it they fall due again at ``until``."""
        given = {"now": now, "until": until, "most": limit}
        with translated():
            rows = self._connection.execute(_CLAIM, given).all()
        return [Timer(kind=kind, subject=subject, due_at=until) for kind, subject in rows]

    def finish(self, claimed: Timer) -> None:
        """Remove a claimed timer, unless it was set again meanwhile."""
        given = {**_named(claimed.kind, claimed.subject), "claimed": claimed.due_at}
        with translated():
            self._connection.execute(_FINISH, given)

    def cancel(self, kind: TimerKind, subject: str) -> None:
        """Remove a timer, if there is one."""
        with translated():
            self._connection.execute(_CANCEL, _named(kind, subject))
