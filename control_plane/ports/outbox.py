"""Messages of the outbox, many at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from control_plane.domain.message import MessageClass


class Outbox(Protocol):
    """Rows of messages, one statement each."""

    def sent_since(
        self, email: str, instant: datetime, *, classes: tuple[MessageClass, ...], but: str
    ) -> int:
        """Count what an address got since, of some classes, whichever tenant it was about.

        What is being sent counts, except for the message ``but``.
        """

    def erase_settled(self, before: datetime, now: datetime, *, limit: int) -> int:
        """Erase recipient and content of what was settled before; returns of how many.

        What belongs to a tenant with a hold that stops dates stays.
        """
