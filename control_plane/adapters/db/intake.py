"""The port ``Deliveries``: keeping what is posted, and erasing it when its time has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.db import mapping
from control_plane.adapters.db.columns import KEY, Moment, quoted
from control_plane.adapters.db.delivery_tables import delivery
from control_plane.adapters.db.faults import translated
from control_plane.domain.delivery import OPEN_DELIVERY, Delivery
from control_plane.domain.hold import HOLD_RULES
from control_plane.domain.reconciling import READ_BACK
from control_plane.ports.intake import Posted

_OPEN: Final = quoted(OPEN_DELIVERY)
_STOPPING: Final = quoted(kind for kind, rule in HOLD_RULES.items() if rule.stops_clocks)
_new: Final = insert(delivery)
_KEEP: Final = _new.on_conflict_do_update(
    index_elements=[delivery.c.dedupe_key],
    set_={
        "times_received": delivery.c.times_received + 1,
        "last_received_at": func.greatest(
            delivery.c.last_received_at, _new.excluded.last_received_at
        ),
    },
).returning(delivery.c.id, literal_column("(xmax = 0)").label("is_new"))
_POSTED: Final = (
    select(delivery.c.id, delivery.c.envelope_id, delivery.c.event, delivery.c.tenant_id)
    .where(
        delivery.c.source == bindparam("source"),
        delivery.c.id > bindparam("after", type_=KEY),
        delivery.c.received_at < bindparam("before", type_=Moment),
        delivery.c.key_name != READ_BACK,
    )
    .order_by(delivery.c.id)
    .limit(bindparam("most"))
)
_ERASE_SETTLED: Final = text(f"""
    UPDATE delivery SET body = NULL, version = version + 1 WHERE id IN (
        SELECT id FROM delivery
        WHERE settled_at < :before AND body IS NOT NULL AND status NOT IN ({_OPEN}, 'received')
            AND NOT EXISTS (
                SELECT FROM hold WHERE hold.tenant_id = delivery.tenant_id
                    AND released_at IS NULL AND kind IN ({_STOPPING})
            )
        ORDER BY settled_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")  # noqa: S608 - our own words
_FORGET_UNSIGNED: Final = text("""
    DELETE FROM delivery WHERE id IN (
        SELECT id FROM delivery WHERE key_name IS NULL AND last_received_at < :before
        ORDER BY last_received_at LIMIT :most
    )
""")
_ERASE_OF_TENANT: Final = text(f"""
    UPDATE delivery SET body = NULL, version = version + 1
    WHERE tenant_id = :tenant AND body IS NOT NULL AND status NOT IN ({_OPEN}, 'received')
""")  # noqa: S608 - our own words


class SqlIntake:
    """The port ``Deliveries`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def keep(self, posted: Delivery) -> tuple[str, bool]:
        """Keep what was posted, or count it; returns its id, and whether it is new."""
        with translated():
            row = self._connection.execute(_KEEP, mapping.DELIVERY.to_row(posted)).one()
        return str(row.id), bool(row.is_new)

    def posted_after(
        self, source: str, after: str, *, before: datetime, limit: int
    ) -> Sequence[Posted]:
        """Return what a source posted, by ids after ``after``, received before an instant."""
        given = {"source": source, "after": after, "before": before, "most": limit}
        with translated():
            rows = self._connection.execute(_POSTED, given)
            return [Posted(**row) for row in rows.mappings()]

    def erase_settled(self, before: datetime, *, limit: int) -> int:
        """Erase the content of what was settled before; returns of how many."""
        with translated():
            given = {"before": before, "most": limit}
            return self._connection.execute(_ERASE_SETTLED, given).rowcount

    def forget_unsigned(self, before: datetime, *, limit: int) -> int:
        """Delete what nobody signed and nobody sent since; returns how many."""
        with translated():
            given = {"before": before, "most": limit}
            return self._connection.execute(_FORGET_UNSIGNED, given).rowcount

    def erase_of_tenant(self, tenant_id: str) -> int:
        """Erase the content of what a tenant was made of; returns of how many."""
        with translated():
            return self._connection.execute(_ERASE_OF_TENANT, {"tenant": tenant_id}).rowcount
