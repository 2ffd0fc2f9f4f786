"""The facts that every message of a tenant has, read when its mail is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control_plane.domain.calendars.moments import wall_of
from control_plane.domain.errors import NotFound
from control_plane.domain.message import Message
from control_plane.domain.message_errors import TemplateFailed
from control_plane.domain.message_rules import Rendered, Template
from control_plane.domain.message_variables import MessageFacts, variables
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act, Core
from control_plane.workflows.erasing import CONTACTS


def contacts_of(uow: UnitOfWork, tenant_id: str) -> tuple[dict[str, str], ...]:
    """Return the contacts of a tenant's newest request: role, name, email, locale."""
    requests = uow.requests.find(tenant_id=tenant_id)
    return tuple(requests[-1].body.get(CONTACTS) or ()) if requests else ()


def signed_at(uow: UnitOfWork, tenant: Tenant) -> datetime:
    """Return when a tenant's first contract was signed."""
    contracts = uow.contracts.find(tenant_id=tenant.id)
    return min((each.signed_at for each in contracts), default=tenant.created_at)


def day_of(tenant: Tenant, signed: datetime, now: datetime) -> int:
    """Return which day of a tenant it is by its own clocks; that of the signature is 0."""
    zone = tenant.time_zone
    return (wall_of(now, zone).date() - wall_of(signed, zone).date()).days


def facts_of(act: Act, tenant: Tenant) -> MessageFacts:
    """Return what templates may show of a tenant."""
    signed = signed_at(act.uow, tenant)
    return MessageFacts(
        company=" ".join(tenant.legal_name.split()),
        slug=tenant.slug,
        mode=tenant.mode,
        region=tenant.region,
        zone=tenant.time_zone,
        signed_at=signed,
        day=day_of(tenant, signed, act.now()),
        contacts=tuple((each["role"], each["name"]) for each in contacts_of(act.uow, tenant.id)),
    )


def template_of(core: Core, message: Message) -> Template:
    """Return the template of a message. Raises ``TemplateFailed`` when the rules have none."""
    found = core.rules.messages.template(
        message.event, message.persona, message.channel, message.locale
    )
    if found is None:
        raise TemplateFailed(
            f"no template of {message.event} is for {message.persona} in {message.locale}",
            template=message.event,
        )
    return found


def render(core: Core, message: Message, facts: MessageFacts, secrets: dict[str, str]) -> Rendered:
    """Return a message as its recipient sees it. Raises ``TemplateFailed``."""
    template = template_of(core, message)
    given: dict[str, Any] = variables(
        core.rules.messages, message.locale, facts,
        event=message.event, recipient=message.recipient_name, data=message.data, secrets=secrets,
    )  # fmt: skip
    return template.render(given)


def tenant_of(uow: UnitOfWork, message: Message) -> Tenant:
    """Return the tenant that a message is about. Raises ``NotFound``."""
    found = uow.tenants.get(message.tenant_id)
    if found is None:
        raise NotFound("tenant not found")
    return found
