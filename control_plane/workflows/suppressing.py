"""What keeps a message from being sent, or makes it wait; asked before each attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from control_plane.domain.message import Message, MessageClass, Reason
from control_plane.domain.suppression import Suppression, SuppressionKind, address_digest
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Act
from control_plane.workflows.message_facts import day_of, signed_at
from control_plane.workflows.recording import record

_CAPPED: Final = (MessageClass.LIFECYCLE, MessageClass.COMMERCIAL)
_CAP_SPAN: Final = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a message is not sent now; one that ``waits`` is asked for again."""

    reason: Reason
    waits: bool = False


def obstacle(act: Act, message: Message, tenant: Tenant) -> Obstacle | None:
    """Return what is in the way of a message that is locked, the gravest first.

    Who sends to one address takes turns until the end of the transaction, so that the cap holds.
    """
    if tenant.hold:
        return Obstacle(reason=Reason.HOLD, waits=True)
    if act.core.systems.mailer is None:
        return Obstacle(reason=Reason.NO_SYSTEM)
    standing = {each.kind for each in standing_on(act, message.recipient_email)}
    if SuppressionKind.BOUNCED in standing:
        return Obstacle(reason=Reason.BOUNCED)
    if message.message_class is MessageClass.TRANSACTIONAL:
        return None
    if SuppressionKind.OPTED_OUT in standing:
        return Obstacle(reason=Reason.OPTED_OUT)
    rules, now = act.core.rules.messages, act.now()
    is_commercial = message.message_class is MessageClass.COMMERCIAL
    if is_commercial and day_of(tenant, signed_at(act.uow, tenant), now) <= rules.quiet_days:
        return Obstacle(reason=Reason.TOO_EARLY)
    act.uow.serialize_on(f"mail:{address_digest(message.recipient_email)}")
    got = act.uow.outbox.sent_since(
        message.recipient_email, now - _CAP_SPAN, classes=_CAPPED, but=message.id
    )
    return Obstacle(reason=Reason.FREQUENCY) if got >= rules.daily_cap else None


def standing_on(act: Act, email: str) -> list[Suppression]:
    """Return the suppressions that stand on an address."""
    return act.uow.suppressions.find(address_sha256=address_digest(email), lifted_at=None)


def suppress(act: Act, email: str, kind: SuppressionKind, *, reason: str) -> Suppression:
    """Send nothing to an address any more, and record it; one that stands already is returned."""
    digest = address_digest(email)
    act.uow.serialize_on(f"suppression:{digest}")
    for each in standing_on(act, email):
        if each.kind is kind:
            return each
    added = Suppression(
        id=act.new_id("suppression"),
        address_sha256=digest,
        domain=email.rpartition("@")[2].casefold(),
        kind=kind,
        reason=reason,
        added_by=act.caller.actor.id,
        added_at=act.now(),
    )
    act.uow.suppressions.add(added)
    record_suppression(act, "suppression.added", added, reason)
    return added


def record_suppression(act: Act, action: str, about: Suppression, reason: str) -> None:
    """Record what happened to a suppression, in the platform's tree."""
    record(
        act, action,
        tree=None, targets=(("suppression", about.id),), personal={"reason": reason},
        kind=str(about.kind), address_sha256=about.address_sha256,
    )  # fmt: skip
