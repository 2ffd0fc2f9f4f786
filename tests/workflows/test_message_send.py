"""The action ``message.send``: to everyone of a persona, once, in their language."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.journey import Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.message import MessageStatus, Reason
from control_plane.domain.playbook import Step, StepKind
from control_plane.domain.system_errors import SystemRefused
from control_plane.domain.team import TeamRole
from control_plane.domain.timers import TimerKind
from control_plane.ports.systems import Systems
from control_plane.services import people
from control_plane.services.performing import perform
from control_plane.workflows.journey_rows import cause_of
from control_plane.workflows.messaging import ACTIONS
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionOutcome,
    Asks,
    Did,
    Given,
    NotNeeded,
    StillWaits,
)
from tests.workflows.sending import Sender
from tests.world import ADMIN, World

IDA = {"role": "it_admin", "name": "Ida Admin", "email": "ida@example.com", "locale": "it"}
ADA = {"role": "it_admin", "name": "Ada Admin", "email": "ada@example.com", "locale": "de-AT"}


class Step1:
    """A step of a journey that sends the welcome to the IT admin."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self.world = sender, sender.world
        now = self.world.clock.now()
        with self.world.core.uow() as uow:
            tenant = uow.tenants.need(sender.tenant_id)
            (contract,) = uow.contracts.find(tenant_id=tenant.id)
        journey_id = self.world.ids.new("journey")
        journey = Journey(
            id=journey_id, tenant_id=tenant.id, contract_ref=contract.id, playbook_key="day-0",
            playbook_version=1, playbook_digest="sha256:0", status=JourneyStatus.OPEN,
            anchors={"signed": contract.signed_at}, started_at=now, updated_at=now,
        )  # fmt: skip
        step = JourneyStep(
            id=f"{journey_id}.welcome", journey_id=journey_id, tenant_id=tenant.id, key="welcome",
            kind=StepKind.ACTION, owner="csm", status=StepStatus.WORKING, updated_at=now,
        )  # fmt: skip
        self.given = Given(
            tenant=tenant, contract=contract, contacts=(IDA, ADA), journey=journey, step=step,
            declared=Step(
                key="welcome", kind=StepKind.ACTION, title="Welcome", owner="csm",
                action="message.send",
                arguments={"event": "contract.signed", "persona": "it_admin"},
            ),
            cause=cause_of(journey, step),
        )  # fmt: skip

    def do(self, **changes: Any) -> ActionOutcome:
        handler = ACTIONS["message.send"]
        assert isinstance(handler, ActInRows)
        with self.world.core.act() as act:
            outcome = handler.do(act, replace(self.given, **changes))
            act.uow.commit()
        return outcome


@pytest.fixture
def step(world: World) -> Step1:
    sender = Sender(world)
    sender.with_mail()
    return Step1(sender)


def test_each_contact_gets_it_once_in_their_language(step: Step1) -> None:
    assert isinstance(step.do(), StillWaits)
    assert isinstance(step.do(), StillWaits)  # asked again meanwhile
    step.world.work()
    outcome = step.do()
    assert isinstance(outcome, Did)
    assert outcome.result["sent"] == 2
    assert outcome.result["messages"] == list(step.world.rows("message"))
    subjects = {mail.recipient: mail.subject for mail in step.sender.mailer.taken}
    assert subjects == {
        "ida@example.com": "I primi passi con Tenantplane",
        "ada@example.com": "Ihre ersten Schritte mit Tenantplane",
    }


@pytest.mark.requirement("K-014")
def test_one_person_under_two_spellings_gets_it_once(step: Step1) -> None:
    step.do(contacts=(IDA, {**IDA, "email": "IDA@Example.com"}))
    assert len(step.world.rows("message")) == 1


def test_another_round_of_the_step_is_another_message(step: Step1) -> None:
    step.do()
    again = replace(step.given.step, round=2)
    step.do(step=again, cause=cause_of(step.given.journey, again))
    assert len(step.world.rows("message")) == 4


def test_the_journey_is_woken_when_a_message_was_sent(step: Step1) -> None:
    step.do()
    step.world.work()
    journey_id = step.given.journey.id
    with step.world.core.uow() as uow:
        assert list(uow.timers.due(TimerKind.JOURNEY_TURN, [journey_id])) == [journey_id]
    (first, *_) = step.world.rows("message").values()
    assert first.cause == step.given.cause


def test_who_is_not_named_is_asked_for(step: Step1) -> None:
    outcome = step.do(contacts=({**IDA, "role": "executive_sponsor"},))
    assert isinstance(outcome, Asks)
    assert outcome.owner == "sales"
    assert "IT admin" in outcome.instructions


def test_without_a_mail_system_nothing_is_needed(step: Step1) -> None:
    step.world.core = replace(step.world.core, systems=Systems())
    outcome = step.do()
    assert isinstance(outcome, NotNeeded)
    assert "no system" in outcome.why
    assert not step.world.rows("message")


def test_what_is_dead_is_a_task_and_the_step_waits_for_it(step: Step1) -> None:
    refused = SystemRefused("refused: 550", system="scripted", reason="recipient")
    step.sender.mailer.before = [refused]
    step.do(contacts=(IDA,))
    step.world.work()
    assert isinstance(step.do(contacts=(IDA,)), StillWaits)
    (task,) = step.world.rows("task").values()
    (message,) = step.world.rows("message").values()
    assert (task.about_kind, task.about_id, task.owner) == ("message", message.id, "csm")
    assert task.cause == step.given.cause
    assert "ida" not in f"{task.title} {task.instructions}".lower()


def test_what_was_not_to_be_sent_is_named(step: Step1) -> None:
    step.do(contacts=(IDA,))
    (message,) = step.world.rows("message").values()
    with step.world.core.act() as act:
        found = act.uow.messages.need(message.id, lock=True)
        act.uow.messages.save(
            found.moved(MessageStatus.SUPPRESSED, act.now(), reason=Reason.OPTED_OUT)
        )
        act.uow.commit()
    outcome = step.do(contacts=(IDA,))
    assert isinstance(outcome, Did)
    assert outcome.result["not_sent"] == {message.id: "opted_out"}


# --- people of ours ----------------------------------------------------------------------------
REMIND = {"event": "task.reminder", "persona": "csm"}


def reminding(step: Step1) -> ActionOutcome:
    declared = replace(
        step.given.declared, arguments=REMIND, title="It is late", instructions="Call them."
    )
    due = replace(step.given.step, due_at=step.world.clock.now())
    return step.do(declared=declared, step=due)


def test_who_is_assigned_gets_what_the_step_says(step: Step1) -> None:
    perform(
        step.world.core, ADMIN, people.assign_person, step.given.tenant.id,
        role=TeamRole.CSM, reason="new",
    )  # fmt: skip
    assert isinstance(reminding(step), StillWaits)
    (message,) = step.world.rows("message").values()
    (assignment,) = step.world.rows("assignment").values()
    csm = step.world.core.rules.team.by_key[assignment.person_key]
    assert (message.recipient_email, message.persona) == (csm.email, "csm")
    assert message.data["task_title"] == "It is late"
    assert message.data["instructions"] == "Call them."
    step.world.work()
    (mail,) = step.sender.mailer.taken
    assert mail.subject.endswith("It is late")
    assert isinstance(reminding(step), Did)


def test_where_nobody_is_assigned_a_person_is_asked(step: Step1) -> None:
    outcome = reminding(step)
    assert isinstance(outcome, Asks)
    assert "people assign" in outcome.instructions
    assert not step.world.rows("message")
