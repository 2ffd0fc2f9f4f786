"""What a playbook can let the product do, and what its conditions can ask: names, not code.

A document that uses another name is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action: what it does, in words, and the names of what it takes.

    ``undone_by`` is the action that takes it back.
    """

    says: str
    takes: tuple[str, ...] = ()
    may_take: tuple[str, ...] = ()
    undone_by: str | None = None


ACTIONS: Final[Mapping[str, Action]] = {
    "crm.upsert_company": Action(
        says="Creates the customer's record in the CRM, or brings it up to date."
    ),
    "tenant.provision": Action(
        says="Follows the tenant's first run, or its bundle, until the tenant is ready."
    ),
    "link.issue": Action(
        says="Issues the one-time link to the onboarding portal and sends it to the IT admin.",
        undone_by="link.revoke",
    ),
    "link.revoke": Action(says="Revokes the links that were issued."),
    "people.assign": Action(
        says="Assigns somebody of the vendor by segment, language, hours and load.",
        takes=("role",),
        may_take=("within",),
        undone_by="people.release",
    ),
    "people.release": Action(says="Takes an assignment back.", takes=("role",)),
    "message.send": Action(
        says="Sends the message of an event to everyone of a persona.",
        takes=("event", "persona"),
        may_take=("channel",),
    ),
    "calendar.invite": Action(
        says="Finds a time in both parties' hours and invites them.",
        takes=("meeting", "minutes"),
        may_take=("attendees", "within", "notice_hours", "alternatives"),
        undone_by="calendar.cancel",
    ),
    "calendar.cancel": Action(says="Cancels the invitation.", takes=("meeting",)),
    "chat.open_channel": Action(
        says="Opens the channel that is shared with the customer and invites its contacts.",
        undone_by="chat.close_channel",
    ),
    "chat.close_channel": Action(says="Archives the shared channel."),
    "tickets.upsert_organisation": Action(
        says="Creates the customer's organisation where tickets are kept, or updates it."
    ),
}

# what a gate may check by machine; people check items of their own
CHECKS: Final[Mapping[str, str]] = {
    "tenant_ready": "The tenant is ready, by evidence for the state that it has.",
    "no_hold": "No hold stands.",
    "no_drift": "The newest look at the tenant agrees with what was applied.",
    "residency_kept": "Everything of the tenant is where that was promised.",
    "audit_log_verifies": "The tenant's audit log verifies.",
}

# facts that conditions may ask for, with their values; an empty tuple: any value
FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("A", "B", "C"),
    "subscription": (),
    "country": (),
    "chat": ("slack", "teams", "email"),
}

# while one of these is unknown, what asks for it waits: a person settles it
SETTLED_LATER: Final = ("mode",)

TRIGGERS: Final[Mapping[str, str]] = {
    "contract.signed": "A signed contract was accepted.",
}

OWNERS: Final[Mapping[str, str]] = {
    "automation": "The product itself.",
    "sales": "Who sold the contract.",
    "csm": "The tenant's customer success manager.",
    "csm_lead": "The lead of customer success.",
    "solutions_engineer": "The tenant's solutions engineer.",
    "solutions_architect": "Who hands Mode C over.",
    "ops": "Operations.",
    "it_admin": "The customer's IT admin.",
    "executive_sponsor": "The customer's executive sponsor.",
    "business_sponsor": "The customer's business sponsor.",
}
