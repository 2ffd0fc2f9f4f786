"""What is not green in time calls named roles once, by the playbook alone (P-014)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from control_plane.ports.systems import Systems
from control_plane.services import journeys, provisioning, runs, tenants
from control_plane.services.performing import perform
from control_plane.workflows.action_handlers import HANDLERS
from control_plane.workflows.messaging import ACTIONS as MESSAGES
from control_plane.workflows.staffing import ACTIONS as STAFFING
from tests.journeys import (
    Scripted,
    day_0,
    go_on,
    journey_of,
    statuses,
    steps_of,
    tasks_of,
    with_actions,
    with_playbooks,
)
from tests.scripted_mailer import ScriptedMailer
from tests.world import ADMIN, ARCHITECT, AUTOMATION, OPS, World, request_body

LATE = ("late_operations", "late_architect", "late_lead", "late_message")
HOUR, HOURS = timedelta(hours=1), timedelta(hours=72)


def begun(world: World, mode: str = "B", *, signed: timedelta = timedelta(0), **facts: Any) -> str:
    """Let a contract be accepted that was signed some time ago, by the shipped playbook."""
    others = Scripted()
    outside = {name: others.outside(name) for name in HANDLERS}
    own = {name: HANDLERS[name] for name in ("tenant.provision", *MESSAGES, *STAFFING)}
    world.core = replace(world.core, systems=Systems(mailer=ScriptedMailer()))
    with_actions(with_playbooks(world, day_0()), {**outside, **own})
    world.ready_hub()
    body = request_body(mode, **facts)
    body["contract"]["signed_at"] = (world.clock.now() - signed).isoformat()
    tenant_id = perform(world.core, AUTOMATION, provisioning.submit_request, body).tenant.id
    go_on(world)
    return tenant_id


def later(world: World, time: timedelta) -> None:
    world.clock.advance(seconds=time.total_seconds())
    go_on(world)


def called(world: World) -> set[str]:
    """Return the owners that have an open task about what is late."""
    return {
        task.owner
        for task in tasks_of(world, status="open")
        if task.cause is not None and task.cause.step in LATE
    }


def tasks_of_step(world: World, key: str) -> list[Any]:
    return [each for each in tasks_of(world) if each.cause is not None and each.cause.step == key]


def approve(world: World) -> None:
    """Ask for the run again, whose approval has expired by now, and approve that."""
    (run,) = (each for each in world.rows("run").values() if each.tenant_id)
    again = perform(world.core, ADMIN, runs.retry_run, run.id)
    world.work()
    world.approve(again.id)
    go_on(world)


def reminders(world: World) -> list[Any]:
    return [each for each in world.rows("message").values() if each.event == "task.reminder"]


@pytest.mark.requirement("P-014")
def test_after_72_hours_operations_and_the_lead_are_called_and_the_csm_gets_a_mail(
    world: World,
) -> None:
    begun(world)
    later(world, HOURS - timedelta(seconds=1))
    assert called(world) == set()
    later(world, timedelta(seconds=1))
    assert called(world) == {"ops", "csm_lead"}
    assert statuses(world)["late_architect"] == "skipped"
    (mail,) = reminders(world)
    assert (mail.persona, mail.data["task_title"]) == (
        "csm", "The tenant is not ready 72 hours after the signature",
    )  # fmt: skip
    later(world, timedelta(days=30))  # once, however long it takes
    assert len(reminders(world)) == 1
    assert len([each for each in tasks_of(world) if each.title.startswith("Provisioning")]) == 1
    late = perform(world.core, OPS, journeys.list_journeys, limit=5, before=None, late=True)
    assert [each.id for each in late] == [journey_of(world).id]


@pytest.mark.requirement("J-018")
@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=3)])
def test_mode_a_has_an_hour_from_signature_and_arrival(world: World, late: timedelta) -> None:
    world.engine.failing_checks.add("outputs_present")
    begun(world, "A", signed=late)
    later(world, HOUR - timedelta(seconds=1))
    assert statuses(world)["late_slice"] == "scheduled"
    assert not tasks_of_step(world, "late_slice")
    later(world, timedelta(seconds=1))
    (task,) = tasks_of_step(world, "late_slice")
    assert (task.owner, task.status) == ("ops", "open")
    world.engine.failing_checks.clear()
    world.ready_hub(cell="c2")  # what it waited for, since the first one failed its check
    go_on(world)
    assert statuses(world)["green"] == "done"
    assert [each.status for each in tasks_of_step(world, "late_slice")] == ["canceled"]


@pytest.mark.requirement("J-018")
def test_mode_a_that_is_green_in_its_hour_calls_nobody(world: World) -> None:
    begun(world, "A")
    assert (statuses(world)["green"], statuses(world)["late_slice"]) == ("done", "skipped")
    later(world, HOUR)
    assert not tasks_of_step(world, "late_slice")


def test_mode_b_does_not_have_the_hour_of_mode_a(world: World) -> None:
    begun(world, "B")
    later(world, HOUR)
    assert steps_of(world)["late_slice"].reason == "mode is B, not A"


def test_in_mode_c_the_architect_is_called(world: World) -> None:
    begun(world, "C")
    later(world, HOURS)
    assert called(world) == {"solutions_architect", "csm_lead"}


@pytest.mark.requirement("P-014")
def test_what_is_green_in_time_calls_nobody_and_nothing_is_left(world: World) -> None:
    begun(world, "A")
    assert statuses(world)["green"] == "done"
    assert {statuses(world)[key] for key in LATE} == {"skipped"}
    assert {steps_of(world)[key].reason for key in LATE[2:]} == {"green has ended"}
    later(world, HOURS)
    assert called(world) == set()
    assert reminders(world) == []


def test_once_it_is_green_what_was_asked_is_closed(world: World) -> None:
    begun(world)
    later(world, HOURS)
    assert called(world) == {"ops", "csm_lead"}
    approve(world)
    assert statuses(world)["green"] == "done"
    assert called(world) == set()
    assert {statuses(world)[key] for key in LATE[:3]} == {"skipped"}
    assert statuses(world)["late_message"] == "done"


def test_what_was_said_of_it_before_stays_said(world: World) -> None:
    begun(world)
    later(world, HOURS)
    journey_id = journey_of(world).id
    perform(
        world.core, ADMIN, journeys.finish_step, journey_id, "late_lead", reason="agreed: Monday"
    )
    approve(world)
    assert statuses(world)["late_lead"] == "done"


def test_a_mode_that_is_not_settled_calls_the_lead_too(world: World) -> None:
    tenant_id = begun(world, "A", customer_managed_key=True)
    later(world, HOURS)
    assert called(world) == {"csm_lead"}
    perform(
        world.core, ARCHITECT, tenants.decide_mode, tenant_id,
        changed_facts={"customer_managed_key": None}, reason="they need none",
    )  # fmt: skip
    go_on(world)
    assert statuses(world)["green"] == "done"
    assert called(world) == set()


@pytest.mark.parametrize("mode", ["A", "B"])
def test_a_contract_that_arrives_late_has_four_hours(world: World, mode: str) -> None:
    begun(world, mode, signed=timedelta(days=5))
    assert called(world) == set()
    later(world, timedelta(hours=4) - timedelta(seconds=1))
    assert called(world) == set()
    later(world, timedelta(seconds=1))
    assert called(world) == ({"ops", "csm_lead"} if mode == "B" else set())


def test_a_canceled_journey_calls_nobody(world: World) -> None:
    begun(world)
    perform(world.core, OPS, journeys.cancel_journey, journey_of(world).id, reason="void")
    later(world, HOURS)
    assert called(world) == set()
    assert reminders(world) == []
