"""What is late, many at a time: the newest journeys and tasks that should have ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol


class LateRows(Protocol):
    """Ids of what should have ended by now, one statement each, newest id first.

    ``tenants`` are those that count, None all of them; None among them is what belongs to none.
    """

    def journeys(
        self,
        now: datetime,
        *,
        limit: int,
        before: str | None = None,
        tenants: Collection[str | None] | None = None,
    ) -> Sequence[str]:
        """Return journeys with a step that is due and has not ended."""

    def tasks(
        self,
        now: datetime,
        *,
        limit: int,
        before: str | None = None,
        tenants: Collection[str | None] | None = None,
        owners: Collection[str] | None = None,
    ) -> Sequence[str]:
        """Return open tasks that are due; with ``owners`` only theirs."""
