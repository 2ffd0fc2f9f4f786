"""The events that messages are about, the personas, and the facts that a template may show.

A template that uses another variable is refused when it is read, and a message that brings other
facts when it is written. The class of an event is code, since it decides what an opt-out means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control_plane.domain.message import MessageClass

PERSONAS: Final[Mapping[str, str]] = {
    "executive_sponsor": "The customer's executive sponsor.",
    "it_admin": "The customer's IT admin.",
    "business_sponsor": "The customer's business sponsor.",
    "csm": "The tenant's customer success manager.",
    "solutions_engineer": "The tenant's solutions engineer.",
    "executive_sponsor_partner": "The executive of ours who sponsors the tenant.",
    "owner": "Who has to do a task.",
}


@dataclass(frozen=True, kw_only=True)
class MessageEvent:
    """Something that people get a message about.

    ``takes`` are the facts that who writes the message brings, ``may_take`` those that may be
    missing: a template sees them as empty. ``secrets`` are variables that are resolved when the
    mail is made.
    """

    says: str
    message_class: MessageClass = MessageClass.TRANSACTIONAL
    takes: tuple[str, ...] = ()
    may_take: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


_CSM: Final = ("csm_name", "csm_email")  # the customer success manager, once assigned
_MEETING: Final = ("starts_at", "ends_at", "title")
EVENTS: Final[Mapping[str, MessageEvent]] = {
    "contract.signed": MessageEvent(says="A contract was signed: welcome.", may_take=_CSM),
    "portal.link_issued": MessageEvent(
        says="The one-time link to the onboarding portal.",
        takes=("expires_at",),
        secrets=("link",),
    ),
    "onboarding.code": MessageEvent(
        says="The code that confirms who opened the link.",
        takes=("expires_at",),
        secrets=("code",),
    ),
    "kickoff.invited": MessageEvent(
        says="The invitation to the kickoff.", takes=_MEETING, may_take=("join_url",)
    ),
    "kickoff.moved": MessageEvent(
        says="The kickoff is at another time.", takes=_MEETING, may_take=("join_url",)
    ),
    "kickoff.cancelled": MessageEvent(says="The kickoff was canceled.", takes=_MEETING),
    "chat.invited": MessageEvent(
        says="The channel that is shared with the customer is open.",
        takes=("chat", "channel_name"),
        may_take=("channel_url",),
    ),
    "tenant.ready": MessageEvent(says="The tenant is ready.", may_take=("endpoint_url", *_CSM)),
    "step.blocked": MessageEvent(
        says="A step waits for something that is missing.",
        message_class=MessageClass.LIFECYCLE,
        takes=("step_title", "missing"),
        may_take=("due_at",),
    ),
    "task.reminder": MessageEvent(
        says="A task is due soon, or was due.",
        message_class=MessageClass.LIFECYCLE,
        takes=("task_title", "instructions"),
        may_take=("due_at",),
    ),
}

# facts that every message has: the product brings them itself
ALWAYS: Final = (
    "brand", "company", "slug", "mode", "region", "hub_status", "signed_on", "day",
    "recipient", "contacts", "prerequisites", "portal_steps",
)  # fmt: skip
