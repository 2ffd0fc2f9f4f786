"""A run that only plans: what a change would do, while nothing of the deployment changes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import EngineFailed, IllegalTransition
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.services import changes, runs
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from tests.scripted_engine import ProcessDied
from tests.world import AUTOMATION, OPS, World

S = RunStatus


class Planned:
    """A ready dedicated tenant, and plans of changes of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        accepted = world.submit("B")
        world.work()
        world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id

    def plan(self, **facts: Any) -> str:
        """Ask for the plan of a change; nothing is done for it yet."""
        found = perform(self.world.core, AUTOMATION, changes.plan_change, self.tenant_id, facts)
        assert found.plan_run_id is not None
        return found.plan_run_id

    def change(self, **facts: Any) -> str:
        """Request the change itself."""
        found = perform(
            self.world.core, AUTOMATION, changes.request_change, self.tenant_id,
            facts=facts, reason="it grows",
        )  # fmt: skip
        return found.run_id or ""


@pytest.fixture
def planned(world: World) -> Planned:
    return Planned(world)


def test_it_ends_planned_and_nothing_else_has_changed(planned: Planned) -> None:
    world = planned.world
    tables = ("tenant", "deployment_spec", "approval", "evidence")
    before = [world.rows(table) for table in tables]
    stack = world.engine.stacks[next(iter(world.engine.stacks))].state_digest()
    run_id = planned.plan(seats=2000)
    world.work()
    run = world.run(run_id)
    assert (run.kind, run.status, run.approval_id) == (RunKind.PLAN, S.PLANNED, None)
    plan = perform(world.core, OPS, runs.get_plan, run_id)
    assert any(operation.op == "update" for operation in plan.operations)
    assert [world.rows(table) for table in tables] == before
    assert world.engine.stacks[next(iter(world.engine.stacks))].state_digest() == stack
    assert [what for what, _ in world.engine.calls][-1] == "plan"


@pytest.mark.requirement("K-064")
def test_its_plan_is_the_one_of_the_change_that_follows(planned: Planned) -> None:
    first = planned.plan(seats=2000)
    planned.world.work()
    second = planned.change(seats=2000)
    planned.world.work()
    shown, asked = (perform(planned.world.core, OPS, runs.get_plan, each)
                    for each in (first, second))  # fmt: skip
    assert shown.digest == asked.digest


def test_a_waiting_plan_of_a_change_is_left_alone(planned: Planned) -> None:
    waiting = planned.change(seats=2000)
    planned.world.work()
    run_id = planned.plan(seats=2000, ip_allow_list=["203.0.113.0/24"])
    planned.world.work()
    assert planned.world.run(run_id).status is S.PLANNED
    assert planned.world.run(waiting).status is S.AWAITING_APPROVAL
    planned.world.approve(waiting)
    assert planned.world.run(waiting).status is S.APPLIED


def test_the_same_question_twice_is_one_run(planned: Planned) -> None:
    assert planned.plan(seats=2000) == planned.plan(seats=2000)
    assert planned.plan(seats=2001) == planned.plan(seats=2000)  # the spec is the same
    planned.world.work()
    assert planned.plan(seats=2000) not in {None, ""}


def test_a_run_that_changes_something_goes_first(planned: Planned) -> None:
    run_id = planned.plan(seats=2000)
    planned.change(seats=2000)
    planned.world.work()
    assert planned.world.run(run_id).status is S.SUPERSEDED


def test_it_can_be_canceled_and_is_not_retried(planned: Planned) -> None:
    run_id = planned.plan(seats=2000)
    assert _actions(planned, run_id) == ["cancel"]
    perform(planned.world.core, OPS, runs.cancel_run, run_id)
    planned.world.work()
    assert planned.world.run(run_id).status is S.CANCELED
    assert _actions(planned, run_id) == []


def test_a_fault_of_the_engine_ends_it_and_leaves_the_stack_as_it_is(planned: Planned) -> None:
    run_id = planned.plan(seats=2000)
    planned.world.engine.outages.append(EngineFailed("a bad program", reason="program"))
    planned.world.work()
    run = planned.world.run(run_id)
    assert (run.status, run.error["code"]) == (S.ERRORED, "engine_failed")
    (deployment,) = planned.world.rows("deployment").values()
    assert not deployment.is_unsettled
    assert perform(planned.world.core, AUTOMATION, changes.plan_change, planned.tenant_id,
                   {"seats": 2000}).plan_run_id != run_id  # fmt: skip


def test_a_worker_that_died_with_it_is_followed_by_another(planned: Planned) -> None:
    run_id = planned.plan(seats=2000)
    planned.world.engine.outages.append(ProcessDied())
    with pytest.raises(ProcessDied):
        planned.world.work()
    PHASES["advance_run"](planned.world.core, run_id)
    run = planned.world.run(run_id)
    assert (run.status, run.deaths) == (S.PLANNED, 1)


def test_it_sets_no_timer_of_looks_and_is_forgotten_like_others(planned: Planned) -> None:
    before = planned.world.rows("timer")
    run_id = planned.plan(seats=2000)
    planned.world.work()
    new = planned.world.rows("timer").keys() - before.keys()
    assert {(each.kind, each.subject) for each in planned.world.rows("timer").values()
            if each.subject == run_id} == {(TimerKind.RUN_DETAILS, run_id)}  # fmt: skip
    assert len(new) <= 1


def test_nothing_is_planned_before_there_is_a_place(world: World) -> None:
    accepted = world.submit("A")  # there is no Hub
    world.work()
    with pytest.raises(IllegalTransition, match="nothing yet that a plan could be made over"):
        perform(world.core, AUTOMATION, changes.plan_change, accepted.tenant.id, {"seats": 150})


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'applying'", "ck_run_status_of_plan"),
        ("draft = NULL", "ck_run_draft_of_plan"),
        ("started_at = now()", "ck_run_plan_asks_nobody"),
        ("kind = 'update'", "ck_run_draft_of_plan"),
    ],
)
def test_the_database_knows_that_it_applies_nothing(
    planned: Planned, change: str, constraint: str
) -> None:
    run_id = planned.plan(seats=2000)
    planned.world.work()
    with (
        psycopg.connect(planned.world.storage.database.owner) as connection,
        pytest.raises(psycopg.Error) as refused,
    ):
        connection.execute(f"UPDATE run SET {change} WHERE id = %s".encode(), [run_id])  # noqa: S608 - our own words
    assert refused.value.diag.constraint_name == constraint


def _actions(planned: Planned, run_id: str) -> list[str]:
    with planned.world.core.act(OPS) as act:
        return runs.allowed_actions(act, act.uow.runs.need(run_id))[run_id]
