"""The one-time link of a tenant, for those who look after it; ``portal.py`` has its pages."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import CallerDep, SharedDep, WriterDep
from api.schemas import requests as bodies
from api.schemas.onboarding_views import OnboardingLinkView
from api.strict_json import StrictRoute
from control_plane.services import onboarding
from control_plane.services.performing import perform

router = APIRouter(prefix="/v1", tags=["onboarding"], route_class=StrictRoute)


@router.get("/tenants/{key}/onboarding-link")
def get_link(have: SharedDep, who: CallerDep, key: str) -> OnboardingLinkView:
    """Show the newest one-time link of a tenant, without its token."""
    return OnboardingLinkView.of(perform(have.core, who, onboarding.get_link, key))


@router.post("/tenants/{key}/onboarding-link", status_code=201)
def issue_link(have: SharedDep, who: WriterDep, key: str) -> OnboardingLinkView:
    """Issue a link and mail it to the IT admin; it revokes the one before.

    Repeated within a minute it is refused, so that a repetition after a timeout sends no second
    mail.
    """
    return OnboardingLinkView.of(perform(have.core, who, onboarding.issue_link, key))


@router.delete("/tenants/{key}/onboarding-link")
def revoke_link(
    have: SharedDep, who: WriterDep, key: str, body: bodies.Explained
) -> OnboardingLinkView:
    """Revoke the link of a tenant, and end the session that it opened."""
    found = perform(have.core, who, onboarding.revoke_link, key, reason=body.reason)
    return OnboardingLinkView.of(found)
