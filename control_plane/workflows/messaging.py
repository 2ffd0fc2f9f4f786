"""The action that sends a message to everyone of a persona."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.domain.message import (
    UNSETTLED,
    Channel,
    Message,
    MessageStatus,
    Reason,
    Recipient,
)
from control_plane.domain.message_events import EVENTS, PERSONAS
from control_plane.domain.suppression import address_digest
from control_plane.domain.team import Person, TeamRole
from control_plane.workflows.core import Act
from control_plane.workflows.outbox import post
from control_plane.workflows.staffing import assigned
from control_plane.workflows.step_actions import (
    NO_MAIL,
    ActInRows,
    ActionHandler,
    ActionOutcome,
    Asks,
    Did,
    Given,
    StillWaits,
)

_SHORT: Final = 16  # hexadecimal digits of an address in a key
_CSM: Final = ("csm_name", "csm_email")


def send(act: Act, given: Given) -> ActionOutcome:
    """Queue the message to each contact of the persona, then wait until each was sent or not."""
    arguments = given.declared.arguments
    event, persona = arguments["event"], arguments["persona"]
    if act.core.systems.mailer is None:
        return NO_MAIL
    people = _people(act, given, persona)
    if not people and persona in set(TeamRole):
        role = persona.replace("_", " ")
        return Asks(
            title=f"Nobody is assigned as {role}",
            instructions=f"Assign somebody with `tenantctl people assign {given.tenant.slug} "
            f"{persona}`, then retry this step.",
        )
    if not people:
        who = PERSONAS[persona].rstrip(".").lower().replace(" it ", " IT ")
        return Asks(
            title=f"Nobody is named: {who}",
            instructions=f"The request names no contact for {who}. Ask the customer who it is, "
            "then write to that person yourself and say so here.",
            owner="sales",
        )
    messages = [
        post(
            act,
            tenant=given.tenant,
            event=event,
            persona=persona,
            recipient=Recipient(name=each["name"], email=each["email"], locale=each.get("locale")),
            data=_data(act, given, event),
            dedupe_key=_key(given, each["email"]),
            cause=given.cause,
            channel=Channel(arguments.get("channel", Channel.EMAIL)),
        )
        for each in people
    ]
    return _outcome(messages)


def _people(act: Act, given: Given, persona: str) -> list[Mapping[str, str]]:
    """Return whom a persona is: contacts of the customer, or who of ours is assigned."""
    if persona not in set(TeamRole):
        return [each for each in given.contacts if each["role"] == persona]
    person = _assigned(act, given, TeamRole(persona))
    return [] if person is None else [{"name": person.name, "email": person.email}]


def _assigned(act: Act, given: Given, role: TeamRole) -> Person | None:
    found = assigned(act.uow, given.tenant, role)
    return act.core.rules.team.by_key.get(found.person_key) if found else None


def _key(given: Given, email: str) -> str:
    """Return the key of one message to an address in a round of the step."""
    return f"{given.cause.key}.{address_digest(email)[:_SHORT]}"


def _data(act: Act, given: Given, event: str) -> dict[str, Any]:
    """Return what the event shows of the step and of the customer success manager."""
    declared, due_at = given.declared, given.step.due_at
    found: dict[str, Any] = {
        "task_title": declared.title,
        "instructions": declared.instructions or declared.title,
        "due_at": due_at.isoformat() if due_at is not None else None,
    }
    person = _assigned(act, given, TeamRole.CSM)
    if person is not None:
        found |= dict(zip(_CSM, (person.name, person.email), strict=True))
    shown = {*EVENTS[event].takes, *EVENTS[event].may_take}
    return {name: value for name, value in found.items() if name in shown and value is not None}


def _outcome(messages: Sequence[Message]) -> ActionOutcome:
    ids = [each.id for each in messages]
    waiting = [each for each in messages if each.status in UNSETTLED]
    if waiting:
        reasons = sorted({str(each.reason) for each in waiting if each.reason is not None})
        why = f" ({', '.join(reasons)})" if reasons else ""
        return StillWaits(
            says=f"{len(waiting)} of {len(messages)} messages to be sent{why}",
            result={"messages": ids},
        )
    dead = [each for each in messages if each.status is MessageStatus.DEAD]
    if dead:  # it has a task of its own; what a person does with it wakes this step
        return StillWaits(
            says=f"somebody to look at {len(dead)} of {len(messages)} messages that were not "
            "delivered",
            result={"messages": ids},
        )
    sent = [each.id for each in messages if each.status is MessageStatus.SENT]
    not_sent = {
        each.id: str(each.reason) for each in messages if each.status is not MessageStatus.SENT
    }
    if not sent and set(not_sent.values()) == {str(Reason.NO_SYSTEM)}:
        return NO_MAIL
    return Did(result={"messages": ids, "sent": len(sent), "not_sent": not_sent})


ACTIONS: Final[Mapping[str, ActionHandler]] = {"message.send": ActInRows(send)}
