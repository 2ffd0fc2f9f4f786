"""The phase that sends a message of the outbox, recorded before the mail system is asked and after.

A worker may die at any point. Before the first record nothing went out. Between both nobody knows,
unless the mail system itself knows what it took: then the message is sent again, as one that may
arrive twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from control_plane.domain.audit import Stage
from control_plane.domain.errors import DomainError
from control_plane.domain.message import UNSETTLED, Message, MessageStatus, Reason
from control_plane.domain.message_rules import Rendered
from control_plane.domain.suppression import SuppressionKind
from control_plane.domain.system_errors import SystemRefused
from control_plane.domain.timers import TimerKind
from control_plane.ports.systems import CalendarPart, Mail, Mailer
from control_plane.workflows.core import Act, Core
from control_plane.workflows.holding import CHECKED_AGAIN
from control_plane.workflows.message_facts import facts_of, render, template_of, tenant_of
from control_plane.workflows.moving import as_json
from control_plane.workflows.outbox import not_sent, settled, targets_of
from control_plane.workflows.recording import record
from control_plane.workflows.secret_kinds import resolved
from control_plane.workflows.suppressing import obstacle, suppress

# of what a mail system refuses for good about this mail; other refusals concern all mails, and are
# tried again like an outage
_OF_THIS_MAIL: Final = frozenset({"recipient", "message"})
_RECIPIENT: Final = "recipient"


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A message that is about to be handed over, and the mail that was made of it."""

    message: Message
    mail: Mail
    mailer: Mailer


def send_message(core: Core, message_id: str) -> None:
    """Send a message, or settle it with the reason why it is not sent."""
    message = _look(core, message_id)
    if message is None:
        return
    try:
        mail = _mail(core, message)
    except DomainError as error:
        _could_not_write(core, message, error)
        return
    ready = _begin(core, message, mail)
    if ready is None:
        return
    try:
        system_id = ready.mailer.send(ready.mail)
    except DomainError as error:
        _failed(core, ready.message, ready.mailer, error)
    else:
        _sent(core, ready.message, system_id)


# --- before ------------------------------------------------------------------------------------
def _look(core: Core, message_id: str) -> Message | None:
    """Return a message that is to be sent now; one that is not waits, or is settled here."""
    with core.act() as act:
        message = act.uow.messages.get(message_id, lock=True)
        if message is None or message.status not in UNSETTLED:
            return None
        if message.status is MessageStatus.SENDING:
            message = _died_in_between(act, message)
        elif _is_stopped(act, message):
            act.uow.commit()
            return None
        act.uow.commit()
        return message


def _died_in_between(act: Act, message: Message) -> Message:
    """Return a message whose worker died after it had recorded that it begins."""
    mailer = act.core.systems.mailer
    is_safe = mailer is not None and mailer.is_exactly_once
    back = message.moved(
        MessageStatus.QUEUED, act.now(),
        may_be_twice=message.may_be_twice or not is_safe, lost_turns=message.lost_turns,
    )  # fmt: skip
    act.uow.messages.save(back)
    _record(act, back, Stage.UNKNOWN)
    return back


def _is_stopped(act: Act, message: Message) -> bool:
    found = obstacle(act, message, tenant_of(act.uow, message))
    if found is None:
        return False
    if found.waits:
        act.uow.messages.save(message.changed(reason=found.reason))
        act.uow.timers.set(TimerKind.MESSAGE_TURN, message.id, act.now() + CHECKED_AGAIN)
    else:
        not_sent(act, message, MessageStatus.SUPPRESSED, found.reason)
    return True


def _mail(core: Core, message: Message) -> Mail:
    """Return the mail. Raises ``TemplateFailed``, or what a secret's resolver raises."""
    with core.act() as act:
        facts = facts_of(act, tenant_of(act.uow, message))
    return mail_of(core, message, render(core, message, facts, resolved(core, message.secrets)))


def mail_of(core: Core, message: Message, rendered: Rendered) -> Mail:
    """Return the mail of a message that was rendered."""
    rules = core.rules.messages
    calendar = None
    if message.calendar_method is not None and message.calendar_content is not None:
        calendar = CalendarPart(method=message.calendar_method, content=message.calendar_content)
    return Mail(
        message_id=message.message_id,
        sender=rules.sender,
        recipient=message.recipient_email,
        recipient_name=message.recipient_name,
        reply_to=rules.reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        calendar=calendar,
    )


def _begin(core: Core, message: Message, mail: Mail) -> _Ready | None:
    """Record that a mail is about to be handed over, unless something came in between."""
    mailer, template = core.systems.mailer, template_of(core, message)
    with core.act() as act:
        now = act.uow.messages.need(message.id, lock=True)
        if now.version != message.version or _is_stopped(act, now) or mailer is None:
            act.uow.commit()
            return None
        begun = now.moved(
            MessageStatus.SENDING, act.now(),
            attempts=now.attempts + 1, system=mailer.system,
            template=template.name, template_digest=template.digest, lost_turns=now.lost_turns,
        )  # fmt: skip
        act.uow.messages.save(begun)
        _record(act, begun, Stage.ATTEMPTED)
        act.uow.commit()
        return _Ready(message=begun, mail=mail, mailer=mailer)


def _could_not_write(core: Core, message: Message, error: DomainError) -> None:
    """Settle a message when no mail can be made of it; an outage on the way is only a pause."""
    with core.act() as act:
        now = act.uow.messages.need(message.id, lock=True)
        if now.version != message.version:
            return
        if error.transient:
            _put_off(act, now.changed(attempts=now.attempts + 1), error)
        else:
            not_sent(act, now, MessageStatus.DEAD, Reason.UNPRINTABLE, error)
        act.uow.commit()


# --- after -------------------------------------------------------------------------------------
def _sent(core: Core, message: Message, system_id: str) -> None:
    with core.act() as act:
        now = act.uow.messages.need(message.id, lock=True)
        if now.version != message.version:
            return  # another worker took it for lost: it says what became of it
        sent = now.moved(MessageStatus.SENT, act.now(), system_id=system_id)
        act.uow.messages.save(sent)
        _record(act, sent, Stage.COMPLETED, system_id=system_id)
        settled(act, sent)
        act.uow.commit()


def _failed(core: Core, message: Message, mailer: Mailer, error: DomainError) -> None:
    with core.act() as act:
        now = act.uow.messages.need(message.id, lock=True)
        if now.version != message.version:
            return
        if error.data.get("may_have_acted") and not mailer.is_exactly_once:
            now = now.changed(may_be_twice=True)
            act.uow.messages.save(now)
        stage = Stage.UNKNOWN if error.data.get("may_have_acted") else Stage.FAILED
        _record(act, now, stage, code=error.code)
        what = error.data.get("reason")
        if isinstance(error, SystemRefused) and what in _OF_THIS_MAIL:
            if what == _RECIPIENT:
                suppress(
                    act, now.recipient_email, SuppressionKind.BOUNCED,
                    reason=f"{now.id}: {error.message}",
                )  # fmt: skip
            not_sent(act, now, MessageStatus.DEAD, Reason.REFUSED, error)
        else:
            _put_off(act, now, error)
        act.uow.commit()


def _put_off(act: Act, message: Message, error: DomainError) -> None:
    """Let a message that is locked be sent later, or give it up after its last attempt."""
    pauses = act.core.rules.messages.pauses
    if message.attempts >= pauses.attempts:
        not_sent(act, message, MessageStatus.DEAD, Reason.GAVE_UP, error)
        return
    wanted = error.data.get("retry_after")
    asked = timedelta(seconds=float(wanted)) if wanted is not None else timedelta()
    facts: dict[str, Any] = {"reason": Reason.PUT_OFF, "error": as_json(error)}
    if message.status is MessageStatus.SENDING:
        message = message.moved(MessageStatus.QUEUED, act.now(), **facts)
    else:
        message = message.changed(**facts)
    act.uow.messages.save(message)
    pause = max(pauses.after(message.attempts), min(asked, timedelta(days=1)))
    act.uow.timers.set(TimerKind.MESSAGE_TURN, message.id, act.now() + pause)


def _record(
    act: Act, message: Message, stage: Stage, *, code: str | None = None,
    system_id: str | None = None,
) -> None:  # fmt: skip
    record(
        act, "message.sent",
        tree=message.tenant_id, targets=targets_of(message), stage=stage,
        event=message.event, persona=message.persona, channel=str(message.channel),
        system=message.system, template=message.template, template_digest=message.template_digest,
        attempt=message.attempts, may_be_twice=message.may_be_twice, code=code,
        system_id=system_id,
    )  # fmt: skip
