"""The port ``Staffing``: people's loads and meetings, over all tenants."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.faults import translated
from control_plane.domain.calendars.moments import Span
from control_plane.domain.staffing import Load
from control_plane.domain.team import TeamRole

_LOADS: Final = text(f"""
    SELECT person_key,
        coalesce(sum(weight) FILTER (WHERE until IS NULL AND NOT is_queue_owner), 0) AS points,
        count(*) FILTER (
            WHERE until IS NULL AND role = '{TeamRole.EXECUTIVE_SPONSOR_PARTNER}'
                AND NOT is_queue_owner
        ) AS sponsored,
        max(since) AS last_at
    FROM assignment GROUP BY person_key
""")  # noqa: S608 - our own words
_BUSY: Final = text("""
    SELECT attendee ->> 'person' AS person, starts_at, ends_at
    FROM meeting, jsonb_array_elements(attendees) AS attendee
    WHERE status = 'invited' AND ends_at > :after AND attendee ->> 'person' = ANY(:keys)
    ORDER BY starts_at
""")


class SqlStaffing:
    """The port ``Staffing`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def loads(self) -> Mapping[str, Load]:
        """Return the load of everybody who was ever assigned, by their keys."""
        with translated():
            rows = self._connection.execute(_LOADS).all()
        return {
            row.person_key: Load(
                points=int(row.points), sponsored=int(row.sponsored), last_at=row.last_at
            )
            for row in rows
        }

    def busy(self, keys: Collection[str], after: datetime) -> Mapping[str, tuple[Span, ...]]:
        """Return when people have meetings that end after an instant."""
        with translated():
            rows = self._connection.execute(_BUSY, {"after": after, "keys": sorted(keys)}).all()
        found: dict[str, tuple[Span, ...]] = {}
        for row in rows:
            span = Span(start=row.starts_at, end=row.ends_at)
            found[row.person] = (*found.get(row.person, ()), span)
        return found
