"""What the API answers about one-time links; never a token."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from api.schemas.views import View
from control_plane.domain.onboarding_link import EndReason, LinkStatus
from control_plane.services.onboarding import LinkState


class OnboardingLinkView(View):
    """The newest one-time link of a tenant. Its token is in the mail to the IT admin alone."""

    id: str
    tenant_id: str
    status: LinkStatus
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    first_viewed_at: datetime | None
    codes_sent: int
    failures: int
    used_at: datetime | None
    replayed_at: datetime | None
    ended_at: datetime | None
    end_reason: EndReason | None
    ended_by: str | None
    links_issued: int
    allowed_actions: list[str]

    @classmethod
    def of(cls, state: LinkState) -> Self:
        """Return the view of a link."""
        return cls.like(
            state.link,
            codes_sent=state.link.code_number,
            links_issued=state.issued,
            allowed_actions=list(state.allowed_actions),
        )
