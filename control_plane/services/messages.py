"""Messages to people: listed, shown as their recipients see them, sent again, canceled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from control_plane.domain.actor import Actor, Role
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.domain.message import Message, MessageStatus, Reason
from control_plane.domain.message_rules import Rendered, Template
from control_plane.services.permission import (
    READ_TENANTS,
    listed,
    require_role,
    require_visibility,
    visible,
)
from control_plane.workflows.core import Act
from control_plane.workflows.message_facts import facts_of, render, template_of, tenant_of
from control_plane.workflows.outbox import cancel, send_again, targets_of
from control_plane.workflows.recording import record, refused_as

READERS: Final = tuple(sorted(READ_TENANTS))
# who may see names, addresses and what is said
CONTENT_READERS: Final = (Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)
SENDERS: Final = (Role.OPS_APPROVER, Role.SOLUTIONS_ARCHITECT, Role.PLATFORM_ADMIN)
_AGAIN: Final = frozenset({MessageStatus.DEAD, MessageStatus.SUPPRESSED})
_CANCELABLE: Final = frozenset({MessageStatus.QUEUED, MessageStatus.DEAD, MessageStatus.SUPPRESSED})


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A message as its recipient sees it, without its secrets."""

    message: Message
    template: Template
    rendered: Rendered


# --- looking -----------------------------------------------------------------------------------
def list_messages(
    act: Act,
    *,
    limit: int,
    before: str | None,
    tenant_id: str | None = None,
    status: MessageStatus | None = None,
    event: str | None = None,
) -> list[Message]:
    """Return messages of the tenants that the caller sees, newest first."""
    require_role(act, *READERS, wanted="messages.read")
    if tenant_id is not None:
        require_visibility(act, tenant_id, wanted="messages.read")
    wanted = listed(act, tenant_id=tenant_id, status=status, event=event)
    return act.uow.messages.page(limit=limit, before=before, **wanted)


def get_message(act: Act, message_id: str) -> Message:
    """Return a message. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="messages.read")
    return visible(act, act.uow.messages.get(message_id), wanted="messages.read")


def preview_message(act: Act, message_id: str) -> Preview:
    """Return a message as it would be sent now, and record who read it.

    Raises ``NotFound`` for one whose content was erased, ``TemplateFailed`` for one of which no
    mail can be made.
    """
    require_role(act, *CONTENT_READERS, wanted="messages.preview")
    found = visible(act, act.uow.messages.get(message_id), wanted="messages.preview")
    if found.is_erased:
        raise NotFound("the content of this message was erased")
    hidden = {name: f"[{name}: only the recipient sees it]" for name in found.secrets}
    facts = facts_of(act, tenant_of(act.uow, found))
    rendered = render(act.core, found, facts, hidden)
    record(
        act, "message.read",
        tree=found.tenant_id, targets=targets_of(found), event=found.event, persona=found.persona,
    )  # fmt: skip
    return Preview(message=found, template=template_of(act.core, found), rendered=rendered)


def allowed_actions(message: Message, actor: Actor) -> list[str]:
    """Return what somebody may ask of a message now."""
    found = ["preview"] if actor.has(*CONTENT_READERS) and not message.is_erased else []
    if actor.has(*SENDERS):
        found += ["send_again"] if message.status in _AGAIN and not message.is_erased else []
        found += ["cancel"] if message.status in _CANCELABLE else []
    return found


# --- deciding ----------------------------------------------------------------------------------
def may_send(act: Act, message_id: str) -> Message:
    """Return a message that the caller's roles may send again or cancel.

    Raises ``NotFound``, ``NotAllowed``.
    """
    require_role(act, *SENDERS, wanted="messages.send")
    return visible(act, act.uow.messages.get(message_id), wanted="messages.send")


def send_message_again(act: Act, message_id: str, *, reason: str) -> Message:
    """Queue a message again that is dead or suppressed; what kept it from being sent still counts.

    Raises ``IllegalTransition`` for any other, and for one whose content was erased.
    """
    seen = may_send(act, message_id)
    with refused_as(
        act, "message.refused",
        tree=seen.tenant_id, targets=targets_of(seen), wanted="send_again",
    ):  # fmt: skip
        _require_reason(reason)
        message = act.uow.messages.need(message_id, lock=True)
        if message.status not in _AGAIN:
            raise IllegalTransition(
                f"the message is {message.status}: only one that is dead or suppressed is sent "
                "again",
                present_status=str(message.status),
            )
        if message.is_erased:
            raise IllegalTransition(
                "its recipient and content were erased, so it cannot be sent any more",
                present_status=str(message.status),
            )
        return send_again(act, message, reason.strip())


def cancel_message(act: Act, message_id: str, *, reason: str) -> Message:
    """Decide that a message is not sent. Raises ``IllegalTransition`` for one that went out."""
    seen = may_send(act, message_id)
    with refused_as(
        act, "message.refused",
        tree=seen.tenant_id, targets=targets_of(seen), wanted="cancel",
    ):  # fmt: skip
        _require_reason(reason)
        message = act.uow.messages.need(message_id, lock=True)
        if message.status not in _CANCELABLE:
            raise IllegalTransition(
                f"the message is {message.status}: it cannot be canceled",
                present_status=str(message.status),
            )
        return cancel(act, message, Reason.BY_PERSON, why=reason.strip())


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
