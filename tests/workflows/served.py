"""A tenant for whom people work: its steps as a journey would have them done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from email.message import EmailMessage
from typing import Any

from icalendar import Calendar, Event

from control_plane.domain.calendars.rules import Hours, Place
from control_plane.domain.cause import Cause
from control_plane.domain.journey import Journey, JourneyStatus, JourneyStep, StepStatus, step_id
from control_plane.domain.message import Message
from control_plane.domain.playbook import Step, StepKind
from control_plane.domain.team import Absence, Person, TeamRules
from control_plane.services import provisioning
from control_plane.services.performing import perform
from control_plane.workflows import inviting, staffing
from control_plane.workflows.step_actions import ActInRows, ActionOutcome, Given
from tests.world import AUTOMATION, World, request_body

HANDLERS = {**staffing.ACTIONS, **inviting.ACTIONS}
CONTACTS = (
    {"role": "executive_sponsor", "name": "Elio Capo", "email": "elio@example.com", "locale": "it"},
    {"role": "it_admin", "name": "Ida Admin", "email": "ida@example.com", "locale": "it"},
    {"role": "business_sponsor", "name": 'Bea "B" Ü', "email": "bea@example.com", "locale": "it"},
)
ATTENDEES = [
    "csm", "solutions_engineer", "executive_sponsor", "it_admin", "business_sponsor"
]  # fmt: skip


class Served:
    """A world with tenants, and the actions of their steps."""

    def __init__(self, world: World) -> None:
        self.world = world

    def at(self, moment: str) -> None:
        """Let it be another time."""
        clock = self.world.clock
        clock.advance(seconds=(utc(moment) - clock.now()).total_seconds())

    def tenant(
        self,
        number: int = 1,
        *,
        contacts: Sequence[Mapping[str, str]] = CONTACTS,
        company: Mapping[str, str] | None = None,
        contract: Mapping[str, Any] | None = None,
        **requirements: Any,
    ) -> str:
        """Let a contract be accepted, and return its tenant's id."""
        body = request_body("A", number, **requirements)
        body["contacts"] = [dict(each) for each in contacts]
        body["company"] |= company or {}
        body["contract"] |= contract or {}
        accepted = perform(self.world.core, AUTOMATION, provisioning.submit_request, body)
        return accepted.tenant.id

    def team(self, *people: Person, **changes: Any) -> None:
        """Let others be the team; without people the document's stay."""
        rules: TeamRules = self.world.core.rules.team
        if people:
            changes["people"] = people
        team = replace(rules, **changes)
        self.world.core = replace(self.world.core, rules=replace(self.world.core.rules, team=team))

    def person(self, key: str) -> Person:
        """Return somebody of the document."""
        return self.world.core.rules.team.by_key[key]

    def changed(self, key: str, **changes: Any) -> None:
        """Change one of the team."""
        team = self.world.core.rules.team
        self.team(*(
            replace(each, **changes) if each.key == key else each for each in team.people
        ))  # fmt: skip

    def do(self, tenant_id: str, action: str, **arguments: Any) -> ActionOutcome:
        """Do an action of a step in a transaction of its own, as the mover does."""
        handler = HANDLERS[action]
        assert isinstance(handler, ActInRows)
        with self.world.core.act() as act:
            tenant = act.uow.tenants.need(tenant_id)
            customer = staffing.served(act.uow, tenant)
            found = handler.do(act, given(customer, action, arguments))
            act.uow.commit()
        return found

    def invite(self, tenant_id: str, **changes: Any) -> ActionOutcome:
        """Invite to the kickoff, as the shipped playbook does."""
        asked = {"meeting": "kickoff", "minutes": 60, "attendees": ATTENDEES, **changes}
        return self.do(tenant_id, "calendar.invite", **asked)

    def staffed(self, number: int = 1, **changes: Any) -> str:
        """Return a tenant with a customer success manager and an engineer."""
        tenant_id = self.tenant(number, **changes)
        self.do(tenant_id, "people.assign", role="csm")
        self.do(tenant_id, "people.assign", role="solutions_engineer")
        return tenant_id

    def invitations(self, **wanted: Any) -> list[Message]:
        """Return the messages that carry something for a calendar."""
        found = [each for each in self.world.rows("message").values() if each.calendar_method]
        return [
            each for each in found
            if all(getattr(each, name) == value for name, value in wanted.items())
        ]  # fmt: skip

    def actions(self, name: str) -> list[Any]:
        """Return the events of an action."""
        return [each for each in self.world.events() if each.action == name]


def given(customer: staffing.Served, action: str, arguments: Mapping[str, Any]) -> Given:
    """Return what a step of the playbook would hand to an action."""
    now = customer.tenant.created_at
    key = action.replace(".", "_")
    journey = Journey(
        id="jny_1", tenant_id=customer.tenant.id,
        contract_ref=customer.contract.id, playbook_key="day-0", playbook_version=1,
        playbook_digest="sha256:x", status=JourneyStatus.OPEN,
        anchors={"signed": customer.contract.signed_at}, started_at=now, updated_at=now,
    )  # fmt: skip
    row = JourneyStep(
        id=step_id(journey.id, key), journey_id=journey.id, tenant_id=customer.tenant.id, key=key,
        kind=StepKind.ACTION, owner="csm", status=StepStatus.WORKING, updated_at=now,
    )  # fmt: skip
    return Given(
        tenant=customer.tenant, contract=customer.contract, contacts=customer.contacts,
        journey=journey, step=row,
        declared=Step(
            key=key, kind=StepKind.ACTION, title=key, owner="csm", action=action,
            arguments=arguments,
        ),
        cause=Cause(
            playbook="day-0/1", digest="sha256:x", journey_id=journey.id, step=key,
        ),
    )  # fmt: skip


def parsed(message: Message) -> Event:
    """Return the event of an invitation, read from a whole mail as a mail program does."""
    mail = EmailMessage()
    mail.set_content("text")
    mail.add_alternative(
        str(message.calendar_content), subtype="calendar",
        params={"method": str(message.calendar_method)},
    )  # fmt: skip
    part = next(each for each in mail.walk() if each.get_content_type() == "text/calendar")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    calendar = Calendar.from_ical(content)
    assert str(calendar["method"]) == part.get_param("method") == message.calendar_method
    (event,) = calendar.walk("VEVENT")
    return event


def away(first: str, last: str) -> tuple[Absence, ...]:
    """Return one absence."""
    return (Absence(first=date.fromisoformat(first), last=date.fromisoformat(last)),)


def works(zone: str, country: str | None, start: str, end: str) -> dict[str, Any]:
    """Return where and when somebody works."""
    hours = Hours(start=time.fromisoformat(start), end=time.fromisoformat(end))
    return {"place": Place(zone=zone, country=country), "hours": hours}


def utc(text: str) -> datetime:
    """Return an instant."""
    return datetime.fromisoformat(text)
