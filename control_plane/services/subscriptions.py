"""Subscriptions to public events: who gets what, with which secret, and what became of it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from control_plane.domain.actor import Actor, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound, Unavailable
from control_plane.domain.public_events import PING, PUBLIC_TYPES, PublicEvent, PublicType
from control_plane.domain.subscription import (
    EventSubscription,
    SealedSecret,
    SendStatus,
    SubscriptionStatus,
    checked_types,
)
from control_plane.domain.webhooks import secret_text
from control_plane.ports.events import Health, Outgoing
from control_plane.services.permission import listed, require_role, require_visibility, visible
from control_plane.workflows.core import Act
from control_plane.workflows.publishing import context_of, targets_of
from control_plane.workflows.recording import record, refused_as

READERS: Final = (
    Role.AUTOMATION, Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.PLATFORM_AUDITOR
)  # fmt: skip
WRITERS: Final = (Role.PLATFORM_ADMIN,)
REPLAYERS: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)
MOST_SUBSCRIPTIONS: Final = 100  # each is asked about at each commit
_LONGEST_NOTE: Final = 200


@dataclass(frozen=True, kw_only=True)
class Subscribed:
    """A subscription and how it fares; ``secret`` is there once, when it was made."""

    subscription: EventSubscription
    health: Health
    secret: str | None = None


# --- looking -----------------------------------------------------------------------------------
def list_types(act: Act) -> list[PublicType]:
    """Return every type of public event."""
    require_role(act, *READERS, wanted="event_subscriptions.read")
    return list(PUBLIC_TYPES.values())


def list_subscriptions(act: Act, *, limit: int, before: str | None) -> list[Subscribed]:
    """Return subscriptions, newest first."""
    require_role(act, *READERS, wanted="event_subscriptions.read")
    found = act.uow.event_subscriptions.page(limit=limit, before=before, **listed(act))
    health = act.uow.publications.health([each.id for each in found])
    return [Subscribed(subscription=each, health=health[each.id]) for each in found]


def get_subscription(act: Act, subscription_id: str) -> Subscribed:
    """Return a subscription. Raises ``NotFound``."""
    return _shown(act, _readable(act, subscription_id))


def list_sent(
    act: Act,
    subscription_id: str,
    *,
    limit: int,
    before: str | None,
    status: SendStatus | None = None,
) -> Sequence[Outgoing]:
    """Return the events of a subscription, newest first, with what became of each."""
    _readable(act, subscription_id)
    number = _number(before) if before is not None else None
    return act.uow.publications.page(subscription_id, limit=limit, before=number, status=status)


def allowed_actions(subscription: EventSubscription, actor: Actor) -> list[str]:
    """Return what somebody may ask of a subscription now."""
    is_active = subscription.status is SubscriptionStatus.ACTIVE
    found = []
    if actor.has(*WRITERS):
        found += ["change", "rotate", "remove", "pause" if is_active else "resume"]
    if actor.has(*REPLAYERS):
        found += ["test", "replay"] if is_active else ["replay"]
    return found


def _readable(act: Act, subscription_id: str) -> EventSubscription:
    require_role(act, *READERS, wanted="event_subscriptions.read")
    found = act.uow.event_subscriptions.get(subscription_id)
    return visible(act, found, wanted="event_subscriptions.read")


def _shown(act: Act, found: EventSubscription, secret: str | None = None) -> Subscribed:
    health = act.uow.publications.health([found.id])
    return Subscribed(subscription=found, health=health[found.id], secret=secret)


# --- subscribing -------------------------------------------------------------------------------
def create_subscription(
    act: Act,
    *,
    url: str,
    types: Sequence[str],
    tenant_id: str | None = None,
    description: str | None = None,
) -> Subscribed:
    """Let public events go to a URL; returns the secret that they are signed with, this once.

    Raises ``InvalidInput``, ``UrlRefused``, and ``Unavailable`` when no worker has started yet.
    """
    require_role(act, *WRITERS, wanted="event_subscriptions.write")
    require_visibility(act, tenant_id, wanted="event_subscriptions.write")
    with refused_as(act, "subscription.refused", tree=None, wanted="create"):
        wanted = checked_types(types)
        note = _note(description)
        act.core.events.check(url)
        if tenant_id is not None and act.uow.tenants.get(tenant_id) is None:
            raise InvalidInput("there is no such tenant", field="tenant_id")
        if act.uow.event_subscriptions.count() >= MOST_SUBSCRIPTIONS:
            raise InvalidInput(f"there may be at most {MOST_SUBSCRIPTIONS} subscriptions")
        now, new_id = act.now(), act.new_id("event_subscription")
        secret, sealed = _new_secret(act, new_id, 1)
        made = EventSubscription(
            id=new_id, url=url, types=wanted, tenant_id=tenant_id, description=note,
            secrets=(sealed,), status=SubscriptionStatus.ACTIVE, code=None,
            created_by=act.caller.actor.id, created_at=now, updated_at=now, version=1,
        )  # fmt: skip
        act.uow.event_subscriptions.add(made)
        act.uow.publications.begin(made.id)
        _record(
            act, made, "subscription.created", types=list(wanted), host=_host(url), generation=1
        )  # fmt: skip
        return _shown(act, made, secret)


def _new_secret(act: Act, subscription_id: str, generation: int) -> tuple[str, SealedSecret]:
    known = act.uow.publications.sealing_key()
    if known is None:
        raise Unavailable("no worker has started yet: events are signed by workers")
    key_id, public = known
    key = base64.urlsafe_b64decode(act.core.ids.secret() + "==")
    sealed = act.core.sealing.seal(public, key, context=context_of(subscription_id))
    return secret_text(key), SealedSecret(
        generation=generation, key_id=key_id, sealed=sealed, created_at=act.now()
    )


def may_change(act: Act, subscription_id: str) -> EventSubscription:
    """Return a subscription that the caller's roles may change.

    Raises ``NotFound``, ``NotAllowed``.
    """
    require_role(act, *WRITERS, wanted="event_subscriptions.write")
    found = act.uow.event_subscriptions.get(subscription_id)
    return visible(act, found, wanted="event_subscriptions.write")


def change_subscription(
    act: Act,
    subscription_id: str,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
    is_paused: bool | None = None,
) -> Subscribed:
    """Change where events go and which ones, pause a subscription, or end its pause.

    What was published meanwhile waits, and goes out then. Raises ``InvalidInput``, ``UrlRefused``,
    ``IllegalTransition``.
    """
    may_change(act, subscription_id)
    with _refused(act, subscription_id, "change"):
        before = _locked(act, subscription_id)
        changes: dict[str, Any] = {}
        if types is not None:
            changes["types"] = checked_types(types)
        if description is not None:
            changes["description"] = _note(description)
        if url is not None:
            act.core.events.check(url)
            changes["url"] = url
        if is_paused is None and not changes:
            raise InvalidInput("nothing to change is named")
        if is_paused is None:
            found = before.changed(act.now(), **changes)
        else:
            wanted = SubscriptionStatus.PAUSED if is_paused else SubscriptionStatus.ACTIVE
            found = replace(before.moved(wanted, act.now()), **changes)
        act.uow.event_subscriptions.save(found)
        names = [*changes, *(["status"] if is_paused is not None else [])]
        _record(
            act, found, "subscription.changed", changed=names, status=str(found.status),
            previous_status=str(before.status),
            types=list(found.types) if types is not None else None,
            host=_host(found.url) if url is not None else None,
        )  # fmt: skip
        return _shown(act, found)


def resume_subscription(act: Act, subscription_id: str) -> Subscribed:
    """Let events go out again to a subscription that is paused or disabled, at once.

    Raises ``IllegalTransition``, and ``UrlRefused`` when its URL may not be called any more.
    """
    may_change(act, subscription_id)
    with _refused(act, subscription_id, "resume"):
        before = _locked(act, subscription_id)
        act.core.events.check(before.url)
        found = before.moved(SubscriptionStatus.ACTIVE, act.now())
        act.uow.event_subscriptions.save(found)
        act.uow.publications.wake(found.id)
        _record(
            act, found, "subscription.changed", changed=["status"], status=str(found.status),
            previous_status=str(before.status), code=before.code,
        )  # fmt: skip
        return _shown(act, found)


def rotate_secret(act: Act, subscription_id: str) -> Subscribed:
    """Make a new secret; the former one signs too for a day. Returns the new one, this once."""
    may_change(act, subscription_id)
    with _refused(act, subscription_id, "rotate"):
        before = _locked(act, subscription_id)
        secret, sealed = _new_secret(act, before.id, before.generation + 1)
        found = before.with_secret(sealed, act.now())
        act.uow.event_subscriptions.save(found)
        _record(act, found, "subscription.rotated", generation=found.generation)
        return _shown(act, found, secret)


def remove_subscription(act: Act, subscription_id: str) -> Subscribed:
    """Remove a subscription with everything that waits for it; returns what it was."""
    may_change(act, subscription_id)
    with _refused(act, subscription_id, "remove"):
        found = _locked(act, subscription_id)
        shown = _shown(act, found)
        count = act.uow.publications.remove(found.id)
        _record(act, found, "subscription.removed", count=count)
        return shown


# --- sending again -----------------------------------------------------------------------------
def may_replay(act: Act, subscription_id: str) -> EventSubscription:
    """Return a subscription whose events the caller's roles may send again.

    Raises ``NotFound``, ``NotAllowed``.
    """
    require_role(act, *REPLAYERS, wanted="event_subscriptions.replay")
    found = act.uow.event_subscriptions.get(subscription_id)
    return visible(act, found, wanted="event_subscriptions.replay")


def ping_subscription(act: Act, subscription_id: str) -> Outgoing:
    """Let a test event go to a subscription, before anything that waits.

    Raises ``IllegalTransition`` unless it is active.
    """
    found = may_replay(act, subscription_id)
    with _refused(act, subscription_id, "test"):
        if found.status is not SubscriptionStatus.ACTIVE:
            raise IllegalTransition(
                f"the subscription is {found.status}: resume it first",
                present_status=str(found.status),
            )
        kind = PUBLIC_TYPES[PING]
        event = PublicEvent(
            id=act.new_id("event"), name=PING, version=kind.version, tenant_id=None,
            time=act.now(), data={"subscription": found.id},
        )  # fmt: skip
        number = act.uow.publications.test(found.id, event, act.now())
        _record(act, found, "subscription.tested", event=event.id)
        return _need(act, found.id, number)


def replay_event(act: Act, subscription_id: str, sent_id: str) -> Outgoing:
    """Let one event go to a subscription again, with the id that it had.

    Raises ``NotFound``, and ``IllegalTransition`` for one that still waits.
    """
    found = may_replay(act, subscription_id)
    with _refused(act, subscription_id, "replay"):
        outgoing = _need(act, found.id, _number(sent_id))
        if not act.uow.publications.replay(found.id, act.now(), outgoing_id=outgoing.id):
            raise IllegalTransition(
                "the event has not gone out yet: it waits", present_status=str(outgoing.status)
            )
        _record(act, found, "subscription.replayed", event=outgoing.event_id, count=1)
        return _need(act, found.id, outgoing.id)


def replay_since(act: Act, subscription_id: str, *, since: datetime) -> int:
    """Let all that happened since a time go to a subscription again; returns how many."""
    found = may_replay(act, subscription_id)
    with _refused(act, subscription_id, "replay"):
        if since.tzinfo is None:
            raise InvalidInput("must be a time with its zone", field="since")
        count = act.uow.publications.replay(found.id, act.now(), since=since)
        _record(act, found, "subscription.replayed", since=since.isoformat(), count=count)
        return count


def _need(act: Act, subscription_id: str, number: int) -> Outgoing:
    found = act.uow.publications.get(subscription_id, number)
    if found is None:
        raise NotFound("not found")
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFound("not found")
    return int(text)


def _locked(act: Act, subscription_id: str) -> EventSubscription:
    found = act.uow.event_subscriptions.get(subscription_id, lock=True)
    if found is None:
        raise NotFound("not found")
    return found


def _note(text: str | None) -> str | None:
    note = (text or "").strip()
    if len(note) > _LONGEST_NOTE:
        raise InvalidInput(f"must have at most {_LONGEST_NOTE} letters", field="description")
    return note or None


def _host(url: str) -> str:
    """Return the host of a URL: the rest of it may hold a token of the receiver."""
    return urlsplit(url).hostname or ""


def _refused(act: Act, subscription_id: str, wanted: str) -> Any:
    return refused_as(
        act, "subscription.refused",
        tree=None, targets=(("subscription", subscription_id),), wanted=wanted,
    )  # fmt: skip


def _record(act: Act, found: EventSubscription, action: str, **data: Any) -> None:
    record(act, action, tree=found.tenant_id, targets=targets_of(found), **data)
