"""Public events on their way to receivers: in order for each tenant, at least once.

What goes out was written in the transaction of its cause. A turn of a subscription is leased to one
worker; one that dies is followed by another after the lease, which sends again what was not
recorded as sent, with the same id.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.event_errors import ReceiverFailed, UrlRefused
from control_plane.domain.public_events import CONTENT_TYPE, envelope
from control_plane.domain.subscription import (
    DISABLED_AFTER,
    EVENTS_LIFE,
    FAILING,
    GONE,
    EventSubscription,
    SubscriptionStatus,
    pause_after,
)
from control_plane.domain.webhooks import signed_headers
from control_plane.logging import get_logger
from control_plane.ports.events import Answer, Attempt, Outgoing
from control_plane.workflows.core import Act, Core
from control_plane.workflows.recording import record

log = get_logger()
RETENTION: Final = "events"
LEASE: Final = timedelta(seconds=60)  # longer than a turn and one more attempt
_TURN_SECONDS: Final = 10.0
_AT_ONCE: Final = 50
# the receiver itself is in trouble, whatever it is sent
_HOLDS_ALL: Final = frozenset({429, 503})


def claim_turns(core: Core, *, limit: int) -> list[str]:
    """Take subscriptions for which something is due; returns their ids."""
    now = core.clock.now()
    with core.act() as act:
        claimed = act.uow.publications.claim(now, until=now + LEASE, limit=limit)
        act.uow.commit()
    return list(claimed)


def take_turn(core: Core, subscription_id: str) -> None:
    """Send what is due for a claimed subscription, for a few seconds, and give it back."""
    ends = time.monotonic() + _TURN_SECONDS
    try:
        while time.monotonic() < ends and _send_some(core, subscription_id, ends):
            pass
    finally:
        with core.act() as act:
            act.uow.publications.release(subscription_id, act.now())
            act.uow.commit()


def _send_some(core: Core, subscription_id: str, ends: float) -> bool:
    """Send some of what is due; tells whether there may be more."""
    with core.act() as act:
        subscription = act.uow.event_subscriptions.get(subscription_id)
        due = act.uow.publications.due(subscription_id, act.now(), limit=_AT_ONCE)
    if subscription is None or subscription.status is not SubscriptionStatus.ACTIVE or not due:
        return False
    keys = _keys(core, subscription)
    failed: set[str] = set()
    for outgoing in due:
        if outgoing.tree in failed:
            continue
        if time.monotonic() >= ends:
            return False
        if not _send(core, subscription, outgoing, keys):
            failed.add(outgoing.tree)
            with core.act() as act:
                health = act.uow.publications.health([subscription_id]).get(subscription_id)
                now = act.uow.event_subscriptions.get(subscription_id)
            is_open = now is not None and now.status is SubscriptionStatus.ACTIVE
            if not is_open or health is None or health.retry_at is not None:
                return False
    return len(due) == _AT_ONCE


def _keys(core: Core, subscription: EventSubscription) -> list[bytes]:
    return [
        core.sealing.open(each.sealed, context=context_of(subscription.id))
        for each in subscription.active_secrets(core.clock.now())
    ]


def context_of(subscription_id: str) -> str:
    """Return what a secret of a subscription is sealed for."""
    return f"event-subscription/{subscription_id}"


def _send(
    core: Core, subscription: EventSubscription, outgoing: Outgoing, keys: list[bytes]
) -> bool:
    """Try to send one event, and record how that ended; tells whether the receiver took it."""
    body = envelope(outgoing.event, outgoing.sequence)
    headers = {
        "content-type": CONTENT_TYPE,
        "user-agent": "tenantplane-events/1",
        "accept": "*/*",
        **signed_headers(outgoing.event_id, core.clock.now(), body, keys),
    }
    attempt = _attempt(core, outgoing, lambda: core.events.post(subscription.url, headers, body))
    with core.act() as act:
        health = act.uow.publications.took(outgoing, attempt)
        since = health.failing_since
        if attempt.answer_code == 410:
            _disable(act, subscription.id, GONE, attempt)
        elif since is not None and attempt.at - since >= DISABLED_AFTER:
            _disable(act, subscription.id, FAILING, attempt)
        act.uow.commit()
    if attempt.failure is not None:
        log.info(
            "event.not_taken", subscription=subscription.id, event_id=outgoing.event_id,
            failure=attempt.failure, answer_code=attempt.answer_code,
        )  # fmt: skip
    return attempt.failure is None


def _attempt(core: Core, outgoing: Outgoing, post: Callable[[], Answer]) -> Attempt:
    try:
        answer = post()
    except ReceiverFailed as error:
        holds = error.status is None or error.status in _HOLDS_ALL
        return _failed(
            core, outgoing, error.failure, pause=error.pause, holds_all=holds,
            answer_code=error.status, answer=error.answer,
        )  # fmt: skip
    except UrlRefused as error:
        return _failed(core, outgoing, error.code, holds_all=True)
    return Attempt(at=core.clock.now(), answer_code=answer.status, answer=answer.text)


def _failed(
    core: Core,
    outgoing: Outgoing,
    failure: str,
    *,
    holds_all: bool,
    pause: timedelta | None = None,
    answer_code: int | None = None,
    answer: bytes | None = None,
) -> Attempt:
    now = core.clock.now()
    wait = pause_after(outgoing.attempts + 1, pause)
    return Attempt(
        at=now,
        answer_code=answer_code,
        failure=failure,
        answer=answer,
        next_at=None if wait is None else now + wait,
        holds_all=holds_all,
    )


def _disable(act: Act, subscription_id: str, code: str, attempt: Attempt) -> None:
    """Let nothing go to a subscription before somebody resumes it; what waits is kept."""
    subscription = act.uow.event_subscriptions.get(subscription_id, lock=True)
    if subscription is None or subscription.status is not SubscriptionStatus.ACTIVE:
        return
    disabled = subscription.moved(SubscriptionStatus.DISABLED, act.now(), code=code)
    act.uow.event_subscriptions.save(disabled)
    record(
        act, "subscription.disabled",
        tree=disabled.tenant_id, targets=targets_of(disabled), status=str(disabled.status),
        code=code, answer=attempt.answer_code,
    )  # fmt: skip


def targets_of(subscription: EventSubscription) -> tuple[tuple[str, str], ...]:
    """Return what an event about a subscription is about."""
    return (("subscription", subscription.id),)


def publish_sealing_key(act: Act) -> None:
    """Let the API know with which key secrets are sealed for workers."""
    key_id, public = act.core.sealing.public()
    act.uow.publications.keep_sealing_key(key_id, public, act.now())


def forget_events(act: Act, *, limit: int) -> int:
    """Delete events whose time has come, sent or not; returns how many."""
    before: datetime = act.now() - EVENTS_LIFE
    return act.uow.publications.forget(before, limit=limit)
