"""The one-time link of a tenant, for those who look after it: shown, issued again, revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.errors import InvalidInput, NotFound
from control_plane.domain.onboarding_link import EndReason, LinkStatus, OnboardingLink
from control_plane.domain.tenant import Tenant
from control_plane.services.permission import require_role
from control_plane.services.tenants import get_tenant
from control_plane.workflows import links
from control_plane.workflows.core import Act
from control_plane.workflows.recording import refused_as

# there is no role of a customer success manager yet
ISSUERS: Final = (Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
_STANDING: Final = frozenset({LinkStatus.ISSUED, LinkStatus.USED})


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """The newest link of a tenant, and what its caller may do. There is no token in it."""

    tenant: Tenant
    link: OnboardingLink
    issued: int  # how many there were
    allowed_actions: tuple[str, ...]


def get_link(act: Act, key: str) -> LinkState:
    """Return the newest link of a tenant. Raises ``NotFound`` also where it had none."""
    return _state(act, get_tenant(act, key))


def issue_link(act: Act, key: str) -> LinkState:
    """Issue a link to the tenant's IT admin; it revokes the one before.

    Raises ``LinkNotNow``, ``LinkTooSoon``, ``NoItAdmin``, ``AlreadyRemoved``.
    """
    tenant = get_tenant(act, key)
    require_role(act, *ISSUERS, wanted="onboarding_links.create", tree=tenant.id)
    with refused_as(
        act, "onboarding.refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        wanted="issue",
    ):  # fmt: skip
        locked = act.uow.tenants.need(tenant.id, lock=True)
        links.issue(act, locked, links.contacts_of(act, locked), by=act.caller.actor.id)
        return _state(act, locked)


def revoke_link(act: Act, key: str, *, reason: str) -> LinkState:
    """Revoke the link of a tenant, and end the sessions that it opened.

    Raises ``NotFound`` where nothing is left to revoke.
    """
    tenant = get_tenant(act, key)
    require_role(act, *ISSUERS, wanted="onboarding_links.revoke", tree=tenant.id)
    with refused_as(
        act, "onboarding.refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        wanted="revoke",
    ):  # fmt: skip
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        count = links.revoke_all(
            act, tenant.id, EndReason.BY_PERSON, by=act.caller.actor.id, reason=reason.strip()
        )
        if not count:
            raise NotFound("this tenant has no link that could be revoked")
        return _state(act, tenant)


def _state(act: Act, tenant: Tenant) -> LinkState:
    found = act.uow.onboarding_links.find(tenant_id=tenant.id)
    if not found:
        raise NotFound("no link was issued for this tenant")
    newest = max(found, key=lambda each: each.id)
    return LinkState(
        tenant=tenant,
        link=newest,
        issued=len(found),
        allowed_actions=_possible(tenant, newest, act.caller.actor),
    )


def _possible(tenant: Tenant, newest: OnboardingLink, actor: Actor) -> tuple[str, ...]:
    if not actor.has(*ISSUERS):
        return ()
    may_issue = not links.is_leaving(tenant) and links.in_the_way(tenant) is None
    possible = {"issue": may_issue, "revoke": newest.status in _STANDING}
    return tuple(action for action, is_possible in possible.items() if is_possible)
