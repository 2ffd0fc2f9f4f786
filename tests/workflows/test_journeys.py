"""Journeys: each kind of step, what fails, what is tried again, what is taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from control_plane.domain.actions import ACTIONS
from control_plane.domain.errors import InvalidInput
from control_plane.domain.journey import JourneyStatus
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.domain.timers import TimerKind
from control_plane.workflows.action_handlers import HANDLERS
from control_plane.workflows.core import Act
from control_plane.workflows.step_actions import (
    ActInRows,
    ActionOutcome,
    Asks,
    Did,
    DidFail,
    Given,
    NotNeeded,
    StillWaits,
)
from tests.journeys import (
    Scripted,
    go_on,
    journey_of,
    sample,
    statuses,
    steps_of,
    tasks_of,
    with_actions,
    with_playbooks,
)
from tests.world import World

ONE = "- {key: record, kind: action, title: A record, owner: sales, action: crm.upsert_company}\n"
TWO = ONE + (
    "- {key: tickets, kind: action, title: Tickets, owner: csm, needs: [record],"
    " action: tickets.upsert_organisation}\n"
)
CRM, TICKETS = "crm.upsert_company", "tickets.upsert_organisation"


def begun(world: World, steps: str, *, in_rows: bool = False, **answers: Any) -> Scripted:
    """Let a contract be signed while a playbook of these steps is in force."""
    scripted = Scripted(answers={name.replace("__", "."): of for name, of in answers.items()})
    make = scripted.in_rows if in_rows else scripted.outside
    names = (
        CRM, TICKETS, "link.issue", "link.revoke", "chat.open_channel", "chat.close_channel",
        "people.assign", "people.release",
    )  # fmt: skip
    handlers = {name: make(name) for name in names}
    with_actions(with_playbooks(world, sample(steps)), {**HANDLERS, **handlers})
    world.ready_hub()
    world.submit()
    return scripted


def test_nothing_changes_for_who_has_no_playbook_in_force(world: World) -> None:
    world.submit()
    go_on(world)
    assert world.rows("journey") == world.rows("task") == {}
    assert not any(action.startswith("journey.") for action in world.actions())


@pytest.mark.requirement("F-015", "F-075")
@pytest.mark.parametrize("in_rows", [True, False])
def test_steps_follow_what_they_need_and_the_journey_ends(world: World, in_rows: bool) -> None:
    scripted = begun(world, TWO, in_rows=in_rows, crm__upsert_company=[Did(result={"id": "c1"})])
    go_on(world)
    assert scripted.steps() == ["record", "tickets"]
    assert statuses(world) == {"record": "done", "tickets": "done"}
    assert steps_of(world)["record"].result == {"id": "c1"}
    assert journey_of(world).status is JourneyStatus.DONE
    assert world.actions()[-1] == "journey.ended:completed"


@pytest.mark.requirement("F-092")
def test_a_step_that_is_not_needed_is_skipped_with_its_reason(world: World) -> None:
    begun(world, TWO, crm__upsert_company=[NotNeeded(why="no system")])
    go_on(world)
    assert statuses(world) == {"record": "skipped", "tickets": "done"}
    assert steps_of(world)["record"].reason == "no system"


def test_an_outage_is_tried_again_twice_as_late_each_time_and_then_fails(world: World) -> None:
    down = SystemUnavailable("the CRM is down", system="crm")
    scripted = begun(world, TWO, crm__upsert_company=[down])
    go_on(world)
    assert len(scripted.asked) == 1
    step = steps_of(world)["record"]
    assert step.wakes_at == world.clock.now() + timedelta(seconds=60)
    assert (step.error or {})["code"] == "system_unavailable"
    world.clock.advance(seconds=60)
    go_on(world)
    assert steps_of(world)["record"].wakes_at == world.clock.now() + timedelta(seconds=120)
    world.clock.advance(seconds=120)
    go_on(world)
    assert len(scripted.asked) == 3
    assert statuses(world) == {"record": "failed", "tickets": "waiting"}
    (task,) = tasks_of(world, status="open")
    assert (task.owner, task.about_id) == ("sales", steps_of(world)["record"].id)
    assert "journey retry" in task.instructions


def test_a_system_that_asks_to_wait_is_not_asked_before(world: World) -> None:
    busy = SystemUnavailable("too many requests", system="crm", retry_after=900)
    scripted = begun(world, ONE, crm__upsert_company=[busy, Did()])
    go_on(world)
    world.clock.advance(seconds=899)
    go_on(world)
    assert len(scripted.asked) == 1
    world.clock.advance(seconds=1)
    go_on(world)
    assert statuses(world) == {"record": "done"}


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (SystemRefused("no right to do that"), "system_refused"),
        (InvalidInput("no domain", field="domain"), "invalid_input"),
        (DidFail(error={"code": "own", "message": "no", "remedy": "Do it."}), "own"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
def test_what_fails_for_good_stops_only_what_needs_it(
    world: World, in_rows: bool, answer: Any, code: str
) -> None:
    steps = TWO + "- {key: link, kind: action, title: Link, owner: csm, action: link.issue}\n"
    begun(world, steps, in_rows=in_rows, crm__upsert_company=[answer])
    go_on(world)
    assert statuses(world) == {"record": "failed", "tickets": "waiting", "link": "done"}
    assert (steps_of(world)["record"].error or {})["code"] == code
    assert len(tasks_of(world, status="open")) == 1


def test_every_action_that_a_playbook_may_name_has_a_handler() -> None:
    assert set(HANDLERS) == set(ACTIONS)


def test_an_action_without_handler_fails_with_its_code(world: World) -> None:
    begun(
        world,
        "- {key: mail, kind: action, title: Mail, owner: csm, action: message.send,"
        " with: {event: tenant.ready, persona: it_admin}}\n",
    )
    world.core = replace(world.core, actions={})
    go_on(world)
    assert (steps_of(world)["mail"].error or {})["code"] == "action_unavailable"


def test_a_step_that_waits_is_asked_when_its_time_has_come_and_at_news(world: World) -> None:
    later = world.clock.now() + timedelta(hours=1)
    waits = StillWaits(says="the customer", until=later, result={"invited": "ida"})
    scripted = begun(world, ONE, crm__upsert_company=[waits, waits, Did()])
    go_on(world)
    assert statuses(world) == {"record": "working"}
    step = steps_of(world)["record"]
    assert (step.reason, step.result, step.failures) == (
        "the customer", {"invited": "ida"}, 0,
    )  # fmt: skip
    asked = len(scripted.asked)
    world.clock.advance(hours=1)
    go_on(world)
    assert len(scripted.asked) > asked
    assert statuses(world) == {"record": "done"}


def test_a_step_that_waits_longer_than_its_hours_fails(world: World) -> None:
    begun(world, ONE, crm__upsert_company=[StillWaits(says="the customer")])
    go_on(world)
    world.clock.advance(hours=49)
    _wake(world)
    go_on(world)
    error = steps_of(world)["record"].error or {}
    assert error["code"] == "waited_too_long"
    assert "the customer" in error["message"]


def test_what_asks_a_person_becomes_a_task_of_the_owner_it_names(world: World) -> None:
    asks = Asks(title="No sponsor", instructions="Ask the customer.", owner="sales")
    begun(world, TWO, crm__upsert_company=[asks])
    go_on(world)
    assert statuses(world) == {"record": "asked", "tickets": "waiting"}
    (task,) = tasks_of(world)
    assert (task.title, task.owner, task.cause.step) == ("No sponsor", "sales", "record")


@pytest.mark.requirement("F-015")
@pytest.mark.parametrize("kind", ["task", "meeting", "form", "approval"])
def test_a_step_of_people_is_a_task_with_its_due_time(world: World, kind: str) -> None:
    begun(
        world,
        f"- {{key: talk, kind: {kind}, title: Talk, owner: csm, instructions: Talk to them.,"
        " due: {anchor: signed, amount: 2, unit: business_day}}\n",
    )
    go_on(world)
    assert statuses(world) == {"talk": "asked"}
    (task,) = tasks_of(world)
    assert (task.instructions, task.status) == ("Talk to them.", "open")
    # signed on Friday 20 November in Rome; Thursday is Thanksgiving, Tuesday is not
    assert task.due_at == steps_of(world)["talk"].due_at
    assert task.due_at.date().isoformat() == "2026-11-24"


def test_a_condition_that_does_not_hold_skips_a_step_with_its_reason(world: World) -> None:
    begun(world, ONE.replace("action: crm", "when: {mode: [B, C]}, action: crm"))
    go_on(world)
    step = steps_of(world)["record"]
    assert (str(step.status), step.reason) == ("skipped", "mode is A, not B or C")


@pytest.mark.requirement("K-034")
def test_a_step_for_another_subscription_is_left_out_with_its_reason(world: World) -> None:
    begun(
        world,
        ONE.replace("action: crm", "when: {subscription: [standard]}, action: crm")
        + "- {key: sso, kind: task, title: SSO, owner: csm, when: {subscription: [enterprise]}}\n",
    )
    go_on(world)
    assert statuses(world) == {"record": "skipped", "sso": "asked"}
    assert steps_of(world)["record"].reason == "subscription is enterprise, not standard"


def test_a_step_begins_at_its_time_also_when_the_clock_was_set_back(world: World) -> None:
    scripted = begun(
        world,
        ONE.replace(
            "action: crm", "starts: {anchor: signed, amount: 2, unit: elapsed_hour}, action: crm"
        ),
    )
    go_on(world)
    assert statuses(world) == {"record": "scheduled"}
    world.clock.advance(hours=-5)
    _wake(world)
    go_on(world)
    assert statuses(world) == {"record": "scheduled"}
    world.clock.advance(hours=7)
    go_on(world)
    assert scripted.steps() == ["record"]
    assert statuses(world) == {"record": "done"}


def _wake(world: World) -> None:
    """Let the journey look, as whoever has news does."""
    with world.core.act() as act:
        act.uow.timers.set(TimerKind.JOURNEY_TURN, journey_of(world).id, act.now())
        act.uow.commit()


LOOP = """
- {key: plan, kind: action, title: Plan, owner: csm, action: crm.upsert_company}
- {key: review, kind: action, title: Review, owner: csm, needs: [plan], action: link.issue,
   outcomes: [go, rescope], again: [{outcome: rescope, back_to: plan, limit: 2}]}
- {key: after, kind: action, title: After, owner: csm, needs: [{step: review, outcome: go}],
   action: tickets.upsert_organisation}
"""


@pytest.mark.requirement("W-017")
def test_a_way_back_is_taken_as_often_as_its_limit_says(world: World) -> None:
    rescope = Did(result={"outcome": "rescope"})
    scripted = begun(world, LOOP, link__issue=[rescope])
    go_on(world)
    assert [name for _, name, _ in scripted.asked].count("plan") == 3
    assert [number for _, name, number in scripted.asked if name == "review"] == [1, 2, 3]
    assert statuses(world) == {"plan": "done", "review": "done", "after": "skipped"}


def test_a_way_back_that_ends_well_goes_on(world: World) -> None:
    outcomes = [Did(result={"outcome": "rescope"}), Did(result={"outcome": "go"})]
    begun(world, LOOP, link__issue=outcomes)
    go_on(world)
    assert statuses(world) == {"plan": "done", "review": "done", "after": "done"}
    assert steps_of(world)["after"].round == 2


def test_an_action_in_rows_that_writes_and_is_refused_leaves_nothing(world: World) -> None:
    def do(act: Act, given: Given) -> ActionOutcome:
        act.uow.tenants.save(given.tenant.retained(act.now(), act.now()))
        raise InvalidInput("no", field="x")

    begun(world, ONE)
    world.core = with_actions(world, {CRM: ActInRows(do)}).core
    go_on(world)
    (tenant,) = world.rows("tenant").values()
    assert tenant.retention_until is None
    assert statuses(world) == {"record": "failed"}
