"""The port ``Outbox``: how much somebody got, and erasing what was said when its time has come."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.columns import quoted
from control_plane.adapters.db.faults import translated
from control_plane.domain.hold import HOLD_RULES
from control_plane.domain.message import OPEN_MESSAGE, UNSETTLED, MessageClass

_KEPT: Final = quoted(UNSETTLED | OPEN_MESSAGE)
_STOPPING: Final = quoted(kind for kind, rule in HOLD_RULES.items() if rule.stops_clocks)
_SENT_SINCE: Final = text("""
    SELECT count(*) FROM message
    WHERE lower(recipient_email) = lower(:email) AND message_class = ANY(:classes) AND id <> :but
        AND (status = 'sending' OR status = 'sent' AND settled_at > :instant)
""")
_ERASE_SETTLED: Final = text(f"""
    UPDATE message SET recipient_name = '', recipient_email = '', data = '{{}}', secrets = '{{}}',
        calendar_method = NULL, calendar_content = NULL, erased_at = :now, version = version + 1
    WHERE id IN (
        SELECT id FROM message
        WHERE settled_at < :before AND erased_at IS NULL AND status NOT IN ({_KEPT})
            AND NOT EXISTS (
                SELECT FROM hold WHERE hold.tenant_id = message.tenant_id
                    AND released_at IS NULL AND kind IN ({_STOPPING})
            )
        ORDER BY settled_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")  # noqa: S608 - our own words


class SqlOutbox:
    """The port ``Outbox`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sent_since(
        self, email: str, instant: datetime, *, classes: tuple[MessageClass, ...], but: str
    ) -> int:
        """Count what an address got since, of some classes, whichever tenant it was about."""
        given = {
            "email": email, "instant": instant, "classes": [str(each) for each in classes],
            "but": but,
        }  # fmt: skip
        with translated():
            return int(self._connection.execute(_SENT_SINCE, given).scalar_one())

    def erase_settled(self, before: datetime, now: datetime, *, limit: int) -> int:
        """Erase recipient and content of what was settled before; returns of how many."""
        given = {"before": before, "now": now, "most": limit}
        with translated():
            return self._connection.execute(_ERASE_SETTLED, given).rowcount
