"""What people do about journeys and tasks, and what is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound
from control_plane.domain.hold import HoldKind
from control_plane.domain.journey import JourneyStatus
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.services import holds, journeys, tasks
from control_plane.services.performing import perform
from control_plane.workflows.step_actions import Did, StillWaits
from tests.journeys import Scripted, go_on, journey_of, statuses, steps_of, tasks_of
from tests.workflows.test_journeys import ONE, TWO, begun
from tests.world import ADMIN, ARCHITECT, AUDITOR, OPS, World, person

TALK = (
    "- {key: talk, kind: meeting, title: Talk, owner: ops, outcomes: [go, stop]}\n"
    "- {key: after, kind: action, title: After, owner: csm, needs: [{step: talk, outcome: go}],"
    " action: crm.upsert_company}\n"
)
CHANNEL = (
    "- {key: link, kind: action, title: Link, owner: csm, action: link.issue, undo: link.revoke}\n"
    "- {key: channel, kind: action, title: Channel, owner: csm, needs: [link],"
    " action: chat.open_channel, undo: chat.close_channel}\n"
    "- {key: talk, kind: meeting, title: Talk, owner: ops, needs: [channel]}\n"
)


def failed(world: World) -> str:
    """Return a journey whose first step has failed."""
    begun(world, TWO, crm__upsert_company=[SystemRefused("no right"), Did()])
    go_on(world)
    return journey_of(world).id


def test_a_retry_takes_a_failed_step_again_and_closes_its_task(world: World) -> None:
    journey_id = failed(world)
    perform(world.core, ADMIN, journeys.retry_step, journey_id, "record")
    go_on(world)
    assert statuses(world) == {"record": "done", "tickets": "done"}
    assert tasks_of(world, status="open") == []
    assert "journey.step_decided:completed" in world.actions()


def test_a_skipped_step_lets_what_needs_it_go_on(world: World) -> None:
    journey_id = failed(world)
    perform(world.core, ADMIN, journeys.skip_step, journey_id, "record", reason="made by hand")
    go_on(world)
    assert statuses(world) == {"record": "skipped", "tickets": "done"}
    assert steps_of(world)["record"].reason == "made by hand"


@pytest.mark.parametrize("verb", [journeys.skip_step, journeys.finish_step])
def test_what_people_say_needs_a_reason(world: World, verb: Any) -> None:
    journey_id = failed(world)
    with pytest.raises(InvalidInput):
        perform(world.core, ADMIN, verb, journey_id, "record", reason="  ")
    assert world.actions()[-1] == "journey.refused:denied"
    assert statuses(world)["record"] == "failed"


def test_only_the_owner_or_an_administrator_acts_on_a_step(world: World) -> None:
    journey_id = failed(world)
    for who in (OPS, ARCHITECT, AUDITOR):
        with pytest.raises(NotAllowed):
            perform(world.core, who, journeys.retry_step, journey_id, "record")
        assert world.actions()[-1] == "authz.denied:denied"
    stranger = person("eve", *OPS.actor.roles, tenants=("ten_other",))
    with pytest.raises(NotFound):
        perform(world.core, stranger, journeys.retry_step, journey_id, "record")


@pytest.mark.requirement("W-015")
def test_a_step_whose_turn_has_not_come_is_not_done(world: World) -> None:
    journey_id = failed(world)
    assert statuses(world)["tickets"] == "waiting"
    with pytest.raises(IllegalTransition):
        perform(world.core, ADMIN, journeys.finish_step, journey_id, "tickets", reason="I did it")
    assert statuses(world)["tickets"] == "waiting"


def test_a_step_that_did_not_fail_is_not_retried(world: World) -> None:
    begun(world, ONE)
    go_on(world)
    for key, error in (("record", IllegalTransition), ("nothing", NotFound)):
        with pytest.raises(error):
            perform(world.core, ADMIN, journeys.retry_step, journey_of(world).id, key)


def test_a_task_that_is_done_ends_its_step_with_the_outcome(world: World) -> None:
    scripted = begun(world, TALK)
    go_on(world)
    (task,) = tasks_of(world, status="open")
    with pytest.raises(InvalidInput):  # which outcome?
        perform(world.core, OPS, tasks.finish_task, task.id, answer="we met")
    assert tasks_of(world, status="open")
    perform(world.core, OPS, tasks.finish_task, task.id, answer="we met", outcome="go")
    go_on(world)
    assert (statuses(world), scripted.steps()) == ({"talk": "done", "after": "done"}, ["after"])
    assert steps_of(world)["talk"].result["answer"] == {"said": "we met", "by": "olga"}
    with pytest.raises(IllegalTransition):
        perform(world.core, OPS, tasks.finish_task, task.id, answer="again", outcome="go")


def test_another_outcome_skips_what_needs_the_one(world: World) -> None:
    begun(world, TALK)
    go_on(world)
    (task,) = tasks_of(world, status="open")
    perform(world.core, OPS, tasks.finish_task, task.id, answer="they left", outcome="stop")
    go_on(world)
    assert statuses(world) == {"talk": "done", "after": "skipped"}


def test_tasks_are_listed_for_the_roles_that_stand_for_their_owners(world: World) -> None:
    begun(world, TALK)
    go_on(world)
    (task,) = tasks_of(world)

    def mine(who: Any) -> list[Any]:
        return perform(world.core, who, tasks.list_tasks, limit=5, before=None, mine=True)

    assert [each.id for each in mine(OPS)] == [each.id for each in mine(ADMIN)] == [task.id]
    assert mine(ARCHITECT) == mine(AUDITOR) == []
    given = perform(world.core, OPS, tasks.reassign_task, task.id, owner="solutions_architect")
    assert (given.owner, [each.id for each in mine(ARCHITECT)]) == (
        "solutions_architect", [task.id],
    )  # fmt: skip
    with pytest.raises(InvalidInput):
        perform(world.core, ADMIN, tasks.reassign_task, task.id, owner="nobody")


@pytest.mark.requirement("J-015")
def test_cancel_takes_back_what_was_done_newest_first(world: World) -> None:
    scripted = begun(world, CHANNEL)
    go_on(world)
    perform(world.core, OPS, journeys.cancel_journey, journey_of(world).id, reason="withdrawn")
    go_on(world)
    assert [action for action, *_ in scripted.asked][2:] == ["chat.close_channel", "link.revoke"]
    assert statuses(world) == {"link": "done", "channel": "done", "talk": "canceled"}
    assert all(steps_of(world)[key].undone_at for key in ("link", "channel"))
    assert journey_of(world).status is JourneyStatus.CANCELED
    assert tasks_of(world, status="open") == []


def test_what_cannot_be_taken_back_becomes_a_task_and_the_rest_goes_on(world: World) -> None:
    scripted = begun(
        world, CHANNEL, in_rows=True, chat__close_channel=[SystemRefused("archived by others")]
    )
    go_on(world)
    perform(world.core, OPS, journeys.cancel_journey, journey_of(world).id, reason="withdrawn")
    go_on(world)
    assert [action for action, *_ in scripted.asked][-1] == "link.revoke"
    assert journey_of(world).status is JourneyStatus.CANCELED
    (task,) = tasks_of(world, status="open")
    assert task.title == "Take back by hand: Channel"


def test_an_outage_while_taking_back_is_tried_again(world: World) -> None:
    down = SystemUnavailable("the chat is down", system="slack")
    begun(world, CHANNEL, chat__close_channel=[down, Did()])
    go_on(world)
    perform(world.core, OPS, journeys.cancel_journey, journey_of(world).id, reason="withdrawn")
    go_on(world)
    assert journey_of(world).status is JourneyStatus.CANCELING
    world.clock.advance(seconds=60)
    go_on(world)
    assert journey_of(world).status is JourneyStatus.CANCELED


def test_while_a_hold_stands_nothing_is_done_outside(world: World) -> None:
    scripted = begun(world, TWO, crm__upsert_company=[StillWaits(says="them"), Did()])
    (tenant,) = world.rows("tenant").values()
    hold = perform(
        world.core, OPS, holds.place_on_tenant, tenant.id,
        kind=HoldKind.LEGAL, reason="a court order",
    )  # fmt: skip
    go_on(world)
    assert scripted.asked == []
    assert steps_of(world)["record"].reason is not None
    perform(world.core, ADMIN, holds.release_hold, hold.id, reason="lifted")
    go_on(world)
    assert scripted.asked


def test_a_journey_is_shown_with_its_day_and_who_it_waits_on(world: World) -> None:
    journey_id = failed(world)
    (tenant,) = world.rows("tenant").values()
    found = perform(world.core, OPS, journeys.tenant_journey, tenant.slug)
    assert (found.journey.id, found.day) == (journey_id, 0)
    record = found.steps[0]
    assert (record.waits_on, journeys.allowed_actions(record, ADMIN.actor, found.journey)) == (
        "sales", ["retry", "skip", "done"],
    )  # fmt: skip
    assert "retry" in found.next_action
    with pytest.raises(NotFound):
        perform(world.core, OPS, journeys.get_journey, "jny_none")


def test_who_is_asked_twice_is_asked_once(world: World) -> None:
    scripted: Scripted = begun(world, ONE)
    go_on(world, times=12)
    assert scripted.steps() == ["record"]
