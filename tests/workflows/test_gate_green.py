"""From a signed contract to the gate: the journey follows the tenant, and nothing begins before."""

from __future__ import annotations

import pytest

from control_plane.services import tasks
from control_plane.services.performing import perform
from tests.journeys import go_on, sample, statuses, steps_of, tasks_of, with_playbooks
from tests.world import OPS, World

STEPS = (
    "- {key: provision, kind: action, title: Ready, owner: automation, action: tenant.provision}\n"
    "- {key: green, kind: gate, title: Green, owner: ops, needs: [provision],"
    " checks: [tenant_ready, no_hold, no_drift, residency_kept, audit_log_verifies,"
    " 'person: the admin can log in']}\n"
    "- {key: kickoff, kind: meeting, title: Kickoff, owner: csm, needs: [green]}\n"
)


@pytest.mark.requirement("J-057", "K-046", "P-008")
def test_mode_b_waits_for_operations_and_the_gate_for_each_check(world: World) -> None:
    with_playbooks(world, sample(STEPS))
    accepted = world.submit("B")
    go_on(world)
    provision = steps_of(world)["provision"]
    assert provision.reason == "operations to decide on the plan"
    assert provision.result["waits_on"] == "ops"
    world.approve(accepted.run_id)
    go_on(world)
    assert statuses(world) == {"provision": "done", "green": "working", "kickoff": "waiting"}
    checks = {each["check"]: each for each in steps_of(world)["green"].result["checks"]}
    assert [name for name, each in checks.items() if not each["holds"]] == ["the admin can log in"]
    assert checks["tenant_ready"]["evidence"]["evidence"]
    (task,) = tasks_of(world, status="open")
    perform(world.core, OPS, tasks.finish_task, task.id, answer="she can")
    go_on(world)
    assert statuses(world) == {"provision": "done", "green": "done", "kickoff": "asked"}


def test_a_mode_conflict_is_waited_for(world: World) -> None:
    with_playbooks(world, sample(STEPS))
    world.submit("A", data_must_stay_in_customer_cloud=True)
    go_on(world)
    assert steps_of(world)["provision"].reason == "a solutions architect to settle the mode"
