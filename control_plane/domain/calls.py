"""Records of engine calls: who makes them, where, until when. The newest one owns the stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class CallOutcome(StrEnum):
    """How a call ended."""

    ENDED = "ended"  # with an answer, good or bad
    DIED = "died"  # without one


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One engine call of a run.

    ``number`` counts the calls of the deployment: what a call writes is refused when a higher one
    exists. ``host`` is where its processes are. After ``deadline_at`` the call has stopped its
    engine, even if nobody can see it.
    """

    id: str
    run_id: str
    deployment_id: str
    number: int
    worker: str
    host: str
    begun_at: datetime
    deadline_at: datetime
    ended_at: datetime | None = None
    outcome: CallOutcome | None = None
    version: int = 1

    @property
    def is_unanswered(self) -> bool:
        """Whether its process died, or the one that began it has not said that it ended."""
        return self.outcome is not CallOutcome.ENDED

    def until(self, deadline_at: datetime) -> CallRecord:
        """Return the record with another deadline, once more is known of what remains of the
        call."""
        return replace(self, deadline_at=deadline_at, version=self.version + 1)

    def ended(self, outcome: CallOutcome, now: datetime) -> CallRecord:
        """Return the record of a call that has ended."""
        return replace(self, outcome=outcome, ended_at=now, version=self.version + 1)
