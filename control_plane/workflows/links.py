"""One-time links: issuing, revoking, expiring, and making their values for a mail."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from control_plane.domain.cause import Cause
from control_plane.domain.errors import Unavailable
from control_plane.domain.message import Recipient, SecretRef
from control_plane.domain.onboarding_errors import LinkNotNow, LinkTooSoon, NoItAdmin
from control_plane.domain.onboarding_link import (
    IT_ADMIN,
    LINK_LIFE,
    EndReason,
    LinkStatus,
    OnboardingLink,
    too_soon,
)
from control_plane.domain.removal_errors import AlreadyRemoved
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.workflows.core import Act, Core
from control_plane.workflows.outbox import post
from control_plane.workflows.recording import record

RETENTION: Final = "onboarding"
LINK_KIND: Final = "onboarding_link"  # of references to secrets in messages
CODE_KIND: Final = "onboarding_code"
_RECIPIENT: Final = "recipient"
_ATTEMPTS_KEPT: Final = timedelta(hours=1)
_SESSIONS_KEPT: Final = timedelta(days=90)
_LEAVING: Final = frozenset({TenantStatus.DEPROVISIONING, TenantStatus.DEPROVISIONED})
Contacts = Sequence[Mapping[str, str]]


# --- to whom, and whether -------------------------------------------------------------------------
def contacts_of(act: Act, tenant: Tenant) -> Contacts:
    """Return the contacts of the request that a tenant came from."""
    requests = act.uow.requests.find(tenant_id=tenant.id)
    return tuple(requests[-1].body.get("contacts") or ()) if requests else ()


def it_admins(contacts: Contacts) -> list[Mapping[str, str]]:
    """Return those who administer IT at the customer, in the order of the request."""
    return [each for each in contacts if each["role"] == IT_ADMIN and each.get("email")]


def in_the_way(tenant: Tenant) -> str | None:
    """Return in words what keeps a link from being issued now, None if nothing does."""
    if tenant.hold:
        return "a hold stands on the tenant"
    if tenant.status is TenantStatus.MODE_CONFLICT:
        return "the mode of the tenant has to be decided first"
    return None


def is_leaving(tenant: Tenant) -> bool:
    """Tell whether a tenant was removed, or is being removed."""
    return tenant.removed_at is not None or tenant.status in _LEAVING


def lock_of(tenant_id: str) -> str:
    """Return the name of what is taken before links of a tenant are issued or revoked."""
    return f"onboarding:{tenant_id}"


# --- issuing --------------------------------------------------------------------------------------
def issue(
    act: Act, tenant: Tenant, contacts: Contacts, *, by: str, cause: Cause | None = None
) -> OnboardingLink:
    """Issue a link to the first IT admin, revoke those before, and queue its mail.

    Raises ``LinkNotNow``, ``LinkTooSoon``, ``NoItAdmin`` and ``AlreadyRemoved``.
    """
    act.uow.serialize_on(lock_of(tenant.id))
    if is_leaving(tenant):
        raise AlreadyRemoved("the tenant was removed, or is being removed")
    obstacle = in_the_way(tenant)
    if obstacle is not None:
        raise LinkNotNow(f"no link is issued now: {obstacle}")
    found = it_admins(contacts)
    if not found:
        raise NoItAdmin("the request names nobody with the role it_admin")
    now, earlier = act.now(), act.uow.onboarding_links.find(tenant_id=tenant.id)
    wait = too_soon([each.issued_at for each in earlier], now)
    if wait is not None:
        raise LinkTooSoon(
            f"the next link can be issued at {wait.at:%Y-%m-%d %H:%M:%SZ}",
            retry_at=wait.at.isoformat(),
        )
    for each in earlier:
        if each.status is LinkStatus.ISSUED:
            _revoke(act, each, EndReason.REPLACED, by=by)
    link = _new(act, tenant, found[0], by=by, cause=cause)
    act.uow.onboarding_links.add(link)
    act.uow.timers.set(TimerKind.ONBOARDING_EXPIRY, link.id, link.expires_at)
    recipient = recipient_of(found[0])
    message = post(
        act, tenant=tenant, event="portal.link_issued", persona=IT_ADMIN, recipient=recipient,
        data={"expires_at": link.expires_at.isoformat()}, dedupe_key=f"{LINK_KIND}:{link.id}",
        cause=cause, secrets={"link": SecretRef(kind=LINK_KIND, id=link.id)},
    )  # fmt: skip
    record(
        act, "onboarding.issued",
        tree=tenant.id, targets=targets_of(link),
        personal={"recipient.name": recipient.name, "recipient.email": recipient.email},
        link=link.id, message=message.id, expires_at=link.expires_at.isoformat(),
        cause=cause.key if cause else None,
    )  # fmt: skip
    return link


def _new(
    act: Act, tenant: Tenant, contact: Mapping[str, str], *, by: str, cause: Cause | None
) -> OnboardingLink:
    keys, now = act.core.onboarding_keys, act.now()
    link_id, nonce = act.new_id("onboarding_link"), secrets.token_urlsafe(16)
    return OnboardingLink(
        id=link_id,
        tenant_id=tenant.id,
        recipient_hmac=keys.hidden(_RECIPIENT, contact["email"].lower()),
        nonce=nonce,
        secret_hmac=hidden_secret(act.core, link_id, keys.secret(link_id, nonce)),
        issued_by=by,
        issued_at=now,
        expires_at=now + LINK_LIFE,
        cause=cause,
    )


def recipient_of(contact: Mapping[str, str]) -> Recipient:
    """Return a contact as somebody who gets a message."""
    return Recipient(
        name=contact.get("name") or contact["email"],
        email=contact["email"],
        locale=contact.get("locale"),
    )


def registered(act: Act, link: OnboardingLink, tenant: Tenant) -> Recipient | None:
    """Return whom a link was issued for, None when the request does not have that address now."""
    keys = act.core.onboarding_keys
    for contact in it_admins(contacts_of(act, tenant)):
        if keys.hidden(_RECIPIENT, contact["email"].lower()) == link.recipient_hmac:
            return recipient_of(contact)
    return None


def hidden_secret(core: Core, link_id: str, secret: str) -> str:
    """Return what a row keeps of a token's secret."""
    return core.onboarding_keys.hidden("token", f"{link_id}.{secret}")


def hidden_code(core: Core, link_id: str, number: int, code: str) -> str:
    """Return what a row keeps of a code."""
    return core.onboarding_keys.hidden("code", f"{link_id}.{number}.{code}")


# --- ending ---------------------------------------------------------------------------------------
def revoke_all(
    act: Act, tenant_id: str, why: EndReason, *, by: str, reason: str | None = None
) -> int:
    """Revoke the links of a tenant that are valid or opened a session; returns how many."""
    act.uow.serialize_on(lock_of(tenant_id))
    standing = (LinkStatus.ISSUED, LinkStatus.USED)
    found = act.uow.onboarding_links.find(tenant_id=tenant_id, status=standing)
    for each in found:
        _revoke(act, each, why, by=by, reason=reason)
    return len(found)


def _revoke(
    act: Act, link: OnboardingLink, why: EndReason, *, by: str, reason: str | None = None
) -> None:
    locked = act.uow.onboarding_links.need(link.id, lock=True)
    if locked.status not in {LinkStatus.ISSUED, LinkStatus.USED}:
        return
    act.uow.onboarding_links.save(
        locked.moved(LinkStatus.REVOKED, act.now(), end_reason=why, ended_by=by)
    )
    sessions = act.uow.onboarding_sessions.find(link_id=link.id, ended_at=None)
    for session in sessions:
        act.uow.onboarding_sessions.save(session.ended(act.now()))
    record(
        act, "onboarding.revoked",
        tree=link.tenant_id, targets=targets_of(link),
        personal={"reason": reason} if reason else None,
        link=link.id, why=str(why), sessions=len(sessions),
    )  # fmt: skip


def expire(act: Act, link: OnboardingLink) -> OnboardingLink:
    """End a locked link whose time has come, so that no clock makes it valid again."""
    expired = link.moved(LinkStatus.EXPIRED, act.now())
    act.uow.onboarding_links.save(expired)
    record(
        act, "onboarding.expired", tree=link.tenant_id, targets=targets_of(link), link=link.id
    )  # fmt: skip
    return expired


def expire_when_due(act: Act, link_id: str) -> None:
    """End a link whose time has come; a timer asks for it."""
    link = act.uow.onboarding_links.get(link_id, lock=True)
    if link is not None and link.is_due(act.now()):
        expire(act, link)


def forget_visits(act: Act, *, limit: int) -> int:
    """Remove counts of attempts and sessions whose time has come; returns of how many."""
    now = act.now()
    attempts = act.uow.onboarding.forget_attempts(now - _ATTEMPTS_KEPT, limit=limit)
    return max(attempts, act.uow.onboarding.forget_sessions(now - _SESSIONS_KEPT, limit=limit))


def targets_of(link: OnboardingLink) -> tuple[tuple[str, str], ...]:
    """Return what an event about a link is about."""
    return (("tenant", link.tenant_id), ("onboarding_link", link.id))


# --- for a mail -----------------------------------------------------------------------------------
def link_value(core: Core, link_id: str) -> str | None:
    """Return the address that a mail names, None when the link is not valid any more.

    Raises ``Unavailable`` where this process has another key than the one that issued it: the mail
    waits, rather than name an address that nobody takes.
    """
    with core.act() as act:
        link = act.uow.onboarding_links.get(link_id)
        now = act.now()
    if link is None or link.nonce is None or link.is_due(now):
        return None
    keys = core.onboarding_keys
    secret = keys.secret(link.id, link.nonce)
    if hidden_secret(core, link.id, secret) != link.secret_hmac:
        raise Unavailable(
            "the onboarding key of this process is not the one that the link was issued with"
        )
    return f"{keys.portal_url}/onboarding/{link.id}.{secret}"


def code_value(core: Core, reference: str) -> str | None:
    """Return a code by ``LINK.NUMBER``, None when it is not valid any more."""
    link_id, _, number = reference.partition(".")
    with core.act() as act:
        link = act.uow.onboarding_links.get(link_id)
        now = act.now()
    if link is None or link.nonce is None or link.is_due(now) or not link.has_code(now):
        return None
    if number != str(link.code_number):
        return None
    return core.onboarding_keys.code(link.id, link.nonce, link.code_number)
