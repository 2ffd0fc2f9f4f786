"""Actions of playbooks in systems outside: the customer's record, its organisation, its channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control_plane.domain.system_errors import SystemRefused
from control_plane.domain.tenant import Contract, Tenant
from control_plane.ports.systems import Chat, Company, Ref
from control_plane.workflows.chat_instructions import by_hand
from control_plane.workflows.core import Core
from control_plane.workflows.step_actions import (
    ActionHandler,
    ActionOutcome,
    ActOutside,
    Asks,
    Did,
    Given,
    NotNeeded,
)

STRICTEST_NAME: Final = 50  # that of Teams, so that a customer's channel is named alike anywhere
_NAMES: Final = 9  # tried before a person is asked
_EMAIL: Final = "email"


def company_of(tenant: Tenant, contract: Contract) -> Company:
    """Return a tenant as CRM and tickets know it."""
    known = {
        "subscription": contract.subscription,
        "mode": tenant.mode,
        "seats": None if contract.seats is None else str(contract.seats),
    }
    return Company(
        key=tenant.id,
        name=tenant.legal_name,
        domain=tenant.domain,
        country=tenant.country,
        slug=tenant.slug,
        contract_id=contract.contract_id,
        facts={name: value for name, value in known.items() if value is not None},
    )


def upsert_company(core: Core, given: Given) -> ActionOutcome:
    """Create the customer's record in the CRM, or bring it up to date."""
    crm = core.systems.crm
    if crm is None:
        return NotNeeded(why="no system for customer records: `crm` is none in rules/systems.yaml")
    return _done(crm.system, crm.upsert_company(company_of(given.tenant, given.contract)))


def upsert_organisation(core: Core, given: Given) -> ActionOutcome:
    """Create the customer's organisation where tickets are kept, or bring it up to date."""
    tickets = core.systems.tickets
    if tickets is None:
        return NotNeeded(why="no system for tickets: `tickets` is none in rules/systems.yaml")
    company = company_of(given.tenant, given.contract)
    return _done(tickets.system, tickets.upsert_organisation(company))


def chat_of(core: Core, tenant: Tenant, contract: Contract) -> str:
    """Return where a customer is met: ``slack``, ``teams`` or ``email``.

    What was agreed wins over the rule for the subscription.
    """
    agreed = tenant.facts.get("chat")
    return str(agreed or core.rules.systems.channels.chat.get(contract.subscription, _EMAIL))


def open_channel(core: Core, given: Given) -> ActionOutcome:
    """Open the channel that is shared with the customer, and invite its contacts one by one.

    What policies of either side forbid becomes a task with what is left to do.
    """
    kind = chat_of(core, given.tenant, given.contract)
    if kind == _EMAIL:
        return NotNeeded(why="the customer is met by e-mail, not in a channel")
    chat = core.systems.chats.get(kind)
    if chat is None:
        return NotNeeded(why=f"no system for channels: {kind} is none in rules/systems.yaml")
    contacts = tuple(_invited(core, given))
    wanted = core.rules.systems.channels.name(given.tenant.slug, longest=_longest(chat))
    roles = [contact["role"] for contact in contacts]
    try:
        channel = _opened(core, chat, given)
    except SystemRefused as refused:
        if refused.data.get("kind") != "policy":
            raise
        return by_hand(kind, name=wanted, url=None, roles=roles, why=refused.message, result={})
    result: dict[str, Any] = {**_facts(kind, channel), "invites": []}
    left: list[str] = []
    why = ""
    for contact in contacts:
        key = f"{channel_key(given.tenant)}.{contact['email']}"
        try:
            invited = chat.invite(channel.id, contact["email"], key=key)
        except SystemRefused as refused:
            if refused.data.get("reason") == "credential":
                raise
            left.append(contact["role"])
            why = refused.message
            continue
        status = {"role": contact["role"], "id": invited.id, "status": invited.status}
        result["invites"].append(status)
    if left:
        return by_hand(kind, name=wanted, url=channel.url, roles=left, why=why, result=result)
    if not contacts:
        return _nobody_to_invite(core, channel, result)
    return Did(result=result)


def close_channel(core: Core, given: Given) -> ActionOutcome:
    """Archive the channel of the tenant, wherever it was opened."""
    closed = []
    for kind, chat in core.systems.chats.items():
        found = chat.find_channel(channel_key(given.tenant))
        if found is not None:
            chat.close_channel(found.id)
            closed.append(_facts(kind, found))
    if not closed:
        return NotNeeded(why="the tenant has no channel")
    return Did(result={"closed": closed})


def channel_key(tenant: Tenant) -> str:
    """Return what a tenant's channel is found by: it is one, however often a step begins again."""
    return f"{tenant.id}.channel"


def _opened(core: Core, chat: Chat, given: Given) -> Ref:
    """Open it under the first name that nobody has."""
    channels, slug = core.rules.systems.channels, given.tenant.slug
    topic = f"{given.tenant.legal_name}, {given.contract.contract_id}"
    number = 1
    while True:
        name = channels.name(slug, longest=_longest(chat), number=number)
        try:
            return chat.open_channel(name, topic=topic, key=channel_key(given.tenant))
        except SystemRefused as refused:
            if refused.data.get("reason") != "name_taken" or number == _NAMES:
                raise
            number += 1


def _longest(chat: Chat) -> int:
    return min(STRICTEST_NAME, chat.longest_name)


def _invited(core: Core, given: Given) -> Iterator[Mapping[str, str]]:
    """Yield the contacts who belong into the channel, each address once."""
    seen = set()
    for role in core.rules.systems.channels.invites:
        for contact in given.contacts:
            address = contact.get("email", "").casefold()
            if contact["role"] == role and address and address not in seen:
                seen.add(address)
                yield contact


def _nobody_to_invite(core: Core, channel: Ref, result: Mapping[str, Any]) -> Asks:
    roles = " or ".join(core.rules.systems.channels.invites)
    return Asks(
        title="Name somebody of the customer for the shared channel",
        instructions=(
            f"The channel is open ({channel.url}), and the contract names nobody to invite "
            f"({roles}). Ask the customer who should be there, invite them, and close this task."
        ),
        result=result,
        owner="sales",
    )


def _done(system: str, ref: Ref) -> Did:
    return Did(result=_facts(system, ref))


def _facts(system: str, ref: Ref) -> dict[str, Any]:
    return {"system": system, "id": ref.id, "url": ref.url, "created": ref.created}


ACTIONS: Final[Mapping[str, ActionHandler]] = {
    "crm.upsert_company": ActOutside(upsert_company),
    "tickets.upsert_organisation": ActOutside(upsert_organisation),
    "chat.open_channel": ActOutside(open_channel),
    "chat.close_channel": ActOutside(close_channel),
}
