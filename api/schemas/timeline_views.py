"""What the API answers about what happened to a tenant, and about where all tenants stand."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from api.schemas.views import View
from control_plane.domain.standing_counts import StandingCount
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services.timelines import Moment


class MomentView(View):
    """One thing that happened, or a meeting ahead; `about` is a kind and an id.

    `tone` is `good`, `wrong`, `wait` or `plain`.
    """

    at: datetime
    what: str
    text: str
    tone: str
    about: str

    @classmethod
    def of(cls, moment: Moment) -> Self:
        """Return the view of a moment."""
        return cls.like(moment, about=" ".join(moment.about))


class StandingCountView(View):
    """How many tenants have a status and wait for somebody, and since when the first of them."""

    status: TenantStatus
    waiting_on: WaitingOn | None
    count: int
    drifted: int
    held: int
    since: datetime

    @classmethod
    def of(cls, found: StandingCount) -> Self:
        """Return the view of a count."""
        return cls.like(found)
