"""The port ``Onboarding``: what must be decided by one statement, whatever happens beside it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from control_plane.adapters.db.faults import translated

_REDEEM: Final = text("""
    UPDATE onboarding_link SET status = 'used', used_at = :now, used_from = :used_from,
        ended_at = :now, nonce = NULL, code_hmac = NULL, code_expires_at = NULL,
        version = version + 1
    WHERE id = :id AND status = 'issued' AND used_at IS NULL AND expires_at > :now
        AND code_hmac = :code_hmac AND code_expires_at > :now AND failures < 5
""")
_VIEW: Final = text("""
    UPDATE onboarding_link SET first_viewed_at = :now, version = version + 1
    WHERE id = :id AND first_viewed_at IS NULL
""")
_COUNT: Final = text("""
    INSERT INTO onboarding_attempt (source, minute, attempts) VALUES (:source, :minute, 1)
    ON CONFLICT (source, minute) DO UPDATE SET attempts = onboarding_attempt.attempts + 1
    RETURNING attempts
""")
_FORGET_ATTEMPTS: Final = text("""
    DELETE FROM onboarding_attempt WHERE ctid IN (
        SELECT ctid FROM onboarding_attempt WHERE minute < :before LIMIT :most
    )
""")
_FORGET_SESSIONS: Final = tuple(
    text(f"""
        DELETE FROM {table} WHERE id IN (
            SELECT id FROM {table} WHERE expires_at < :before LIMIT :most
        )
    """)  # noqa: S608 - names of ours
    for table in ("onboarding_session", "console_session")
)


class SqlOnboarding:
    """The port ``Onboarding`` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def redeem(self, link_id: str, *, code_hmac: str, used_from: str, now: datetime) -> bool:
        """Make a link used if it may be; tells whether it was."""
        given = {"id": link_id, "code_hmac": code_hmac, "used_from": used_from, "now": now}
        with translated():
            return self._connection.execute(_REDEEM, given).rowcount == 1

    def view(self, link_id: str, now: datetime) -> bool:
        """Note that a link was seen; tells whether that was the first time."""
        with translated():
            return self._connection.execute(_VIEW, {"id": link_id, "now": now}).rowcount == 1

    def count(self, source: str, now: datetime) -> int:
        """Count an attempt of a source in this minute."""
        given = {"source": source, "minute": now.replace(second=0, microsecond=0)}
        with translated():
            return int(self._connection.execute(_COUNT, given).scalar_one())

    def forget_attempts(self, before: datetime, *, limit: int) -> int:
        """Remove counts of minutes before."""
        given = {"before": before, "most": limit}
        with translated():
            return self._connection.execute(_FORGET_ATTEMPTS, given).rowcount

    def forget_sessions(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before, of the portal and of the console."""
        given = {"before": before, "most": limit}
        with translated():
            return max(self._connection.execute(each, given).rowcount for each in _FORGET_SESSIONS)
