"""A pause of the queue: while it stands nobody takes anything up, for maintenance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class QueuePause:
    """One pause. It begins once, ends once, and stays as a record; one stands at a time.

    What workers had taken up before continues; what is requested meanwhile waits.
    """

    id: str
    reason: str
    paused_by: str
    paused_at: datetime
    resumed_by: str | None = None
    resume_reason: str | None = None
    resumed_at: datetime | None = None
    version: int = 1

    def ended(self, by: str, reason: str, now: datetime) -> QueuePause:
        """Return the pause as somebody ends it."""
        return replace(
            self, resumed_by=by, resume_reason=reason, resumed_at=now, version=self.version + 1
        )
