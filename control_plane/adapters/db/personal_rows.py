"""Erasing what people wrote from the rows of removed tenants: one statement for each table.

A row of what is not over yet keeps what it needs to be ended; the daily look at retention comes
back to it. Nothing is erased of a tenant on which a legal or compliance hold stands.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.columns import quoted
from control_plane.adapters.db.faults import translated
from control_plane.domain.hold import STOPS_CLOCKS
from control_plane.domain.message import UNSETTLED
from control_plane.domain.personal_data import ERASED

_OF_REMOVED: Final = f"""
    tenant_id IN (
        SELECT tenant.id FROM tenant
        WHERE tenant.removed_at IS NOT NULL AND tenant.id = coalesce(:tenant, tenant.id)
            AND NOT EXISTS (
                SELECT FROM hold WHERE hold.tenant_id = tenant.id AND hold.released_at IS NULL
                    AND hold.kind IN ({quoted(STOPS_CLOCKS)})
            )
    )
"""  # noqa: S608 - our own words
_STATEMENTS: Final = tuple(
    text(statement.format(removed=_OF_REMOVED, erased=ERASED, unsettled=quoted(UNSETTLED)))
    for statement in (
        # what was answered to a task that has ended
        """
        UPDATE task SET answer = NULL, version = version + 1
        WHERE status <> 'open' AND answer IS NOT NULL AND {removed}
        """,
        # what people said of steps, and what these did, once nothing has to be taken back
        """
        UPDATE journey_step SET reason = CASE WHEN reason IS NOT NULL THEN '{erased}' END,
            result = '{{}}',
            error = CASE WHEN error IS NOT NULL THEN
                jsonb_build_object('code', error -> 'code', 'message', '{erased}') END,
            version = version + 1
        WHERE journey_id IN (SELECT id FROM journey WHERE status = 'canceled')
            AND (coalesce(reason, '{erased}') <> '{erased}' OR result <> '{{}}'
                OR error ->> 'message' <> '{erased}')
            AND {removed}
        """,
        """
        UPDATE journey SET reason = '{erased}', version = version + 1
        WHERE status = 'canceled' AND reason <> '{erased}' AND {removed}
        """,
        # what was answered in onboarding
        """
        UPDATE onboarding_step SET answers = '{{}}', version = version + 1
        WHERE answers <> '{{}}' AND {removed}
        """,
        """
        UPDATE onboarding_step_version SET answers = '{{}}' WHERE answers <> '{{}}' AND {removed}
        """,
        # what went out after the removal, such as that a meeting is called off
        """
        UPDATE message SET recipient_name = '', recipient_email = '', data = '{{}}',
            secrets = '{{}}', calendar_method = NULL, calendar_content = NULL, erased_at = :now,
            version = version + 1
        WHERE erased_at IS NULL AND status NOT IN ({unsettled}) AND {removed}
        """,
    )
)

# first answers that name the tenant or a bundle of it; a repetition is refused once it is removed
_ANSWERS: Final = text(f"""
    DELETE FROM idempotency_record WHERE EXISTS (
        SELECT FROM (
            SELECT id AS tenant_id, id AS named FROM tenant WHERE id = :tenant
            UNION ALL SELECT tenant_id, id FROM bundle WHERE tenant_id = :tenant
        ) AS known
        WHERE position(named IN response_body::text) > 0 AND {_OF_REMOVED}
    )
""")  # noqa: S608 - our own words


class SqlPersonalRows:
    """The port ``PersonalRows`` on one connection of the application."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def erase(self, now: datetime, tenant_id: str | None = None) -> int:
        """Erase what people wrote from rows of a removed tenant, or of all; returns how many.

        Answers to repeated requests are asked for one tenant alone: they end in two days anyway.
        """
        statements = _STATEMENTS if tenant_id is None else (*_STATEMENTS, _ANSWERS)
        given = {"tenant": tenant_id, "now": now}
        with translated():
            return sum(
                self._connection.execute(statement, given).rowcount for statement in statements
            )
