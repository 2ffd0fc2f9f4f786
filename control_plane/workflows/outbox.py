"""The outbox: messages to people, written with what they are about, and sent by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.cause import Cause
from control_plane.domain.errors import Conflict, DomainError, InvalidInput
from control_plane.domain.message import (
    LOST_TURNS,
    UNSETTLED,
    Channel,
    Message,
    MessageStatus,
    Reason,
    Recipient,
    SecretRef,
)
from control_plane.domain.message_events import EVENTS, PERSONAS
from control_plane.domain.message_variables import instant_of, is_instant
from control_plane.domain.tenant import Tenant
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import QueuePlace
from control_plane.ports.systems import CalendarPart
from control_plane.workflows.core import Act
from control_plane.workflows.journey_rows import wake_journey
from control_plane.workflows.moving import MESSAGE_PHASE, as_json
from control_plane.workflows.recording import record
from control_plane.workflows.tasks import close_task, open_task

RETENTION: Final = "messages"
# who looks at a message that could not be sent
_OWNER_OF: Final[Mapping[str, str]] = {
    "it_admin": "csm", "executive_sponsor": "csm", "business_sponsor": "csm",
    "csm": "csm_lead", "solutions_engineer": "csm_lead", "owner": "ops",
}  # fmt: skip
_SHOWN: Final = "`tenantctl message show` has the error. "
_INSTRUCTIONS: Final[Mapping[Reason | None, str]] = {
    Reason.REFUSED: _SHOWN + "Ask the customer for the right address, or reach the person another "
    "way; then cancel the message. If the address is right, lift its suppression and send again.",
    Reason.GAVE_UP: _SHOWN + "When the mail system works again, send the message again.",
    Reason.UNPRINTABLE: _SHOWN + "Correct the template or issue the link again; then send the "
    "message again, or cancel it.",
    Reason.LOST: _SHOWN + "Read the log of the workers, then send the message again.",
}
_AGAIN: Final = timedelta(seconds=30)
_CONTROLS: Final = frozenset(map(chr, (*range(32), 127)))


def post(
    act: Act,
    *,
    tenant: Tenant,
    event: str,
    persona: str,
    recipient: Recipient,
    data: Mapping[str, Any],
    dedupe_key: str,
    cause: Cause | None = None,
    secrets: Mapping[str, SecretRef] | None = None,
    calendar: CalendarPart | None = None,
    channel: Channel = Channel.EMAIL,
) -> Message:
    """Queue a message in the caller's transaction, and return it; it is sent after the commit.

    There is one message for each ``dedupe_key``: asked for again, the first one is
    returned as it is now. ``data`` and ``secrets`` are what ``domain.message_events`` says that the
    event takes; a time among the data is text in ISO 8601. ``secrets`` says where values come from
    that may not lie in a row. Raises ``InvalidInput`` for an event, persona or fact that is unknown
    or missing.
    """
    given = dict(secrets or {})
    _require_known(event, persona, data, given)
    _require_instants(data)
    found = act.uow.messages.find(dedupe_key=dedupe_key)
    if found:
        return found[0]
    rules = act.core.rules.messages
    locale = rules.spoken(recipient.locale, rules.of_country(tenant.country))
    message_id = act.new_id("message")
    message = Message(
        id=message_id,
        tenant_id=tenant.id,
        event=event,
        persona=persona,
        channel=channel,
        locale=locale,
        message_class=EVENTS[event].message_class,
        recipient_name=in_one_line(recipient.name),
        recipient_email=in_one_line(recipient.email),
        data=dict(data),
        secrets={name: reference.to_document() for name, reference in given.items()},
        calendar_method=calendar.method if calendar else None,
        calendar_content=calendar.content if calendar else None,
        dedupe_key=dedupe_key,
        cause=cause,
        message_id=f"<{message_id.lower()}@{rules.sender_domain}>",
        queued_at=act.now(),
    )
    try:
        act.uow.add(message)
    except Conflict:  # somebody else queued it meanwhile
        return act.uow.messages.find(dedupe_key=dedupe_key)[0]
    record(
        act, "message.queued",
        tree=tenant.id, targets=targets_of(message),
        personal={"recipient.name": message.recipient_name,
                  "recipient.email": message.recipient_email},
        event=event, persona=persona, channel=str(channel), locale=message.locale,
        message_class=str(message.message_class), cause=cause.key if cause else None,
    )  # fmt: skip
    enqueue_message(act, message)
    return message


def _require_known(
    event: str, persona: str, data: Mapping[str, Any], secrets: Mapping[str, SecretRef]
) -> None:
    known = EVENTS.get(event)
    if known is None or persona not in PERSONAS:
        unknown = f"event {event!r}" if known is None else f"persona {persona!r}"
        raise InvalidInput(f"there is no {unknown} that a message can be about")
    missing = {*known.takes, *known.secrets} - {*data, *secrets}
    strange = (set(data) - {*known.takes, *known.may_take}) | (set(secrets) - {*known.secrets})
    if missing or strange:
        raise InvalidInput(
            f"a message of {event} takes {', '.join((*known.takes, *known.secrets)) or 'nothing'}",
            missing=sorted(missing),
            unknown=sorted(strange),
        )


def _require_instants(data: Mapping[str, Any]) -> None:
    for name in filter(is_instant, data):
        try:
            instant_of(str(data[name]))
        except ValueError as error:
            raise InvalidInput(f"{name}: {error}", field=name) from error


def in_one_line(text: str) -> str:
    """Return a text as a header of a mail can hold it: line breaks and controls are spaces."""
    return " ".join("".join(" " if each in _CONTROLS else each for each in text).split())


def enqueue_message(act: Act, message: Message) -> None:
    """Let a worker take the turn that a message has."""
    act.uow.queue.enqueue(
        MESSAGE_PHASE, message.id,
        partition=message.id, owner=message.tenant_id, attempt=message.turn,
    )  # fmt: skip


def turn_of_message(act: Act, message_id: str) -> None:
    """Enqueue the next turn of a message that waited, or whose turn ended with a fault.

    One whose turns do so repeatedly is dead, so that a person looks at it.
    """
    message = act.uow.messages.get(message_id, lock=True)
    if message is None or message.status not in UNSETTLED:
        return
    match act.uow.queue.place(MESSAGE_PHASE, message.id, attempt=message.turn):
        case QueuePlace.TAKEN:
            act.uow.timers.set(TimerKind.MESSAGE_TURN, message.id, act.now() + _AGAIN)
        case None if message.reason is None and message.lost_turns >= LOST_TURNS:
            error = DomainError("workers failed on it repeatedly; their log has the cause")
            not_sent(act, message, MessageStatus.DEAD, Reason.LOST, error)
        case None:
            following = message.next_turn(was_lost=message.reason is None)
            act.uow.messages.save(following)
            enqueue_message(act, following)


def not_sent(
    act: Act,
    message: Message,
    status: MessageStatus,
    reason: Reason,
    error: DomainError | None = None,
    **changes: Any,
) -> Message:
    """Settle a message that is locked and does not go out, and record why."""
    details = as_json(error) if error is not None else None
    moved = message.moved(status, act.now(), reason=reason, error=details, **changes)
    act.uow.messages.save(moved)
    record(
        act, "message.not_sent",
        tree=message.tenant_id, targets=targets_of(message),
        event=message.event, persona=message.persona, channel=str(message.channel),
        status=str(status), why=str(reason), code=error.code if error is not None else None,
    )  # fmt: skip
    settled(act, moved)
    return moved


def settled(act: Act, message: Message) -> None:
    """Let what waits for a message learn what became of it; one that is dead is a person's task."""
    key = f"message:{message.id}"
    if message.status is MessageStatus.DEAD and message.reason is not Reason.ERASED:
        open_task(
            act,
            owner=_OWNER_OF.get(message.persona, "csm"),
            title=f"A message was not delivered: {message.event}",
            instructions=_INSTRUCTIONS[message.reason],
            about=("message", message.id),
            dedupe_key=key,
            tenant_id=message.tenant_id,
            cause=message.cause,
        )
    else:
        close_task(act, key, why=f"the message is {message.status}")
    if message.cause is not None:
        wake_journey(act, message.cause.journey_id)


def send_again(act: Act, message: Message, reason: str) -> Message:
    """Queue a message again that is locked, with a new budget of attempts; record who decided."""
    again = message.moved(
        MessageStatus.QUEUED, act.now(),
        turn=message.turn + 1, attempts=0, error=message.error,
    )  # fmt: skip
    act.uow.messages.save(again)
    close_task(act, f"message:{message.id}", why="the message is sent again")
    enqueue_message(act, again)
    record(
        act, "message.sent_again",
        tree=message.tenant_id, targets=targets_of(message), personal={"reason": reason},
        event=message.event, persona=message.persona, why=str(message.reason),
        previous_status=str(message.status), status=str(again.status),
    )  # fmt: skip
    return again


def cancel(act: Act, message: Message, reason: Reason, *, why: str) -> Message:
    """Let a message that is locked not be sent; record who decided."""
    canceled = message.moved(MessageStatus.CANCELED, act.now(), reason=reason)
    act.uow.messages.save(canceled)
    record(
        act, "message.canceled",
        tree=message.tenant_id, targets=targets_of(message), personal={"reason": why},
        event=message.event, persona=message.persona, why=str(reason),
        previous_status=str(message.status), status=str(canceled.status),
    )  # fmt: skip
    settled(act, canceled)
    return canceled


def wake_held(act: Act, tenant_id: str) -> None:
    """Let the messages be looked at that wait for the release of a tenant's holds."""
    waiting = act.uow.messages.find(
        tenant_id=tenant_id, status=MessageStatus.QUEUED, reason=Reason.HOLD
    )
    for message in waiting:
        act.uow.timers.set(TimerKind.MESSAGE_TURN, message.id, act.now())


def erase_of_tenant(act: Act, tenant_id: str) -> int:
    """Erase recipients and contents of a tenant's messages; what was not sent is canceled.

    The tenant is locked. Returns of how many.
    """
    erased = 0
    for found in act.uow.messages.find(tenant_id=tenant_id, erased_at=None):
        message = act.uow.messages.need(found.id, lock=True)
        if message.status in UNSETTLED:
            message = _ended_for_erasing(act, message)
        act.uow.messages.save(message.erased(act.now()))
        erased += 1
    return erased


def _ended_for_erasing(act: Act, message: Message) -> Message:
    if message.status is MessageStatus.QUEUED:
        return cancel(act, message, Reason.ERASED, why="the tenant was removed")
    return not_sent(act, message, MessageStatus.DEAD, Reason.ERASED)


def forget_messages(act: Act, *, limit: int) -> int:
    """Erase recipients and contents whose time has come; returns of how many messages."""
    now = act.now()
    return act.uow.outbox.erase_settled(now - act.core.limits.message_life, now, limit=limit)


def targets_of(message: Message) -> tuple[tuple[str, str], ...]:
    """Return what an event about a message is about."""
    return (("tenant", message.tenant_id), ("message", message.id))
