"""What is known of people's work over all tenants, and the objects that calendars read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from control_plane.domain.calendars.moments import Span
from control_plane.domain.invitation import Invitation
from control_plane.domain.staffing import Load


class Staffing(Protocol):
    """People's loads and meetings."""

    def loads(self) -> Mapping[str, Load]:
        """Return the load of everybody who was ever assigned, by their keys."""

    def busy(self, keys: Collection[str], after: datetime) -> Mapping[str, tuple[Span, ...]]:
        """Return when people have meetings that end after an instant."""


class InvitationWriter(Protocol):
    """Writes iCalendar objects (RFC 5545)."""

    def __call__(self, invitation: Invitation) -> str:
        """Return the object, with lines that end as the RFC wants it."""
