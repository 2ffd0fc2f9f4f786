"""A meeting to which people were invited, and what their calendars receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from control_plane.domain.cause import Cause
from control_plane.domain.documents import Documented, Readers
from control_plane.domain.transitions import move

KICKOFF: Final = "kickoff"
REQUEST: Final = "REQUEST"
CANCEL: Final = "CANCEL"


class MeetingStatus(StrEnum):
    """Where a meeting stands."""

    INVITED = "invited"
    CANCELED = "canceled"  # terminal


MEETING_TRANSITIONS: Final[Mapping[MeetingStatus, frozenset[MeetingStatus]]] = {
    MeetingStatus.INVITED: frozenset({MeetingStatus.CANCELED}),
    MeetingStatus.CANCELED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Participant(Documented):
    """Somebody who is invited; ``key`` is once in a meeting, and names nobody.

    ``person`` is the key of somebody of the vendor, None for the customer's people.
    """

    _readers: ClassVar[Readers] = {"roles": tuple}

    key: str
    roles: tuple[str, ...]
    name: str = field(repr=False)
    email: str = field(repr=False)
    locale: str | None = None
    person: str | None = None


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A meeting of a tenant. ``uid`` stays, ``sequence`` grows with each change (RFC 5546, 2.1.4).

    ``zone`` is that of the customer's clocks. ``missing`` are roles that nobody was invited for.
    """

    id: str
    tenant_id: str
    kind: str
    uid: str
    sequence: int = 0
    status: MeetingStatus = MeetingStatus.INVITED
    title: str
    starts_at: datetime
    ends_at: datetime
    zone: str
    attendees: tuple[Participant, ...] = field(repr=False)
    missing: tuple[str, ...] = ()
    cause: Cause | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def moved(self, starts_at: datetime, now: datetime) -> Self:
        """Return it at another time, as long as it was."""
        ends_at = starts_at + (self.ends_at - self.starts_at)
        return self._changed(now, starts_at=starts_at, ends_at=ends_at)

    def attended_by(self, attendees: tuple[Participant, ...], now: datetime) -> Self:
        """Return it with other people."""
        return self._changed(now, attendees=attendees)

    def canceled(self, now: datetime) -> Self:
        """Return it as it was called off. Raises ``IllegalTransition``."""
        move(MEETING_TRANSITIONS, self.status, MeetingStatus.CANCELED, subject=self.id)
        return self._changed(now, status=MeetingStatus.CANCELED)

    def erased(self, now: datetime) -> Self:
        """Return it without the people."""
        return replace(self, attendees=(), updated_at=now, version=self.version + 1)

    def _changed(self, now: datetime, **changes: Any) -> Self:
        return replace(
            self,
            **changes,
            sequence=self.sequence + 1,
            updated_at=now,
            version=self.version + 1,
        )


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What a calendar receives about a meeting: RFC 5545, with the method of RFC 5546."""

    method: str
    meeting: Meeting
    attendees: tuple[Participant, ...]
    organizer_name: str
    organizer_email: str
    stamped_at: datetime
