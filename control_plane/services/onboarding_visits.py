"""What the holder of a one-time link does: opens it, has a code sent, redeems it, looks around.

Nobody here has a token of the API. Why a link is not taken is in the audit log; the caller gets the
same answer for every reason, since each would tell a stranger something.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import Stage
from control_plane.domain.errors import DomainError
from control_plane.domain.message import SecretRef
from control_plane.domain.onboarding_link import (
    ALARM_A_MINUTE,
    APART,
    ATTEMPTS_A_MINUTE,
    CODES,
    IT_ADMIN,
    SESSION_LIFE,
    EndReason,
    LinkStatus,
    OnboardingLink,
    OnboardingSession,
    network_of,
    read_code,
    read_session,
    read_token,
)
from control_plane.domain.tenant import Tenant
from control_plane.logging import get_logger
from control_plane.workflows import links
from control_plane.workflows.core import Act
from control_plane.workflows.outbox import post
from control_plane.workflows.recording import record

log = get_logger()
_EVERYBODY: Final = "*"
_NOTHING: Final = "0" * 64


class Outcome(StrEnum):
    """What a caller gets to know."""

    GOOD = "good"
    UNUSABLE = "unusable"  # whatever the reason
    NO_CODE = "no_code"  # no code was sent, it is too old, or what was typed cannot be one
    WRONG_CODE = "wrong_code"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A link that is valid, for its page. ``locale`` is that of the contact, if known."""

    link: OnboardingLink
    company: str
    locale: str | None
    has_code: bool
    can_send_code: bool


@dataclass(frozen=True, kw_only=True)
class Redeemed:
    """How a redemption ended; ``token`` opens the session and is given this once."""

    outcome: Outcome
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What the portal shows after a link was redeemed."""

    tenant: Tenant
    session: OnboardingSession
    name: str | None
    locale: str | None


# --- limits ---------------------------------------------------------------------------------------
def admit(act: Act) -> bool:
    """Count an attempt of the caller's address; tells whether it may continue.

    The count of all addresses raises an alarm, once in a minute.
    """
    now = act.now()
    hidden = act.core.onboarding_keys.hidden("address", act.caller.address or "unknown")
    mine, all_of_them = act.uow.onboarding.count(hidden, now), 0
    if mine <= ATTEMPTS_A_MINUTE:
        all_of_them = act.uow.onboarding.count(_EVERYBODY, now)
    if all_of_them == ALARM_A_MINUTE + 1:
        log.error("onboarding.alarm", attempts=all_of_them)
        record(act, "onboarding.alarm", tree=None, attempts=all_of_them)
    return mine <= ATTEMPTS_A_MINUTE


# --- the link -------------------------------------------------------------------------------------
def view_link(act: Act, token: str) -> Visit | None:
    """Return what the page of a link shows, None for one that cannot be used."""
    link, tenant, reason = _opened(act, token, lock=False)
    if link is None or tenant is None or reason is not None:
        _reject(act, link, reason or "unknown")
        return None
    if act.uow.onboarding.view(link.id, act.now()):
        record(
            holder_of(act, link), "onboarding.viewed",
            tree=link.tenant_id, targets=links.targets_of(link), link=link.id,
        )  # fmt: skip
    recipient = links.registered(act, link, tenant)
    now = act.now()
    return Visit(
        link=link,
        company=tenant.legal_name,
        locale=recipient.locale if recipient else None,
        has_code=link.has_code(now),
        can_send_code=_may_send(link, now),
    )


def send_code(act: Act, token: str) -> Outcome:
    """Send the next code to the mailbox that the link was sent to, unless one was just sent."""
    link, tenant, reason = _opened(act, token, lock=True)
    if link is None or tenant is None or link.nonce is None or reason is not None:
        _reject(act, link, reason or "unknown")
        return Outcome.UNUSABLE
    recipient = links.registered(act, link, tenant)
    if recipient is None:
        _reject(act, link, "address_changed")
        return Outcome.UNUSABLE
    now = act.now()
    if not _may_send(link, now):
        _reject(act, link, "code_too_soon")
        return Outcome.GOOD  # the page says that a code is on its way, or how to get another link
    number = link.code_number + 1
    code = act.core.onboarding_keys.code(link.id, link.nonce, number)
    sent = link.with_code(links.hidden_code(act.core, link.id, number, code), now)
    act.uow.onboarding_links.save(sent)
    message = post(
        act, tenant=tenant, event="onboarding.code", persona=IT_ADMIN, recipient=recipient,
        data={"expires_at": str(sent.code_expires_at and sent.code_expires_at.isoformat())},
        dedupe_key=f"{links.CODE_KIND}:{link.id}.{number}",
        secrets={"code": SecretRef(kind=links.CODE_KIND, id=f"{link.id}.{number}")},
    )  # fmt: skip
    record(
        holder_of(act, link), "onboarding.code_sent",
        tree=link.tenant_id, targets=links.targets_of(link), link=link.id, number=number,
        message=message.id,
    )  # fmt: skip
    return Outcome.GOOD


def _may_send(link: OnboardingLink, now: datetime) -> bool:
    is_late_enough = link.code_sent_at is None or now >= link.code_sent_at + APART
    return is_late_enough and link.code_number < CODES


def redeem(act: Act, token: str, typed: str) -> Redeemed:
    """Use a link with its code, and open a session. One of any number of callers succeeds."""
    link, _, reason = _opened(act, token, lock=True)
    if link is None or reason is not None:
        _reject(act, link, reason or "unknown")
        if link is not None and reason == str(LinkStatus.USED):
            _look_at_replay(act, link)
        return Redeemed(outcome=Outcome.UNUSABLE)
    now, code = act.now(), read_code(typed)
    if code is None or not link.has_code(now):
        if link.code_hmac is not None and not link.has_code(now):
            act.uow.onboarding_links.save(link.without_code())
        _reject(act, link, "no_code")
        return Redeemed(outcome=Outcome.NO_CODE)
    hidden = links.hidden_code(act.core, link.id, link.code_number, code)
    if not hmac.compare_digest(hidden, link.code_hmac or _NOTHING):
        failed = link.failed(now)
        act.uow.onboarding_links.save(failed)
        _reject(act, link, "wrong_code")
        is_locked = failed.status is LinkStatus.LOCKED
        return Redeemed(outcome=Outcome.UNUSABLE if is_locked else Outcome.WRONG_CODE)
    used_from = _network(act)
    if not act.uow.onboarding.redeem(link.id, code_hmac=hidden, used_from=used_from, now=now):
        _reject(act, link, "race")
        return Redeemed(outcome=Outcome.UNUSABLE)
    return Redeemed(outcome=Outcome.GOOD, token=_open_session(act, link))


def _open_session(act: Act, link: OnboardingLink) -> str:
    now, secret = act.now(), secrets.token_urlsafe(32)
    session_id = act.new_id("onboarding_session")
    session = OnboardingSession(
        id=session_id,
        link_id=link.id,
        tenant_id=link.tenant_id,
        secret_hmac=_hidden_session(act, session_id, secret),
        started_at=now,
        seen_at=now,
        expires_at=now + SESSION_LIFE,
    )
    act.uow.onboarding_sessions.add(session)
    record(
        holder_of(act, link), "onboarding.redeemed",
        tree=link.tenant_id, targets=links.targets_of(link), link=link.id, session=session_id,
    )  # fmt: skip
    return f"{session_id}.{secret}"


def ask_again(act: Act, token: str) -> None:
    """Send a new link to the registered address, if this one was the tenant's newest.

    The caller gets the same answer whatever happens. A link that a person revoked brings none.
    """
    known = act.uow.onboarding_links.get((read_token(token) or ("",))[0])
    if known is not None:  # before the row, as everywhere
        act.uow.serialize_on(links.lock_of(known.tenant_id))
    link, tenant, reason = _opened(act, token, lock=True)
    if link is None or tenant is None or reason in {None, "unknown"}:
        _reject(act, link, reason or "valid")
        return
    newest = max(act.uow.onboarding_links.find(tenant_id=tenant.id), key=lambda each: each.id)
    if newest.id != link.id or link.end_reason is not None:
        _reject(act, link, "not_the_newest" if newest.id != link.id else str(EndReason.BY_PERSON))
        return
    try:
        links.issue(
            holder_of(act, link), tenant, links.contacts_of(act, tenant), by=f"holder:{link.id}"
        )
    except DomainError as error:
        _reject(act, link, error.code)


# --- the session ----------------------------------------------------------------------------------
def welcome(act: Act, token: str) -> Welcome | None:
    """Return what the portal shows in a session, and note that it was used; None without one."""
    session = _session(act, token)
    if session is None:
        return None
    tenant = act.uow.tenants.need(session.tenant_id)
    if links.is_leaving(tenant):
        return None
    act.uow.onboarding_sessions.save(session.seen(act.now()))
    link = act.uow.onboarding_links.need(session.link_id)
    recipient = links.registered(act, link, tenant)
    return Welcome(
        tenant=tenant,
        session=session,
        name=recipient.name if recipient else None,
        locale=recipient.locale if recipient else None,
    )


def sign_out(act: Act, token: str) -> None:
    """End a session."""
    session = _session(act, token)
    if session is None:
        return
    act.uow.onboarding_sessions.save(session.ended(act.now()))
    link = act.uow.onboarding_links.need(session.link_id)
    record(
        holder_of(act, link), "onboarding.signed_out",
        tree=link.tenant_id, targets=links.targets_of(link), link=link.id, session=session.id,
    )  # fmt: skip


def _session(act: Act, token: str) -> OnboardingSession | None:
    read = read_session(token)
    if read is None:
        return None
    session = act.uow.onboarding_sessions.get(read[0], lock=True)
    hidden = _hidden_session(act, *read)
    is_right = hmac.compare_digest(hidden, session.secret_hmac if session else _NOTHING)
    if session is None or not is_right or not session.is_open(act.now()):
        return None
    return session


def _hidden_session(act: Act, session_id: str, secret: str) -> str:
    return act.core.onboarding_keys.hidden("session", f"{session_id}.{secret}")


# --- what all of them do --------------------------------------------------------------------------
def _opened(
    act: Act, token: str, *, lock: bool
) -> tuple[OnboardingLink | None, Tenant | None, str | None]:
    """Return a link whose secret is right, its tenant, and why it cannot be used.

    What is unknown takes the same work as what is known.
    """
    read = read_token(token) or ("mlk_", "")
    link = act.uow.onboarding_links.get(read[0], lock=lock)
    hidden = links.hidden_secret(act.core, *read)
    if not hmac.compare_digest(hidden, link.secret_hmac if link else _NOTHING) or link is None:
        return None, None, "unknown"
    tenant = act.uow.tenants.need(link.tenant_id)
    if link.is_due(act.now()):
        locked = act.uow.onboarding_links.need(link.id, lock=True)
        link = links.expire(holder_of(act, link), locked) if locked.is_due(act.now()) else locked
    if link.status is not LinkStatus.ISSUED:
        return link, tenant, str(link.status)
    return link, tenant, "tenant_removed" if links.is_leaving(tenant) else None


def holder_of(act: Act, link: OnboardingLink) -> Act:
    """Return the same transaction with the holder of a link acting in it."""
    actor = Actor(
        id=f"{IT_ADMIN}:{link.id}", kind=ActorKind.USER, tenants=(link.tenant_id,),
        methods=("link",),
    )  # fmt: skip
    return act.by(replace(act.caller, actor=actor))


def _network(act: Act) -> str:
    return act.core.onboarding_keys.hidden("network", network_of(act.caller.address))


def _look_at_replay(act: Act, link: OnboardingLink) -> None:
    """Record that a used link came again from elsewhere: somebody else may have the mail."""
    if link.used_from == _network(act):
        return
    _denied(act, link, "onboarding.replay_rejected")
    if link.replayed_at is None:
        noted = replace(link, replayed_at=act.now(), version=link.version + 1)
        act.uow.onboarding_links.save(noted)


def _reject(act: Act, link: OnboardingLink | None, why: str) -> None:
    _denied(act, link, "onboarding.rejected", why=why)


def _denied(act: Act, link: OnboardingLink | None, action: str, **data: Any) -> None:
    """Record what was not taken, within the budget of its address, in the same transaction."""
    source = act.caller.address or act.caller.actor.id
    if not act.core.refusals.take(action, source):
        return
    about: Mapping[str, Any] = (
        {"tree": link.tenant_id, "targets": links.targets_of(link), "link": link.id}
        if link is not None
        else {"tree": None}
    )
    record(act, action, stage=Stage.DENIED, **about, **data)
