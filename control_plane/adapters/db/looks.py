"""The port ``Looks``: statements about many looks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select, text

from control_plane.adapters.db import mapping
from control_plane.adapters.db.columns import quoted
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.look_tables import residence, sweep_item
from control_plane.domain.residence import Residence
from control_plane.domain.run import LOOK_TRANSITIONS, TERMINAL_RUN
from control_plane.domain.sweep import SweepOutcome, SweepProgress

_ENDED: Final = quoted(LOOK_TRANSITIONS.keys() & TERMINAL_RUN)
_BRING_FORWARD: Final = text("""
    WITH due AS (
        UPDATE timer SET due_at = least(due_at, :now + random() * CAST(:spread AS interval))
        WHERE kind = 'drift_look'
            AND subject IN (SELECT id FROM deployment WHERE applied_spec > 0)
        RETURNING subject
    ), open AS (
        SELECT deployment_id FROM run
        WHERE kind = 'refresh' AND status IN ('blocked', 'requested', 'verifying')
    )
    INSERT INTO sweep_item (sweep_id, deployment_id)
    SELECT :sweep, subject FROM due UNION SELECT :sweep, deployment_id FROM open
""")
_SETTLE: Final = text("""
    UPDATE sweep_item SET outcome = :outcome WHERE deployment_id = :deployment AND outcome IS NULL
""")
_IS_SWEPT: Final = text("""
    SELECT EXISTS (SELECT FROM sweep_item WHERE deployment_id = :deployment AND outcome IS NULL)
""")
_FORGET_SWEEPS: Final = text("DELETE FROM sweep WHERE requested_at < :before")
# Whatever refers to a look keeps it; its calls, lines, evidence and timer go with it.
_FORGET_LOOKS: Final = text(f"""
    WITH old AS (
        SELECT id, evidence_id FROM run
        WHERE deployment_id = :deployment AND kind = 'refresh' AND status IN ({_ENDED})
            AND number <= (
                SELECT number FROM run
                WHERE deployment_id = :deployment AND kind = 'refresh'
                ORDER BY number DESC OFFSET :keep LIMIT 1
            )
    ), gone AS (
        SELECT old.id, old.evidence_id FROM old
        WHERE NOT EXISTS (
                SELECT FROM finding WHERE deployment_id = :deployment
                    AND old.id IN (first_seen_by, last_seen_by, closed_by)
            )
            AND NOT EXISTS (
                SELECT FROM residence WHERE deployment_id = :deployment
                    AND old.id IN (first_seen_by, last_seen_by)
            )
            AND NOT EXISTS (
                SELECT FROM run WHERE deployment_id = :deployment
                    AND old.id IN (supersedes, retry_of)
            )
            AND NOT EXISTS (
                SELECT FROM deployment WHERE id = :deployment AND evidence_id = old.evidence_id
            )
    ), timers AS (
        DELETE FROM timer USING gone WHERE timer.kind = 'run_details' AND timer.subject = gone.id
    ), calls AS (
        DELETE FROM engine_call USING gone
        WHERE engine_call.deployment_id = :deployment AND engine_call.run_id = gone.id
            AND engine_call.number < (
                SELECT max(number) FROM engine_call WHERE deployment_id = :deployment
            )
    ), lines AS (
        DELETE FROM run_event USING gone WHERE run_event.run_id = gone.id
    ), checks AS (
        DELETE FROM evidence USING gone WHERE evidence.id = gone.evidence_id
    )
    DELETE FROM run USING gone WHERE run.id = gone.id
""")  # noqa: S608 - our own words


class SqlLooks:
    """The port ``Looks``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def bring_forward(self, sweep_id: str, now: datetime, spread: timedelta) -> int:
        """Let every deployment that was applied be looked at within ``spread``; how many."""
        return self._changed(_BRING_FORWARD, sweep=sweep_id, now=now, spread=spread)

    def settle_item(self, deployment_id: str, outcome: SweepOutcome) -> int:
        """Say what became of a deployment's look in the sweeps that wait for it; of how many."""
        return self._changed(_SETTLE, deployment=deployment_id, outcome=str(outcome))

    def is_swept(self, deployment_id: str) -> bool:
        """Tell whether a sweep waits for a look at a deployment."""
        with translated():
            found = self._connection.execute(_IS_SWEPT, {"deployment": deployment_id})
            return bool(found.scalar_one())

    def progress(self, sweep_ids: Sequence[str]) -> Mapping[str, SweepProgress]:
        """Return how far some sweeps are."""
        counted: dict[str, dict[SweepOutcome | None, int]] = {each: {} for each in sweep_ids}
        query = (
            select(sweep_item.c.sweep_id, sweep_item.c.outcome, func.count())
            .where(sweep_item.c.sweep_id.in_(sweep_ids))
            .group_by(sweep_item.c.sweep_id, sweep_item.c.outcome)
        )
        with translated():
            for sweep_id, outcome, number in self._connection.execute(query):
                counted[sweep_id][outcome] = int(number)
        return {
            sweep_id: SweepProgress(
                outcomes={name: n for name, n in found.items() if name is not None},
                waiting=found.get(None, 0),
            )
            for sweep_id, found in counted.items()
        }

    def forget_sweeps(self, before: datetime) -> int:
        """Delete the sweeps that were requested before; how many."""
        return self._changed(_FORGET_SWEEPS, before=before)

    def forget_looks(self, deployment_id: str, *, keep: int) -> int:
        """Delete looks at a deployment that found nothing, but the newest ``keep``; how many."""
        return self._changed(_FORGET_LOOKS, deployment=deployment_id, keep=keep)

    def newest_residence(self, deployment_id: str) -> Residence | None:
        """Return the newest evidence of where a deployment is."""
        query = select(residence).where(residence.c.deployment_id == deployment_id)
        with translated():
            row = self._connection.execute(query.order_by(residence.c.id.desc()).limit(1)).first()
        return mapping.RESIDENCE.to_entity(row) if row is not None else None

    def _changed(self, statement: Any, **given: Any) -> int:
        with translated():
            return int(self._connection.execute(statement, given).rowcount)
