"""Deliveries on their way to a worker: enqueued, put off, looked for, and forgotten in time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.delivery import LOST_TURNS, Delivery, DeliveryStatus
from control_plane.domain.errors import DomainError
from control_plane.domain.intake import IntakeSource
from control_plane.domain.payloads import Glance
from control_plane.domain.reconciling import READ_BACK
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import QueuePlace
from control_plane.workflows.core import Act, Core
from control_plane.workflows.moving import DELIVERY_PHASE, as_json
from control_plane.workflows.reconciling import agree_on_delivery
from control_plane.workflows.recording import record

RETENTION: Final = "deliveries"
_AGAIN: Final = timedelta(seconds=30)
_LONGEST: Final = timedelta(minutes=10)


def take_delivery(core: Core, delivery_id: str) -> None:
    """Take a delivery, as the services do; the composition root handed that in."""
    core.take_delivery(core, delivery_id)


def enqueue_delivery(act: Act, delivery: Delivery) -> None:
    """Let a worker take the turn that a delivery has; those of an envelope are taken in a row."""
    about = delivery.envelope_id or delivery.id
    act.uow.queue.enqueue(
        DELIVERY_PHASE, delivery.id,
        partition=f"{delivery.source}:{about}", owner=f"intake:{delivery.source}",
        attempt=delivery.turn,
    )  # fmt: skip


def new_delivery(
    act: Act,
    source: IntakeSource,
    posted: Glance,
    body: bytes,
    *,
    status: DeliveryStatus,
    content: bytes | None,
    key_name: str | None,
    error: Mapping[str, object] | None,
    settled_at: datetime | None,
) -> Delivery:
    """Return the row of what was posted, or read back, now."""
    now = act.now()
    return Delivery(
        id=act.new_id("delivery"),
        source=source.key,
        dedupe_key=posted.dedupe_key,
        account=posted.account,
        envelope_id=posted.envelope_id,
        event=posted.event,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        body=content,
        key_name=key_name,
        status=status,
        code=str(error["code"]) if error is not None else None,
        error=error,
        request_id=None,
        tenant_id=None,
        times_received=1,
        received_at=now,
        last_received_at=now,
        turn=1,
        lost_turns=0,
        is_additional=False,
        decided_by=None,
        decision_reason=None,
        decided_at=None,
        settled_at=settled_at,
        version=1,
    )


def put_off(act: Act, delivery: Delivery, error: DomainError) -> None:
    """Let a delivery that is locked be taken later, longer after each turn."""
    act.uow.deliveries.save(delivery.put_off(as_json(error)))
    pause = min(_AGAIN * 2 ** min(delivery.turn, 5), _LONGEST)
    act.uow.timers.set(TimerKind.DELIVERY_TURN, delivery.id, act.now() + pause)


def turn_of_delivery(act: Act, delivery_id: str) -> None:
    """Enqueue the next turn of a delivery that was put off, or whose turn ended with a fault.

    One that does so repeatedly is refused, so that a person looks at it.
    """
    delivery = act.uow.deliveries.get(delivery_id, lock=True)
    if delivery is None or delivery.status is not DeliveryStatus.RECEIVED:
        return
    match act.uow.queue.place(DELIVERY_PHASE, delivery.id, attempt=delivery.turn):
        case QueuePlace.TAKEN:
            act.uow.timers.set(TimerKind.DELIVERY_TURN, delivery.id, act.now() + _AGAIN)
        case None if delivery.code is None and delivery.lost_turns >= LOST_TURNS:
            error = DomainError("workers failed on it repeatedly; their log has the cause")
            settle(act, delivery.settled(
                DeliveryStatus.REFUSED, act.now(), error=as_json(error)
            ))  # fmt: skip
        case None:
            following = delivery.next_turn(was_lost=delivery.code is None)
            act.uow.deliveries.save(following)
            enqueue_delivery(act, following)


def settle(act: Act, delivery: Delivery, **data: Any) -> None:
    """Store what became of a delivery that is locked, and record it.

    In the tree of the tenant that it has to do with, else in that of the platform.
    """
    act.uow.deliveries.save(delivery)
    error: Mapping[str, Any] = delivery.error or {}
    record(
        act, "delivery.taken",
        tree=delivery.tenant_id, targets=targets_of(delivery), status=str(delivery.status),
        code=delivery.code, field=error.get("data", {}).get("field"),
        request=delivery.request_id, **facts_of(delivery), **data,
    )  # fmt: skip
    if delivery.key_name == READ_BACK:
        agree_on_delivery(act, delivery)


def targets_of(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    """Return what an event about a delivery is about."""
    return (("delivery", delivery.id),)


def facts_of(delivery: Delivery) -> dict[str, Any]:
    """Return what each event says of a delivery, None left out later."""
    return {
        "source": delivery.source,
        "event": delivery.event,
        "envelope_id": delivery.envelope_id,
        "content_sha256": delivery.sha256,
    }


def forget_contents(act: Act, *, limit: int) -> int:
    """Erase contents whose time has come, and what nobody signed; returns of how many."""
    before = act.now() - act.core.limits.delivery_life
    erased = act.uow.intake.erase_settled(before, limit=limit)
    return max(erased, act.uow.intake.forget_unsigned(before, limit=limit))
