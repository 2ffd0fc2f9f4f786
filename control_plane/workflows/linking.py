"""The actions of playbooks that are about the one-time link."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.onboarding_errors import LinkTooSoon
from control_plane.domain.onboarding_link import EndReason
from control_plane.workflows import links
from control_plane.workflows.core import Act
from control_plane.workflows.step_actions import (
    NO_MAIL,
    ActInRows,
    ActionHandler,
    ActionOutcome,
    Asks,
    Did,
    Given,
    NotNeeded,
    StillWaits,
)

_AGAIN: Final = timedelta(hours=1)  # at the latest: a release or a decision asks again at once
_ASK: Final = (
    "The signed contract names nobody who administers IT at {company}, so the link to the "
    "onboarding portal was not sent. Ask the customer for name and e-mail address, let the contact "
    "be added, and retry the step."
)


def issue_link(act: Act, given: Given) -> ActionOutcome:
    """Issue the link to the first IT admin, once for each round of the step.

    Nobody but its mail brings the link, so without mail there is none.
    """
    for link in act.uow.onboarding_links.find(tenant_id=given.tenant.id):
        if link.cause is not None and link.cause.key == given.cause.key:
            return Did(result={"link": link.id, "expires_at": link.expires_at.isoformat()})
    if links.is_leaving(given.tenant):
        return NotNeeded(why="the tenant was removed, or is being removed")
    if act.core.systems.mailer is None:
        return NO_MAIL
    admins = links.it_admins(given.contacts)
    if not admins:
        return Asks(
            title="Find the IT admin",
            instructions=_ASK.format(company=given.tenant.legal_name),
            owner="sales",
        )
    obstacle = links.in_the_way(given.tenant)
    if obstacle is not None:
        return StillWaits(says=obstacle, until=act.now() + _AGAIN)
    try:
        link = links.issue(
            act, given.tenant, given.contacts, by=given.cause.journey_id, cause=given.cause
        )
    except LinkTooSoon as error:
        until = datetime.fromisoformat(str(error.data["retry_at"]))
        return StillWaits(says=error.message, until=until)
    result = {"link": link.id, "expires_at": link.expires_at.isoformat()}
    if len(admins) > 1:
        result["says"] = f"there are {len(admins)} IT admins; the link goes to the first of them"
    return Did(result=result)


def revoke_link(act: Act, given: Given) -> ActionOutcome:
    """Revoke the links of the tenant, and end the sessions that they opened."""
    count = links.revoke_all(act, given.tenant.id, EndReason.UNDONE, by=given.cause.journey_id)
    return Did(result={"revoked": count}) if count else NotNeeded(why="no link is valid")


ACTIONS: Final[Mapping[str, ActionHandler]] = {
    "link.issue": ActInRows(issue_link),
    "link.revoke": ActInRows(revoke_link),
}
