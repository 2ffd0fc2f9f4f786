"""Sagas: one step after the other, each recorded before and after, and back again."""

from __future__ import annotations

from typing import Any, Final

import psycopg
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    Conflict,
    EngineFailed,
    EngineUnavailable,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    SeparationOfDuties,
)
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.saga import SagaKind, SagaStatus, StepOutcome
from control_plane.domain.sagas import SAGAS
from control_plane.domain.tenant import TenantStatus
from control_plane.domain.timers import TimerKind
from control_plane.services import runs, sagas
from control_plane.services.performing import perform
from control_plane.workflows.saga_handlers import HANDLERS
from tests.storage import Storage
from tests.workflows.removed import (
    follow,
    protected_of,
    ready_tenant,
    remove,
    saga_of,
    start,
    steps_of,
)
from tests.world import ARCHITECT, AUDITOR, OPS, World, person

OTTO: Final = person("otto", Role.OPS_APPROVER)
PETRA: Final = person("petra", Role.OPS_APPROVER)
S = SagaStatus


def destroying(world: World) -> tuple[str, str, str]:
    """Return a removal whose destroy waits for its decisions: ids of tenant, saga and run."""
    tenant_id = ready_tenant(world, "A")  # of which nothing is protected
    saga_id = remove(world, tenant_id)
    run_id = steps_of(world, saga_id)[-1].run_id
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL
    return tenant_id, saga_id, run_id or ""


def test_every_declared_step_has_what_does_it_and_what_takes_it_back() -> None:
    assert set(HANDLERS) == set(SAGAS) == set(SagaKind)
    for kind, spec in SAGAS.items():
        assert [step.name for step in spec.steps] == list(HANDLERS[kind])
        for step in spec.steps:
            assert (HANDLERS[kind][step.name].undo is None) == (step.undo is None)
            assert step.says.endswith(".")


def test_a_step_that_requests_a_run_waits_for_its_end(world: World) -> None:
    tenant_id, saga_id, run_id = destroying(world)
    run, saga = world.run(run_id), saga_of(world, saga_id)
    assert run.kind is RunKind.DESTROY
    assert run.requested_by == "ada"  # who asked for it, not the worker that took the step
    assert "ada" in run.requesters
    assert (saga.status, saga.step, saga.due_at) == (S.WAITING, "destroy", None)
    assert run_id in (saga.waits_for or "")
    assert world.tenant(tenant_id).saga_id == saga_id
    due = {timer.kind for timer in world.rows("timer").values()}
    assert TimerKind.SAGA_TURN not in due  # nothing polls


def test_a_run_that_fails_leaves_its_saga_stuck_until_somebody_retries(world: World) -> None:
    _, saga_id, run_id = destroying(world)
    perform(world.core, OPS, runs.cancel_run, run_id)
    follow(world)
    saga = saga_of(world, saga_id)
    assert saga.status is S.STUCK
    assert saga.error is not None
    assert saga.error["code"] == "run_canceled"
    assert steps_of(world, saga_id)[-1].outcome is StepOutcome.FAILED
    perform(world.core, OPS, sagas.retry_step, saga_id)
    follow(world)
    again = steps_of(world, saga_id)[-1]
    assert again.run_id not in {None, run_id}
    assert saga_of(world, saga_id).status is S.WAITING
    assert "saga.retried:completed" in world.actions()


def test_a_run_that_somebody_retried_by_itself_is_the_step_s_run(world: World) -> None:
    _, saga_id, run_id = destroying(world)
    perform(world.core, OPS, runs.cancel_run, run_id)
    follow(world)
    fresh = perform(world.core, OPS, runs.retry_run, run_id)
    follow(world)
    perform(world.core, OPS, runs.cancel_run, fresh.id)
    follow(world)
    saga = saga_of(world, saga_id)
    assert saga.status is S.STUCK
    assert steps_of(world, saga_id)[-1].run_id == fresh.id


def test_a_withdrawn_saga_cancels_its_run_and_ends(world: World) -> None:
    tenant_id, saga_id, run_id = destroying(world)
    perform(world.core, OPS, sagas.withdraw_saga, saga_id, reason="the customer stays")
    follow(world)
    assert world.run(run_id).status is RunStatus.CANCELED
    saga = saga_of(world, saga_id)
    assert saga.status is S.UNDONE
    withdrawn, undone = steps_of(world, saga_id)[-2:]
    assert (withdrawn.name, withdrawn.outcome) == ("destroy", StepOutcome.WITHDRAWN)
    assert (undone.name, undone.is_undo, undone.outcome) == ("unprotect", True, StepOutcome.DONE)
    (slice_,) = [each for each in world.rows("deployment").values() if each.tenant_id == tenant_id]
    assert slice_.unprotected == ()
    tenant = world.tenant(tenant_id)
    assert (tenant.saga_id, tenant.status) == (None, TenantStatus.READY)
    assert world.actions()[-2:] == ["saga.step_ended:completed", "saga.ended:completed"]


def test_what_is_stuck_can_be_withdrawn(world: World) -> None:
    _, saga_id, run_id = destroying(world)
    perform(world.core, OPS, runs.cancel_run, run_id)
    follow(world)
    perform(world.core, OPS, sagas.withdraw_saga, saga_id, reason="the customer stays")
    follow(world)
    assert saga_of(world, saga_id).status is S.UNDONE


def test_a_saga_whose_run_has_begun_to_apply_is_not_withdrawn(world: World) -> None:
    _, saga_id, run_id = destroying(world)
    refused: list[str] = []

    def meanwhile(what: str, _: Any) -> None:
        if what == "change":
            with pytest.raises(IllegalTransition) as error:
                perform(world.core, OPS, sagas.withdraw_saga, saga_id, reason="too late")
            refused.append(error.value.code)

    world.engine.during = meanwhile
    world.approve(run_id)
    world.approve(run_id, PETRA)
    assert refused == ["illegal_transition"]
    assert "saga.refused:denied" in world.actions()


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_withdrawal_needs_a_reason(world: World, reason: str) -> None:
    _, saga_id, _ = destroying(world)
    with pytest.raises(InvalidInput):
        perform(world.core, OPS, sagas.withdraw_saga, saga_id, reason=reason)


def test_who_retries_a_step_decides_on_none_of_its_plans(world: World) -> None:
    _, saga_id, run_id = destroying(world)
    perform(world.core, OPS, runs.cancel_run, run_id)
    follow(world)
    perform(world.core, PETRA, sagas.retry_step, saga_id)
    follow(world)
    again = steps_of(world, saga_id)[-1].run_id
    assert {"ada", "petra"} <= set(world.run(again).requesters)
    with pytest.raises(SeparationOfDuties):
        world.approve(again, PETRA)
    world.approve(again, OPS)
    assert world.run(again).status is RunStatus.AWAITING_APPROVAL  # a second person is missing
    world.approve(again, OTTO)
    assert world.run(again).status is RunStatus.APPLIED


def test_who_withdraws_stands_behind_what_is_taken_back(world: World) -> None:
    _, saga_id, _ = destroying(world)
    perform(world.core, PETRA, sagas.withdraw_saga, saga_id, reason="the customer stays")
    withdrawn = saga_of(world, saga_id)
    assert withdrawn.behind == ("ada", "petra")
    assert withdrawn.requesters == ("ada",)  # the request itself stays a record


def test_an_architect_steers_no_removal(world: World) -> None:
    tenant_id, saga_id, _ = destroying(world)
    for act in (
        lambda: perform(world.core, ARCHITECT, sagas.retry_step, saga_id),
        lambda: perform(world.core, ARCHITECT, sagas.withdraw_saga, saga_id, reason="no"),
    ):
        with pytest.raises(NotAllowed) as refused:
            act()
        assert refused.value.data["roles"] == ["ops_approver", "platform_admin"]
        denied = world.events()[-1]
        assert (denied.tree, denied.action) == (tenant_id, "authz.denied")
    with world.core.act(ARCHITECT) as act:
        progress = sagas.progress_of(act.uow, act.uow.sagas.need(saga_id))
        assert sagas.allowed_actions(progress, ARCHITECT.actor) == []


def test_only_operators_steer_a_saga_and_only_as_its_status_allows(world: World) -> None:
    _, saga_id, _ = destroying(world)
    with pytest.raises(NotAllowed):
        perform(world.core, AUDITOR, sagas.withdraw_saga, saga_id, reason="no")
    with pytest.raises(IllegalTransition):
        perform(world.core, OPS, sagas.retry_step, saga_id)
    with world.core.act(OPS) as act:
        progress = sagas.progress_of(act.uow, act.uow.sagas.need(saga_id))
        assert sagas.allowed_actions(progress, OPS.actor) == ["withdraw"]
        assert sagas.allowed_actions(progress, AUDITOR.actor) == []
        names = [step.name for step in SAGAS[SagaKind.REMOVAL].steps]
        assert names[progress.position - 1] == "destroy"


def test_a_turn_that_got_lost_is_taken_again(world: World) -> None:
    """Its worker died with it before it wrote anything."""
    tenant_id = ready_tenant(world, "A")
    saga_id = start(world, tenant_id, unprotect=protected_of(world, tenant_id)).id

    def lose(_: str, __: str) -> None:
        raise EngineUnavailable

    with pytest.raises(EngineUnavailable):
        world.work(lose)
    follow(world)
    assert steps_of(world, saga_id) == []
    world.clock.advance(minutes=1)
    follow(world)
    assert saga_of(world, saga_id).step == "unprotect"
    assert saga_of(world, saga_id).status is S.WAITING
    assert len([each for each in world.rows("run").values() if each.kind is RunKind.UPDATE]) == 1


@pytest.mark.parametrize("who", ["runner", "engine", "provider"])
def test_a_step_whose_process_died_is_taken_again_by_itself(world: World, who: str) -> None:
    tenant_id = ready_tenant(world, "A")
    death = EngineFailed(f"the {who}'s process died", reason=f"{who}_died")
    world.engine.outages.append(death)
    saga_id = start(world, tenant_id, unprotect=protected_of(world, tenant_id)).id
    follow(world)
    saga = saga_of(world, saga_id)
    assert (saga.status, saga.step) == (S.WORKING, "count")
    world.clock.advance(minutes=1)
    follow(world)
    assert saga_of(world, saga_id).step == "unprotect"
    assert saga_of(world, saga_id).error is None
    (counted,) = [each for each in steps_of(world, saga_id) if each.name == "count"]
    assert counted.outcome is StepOutcome.DONE


def test_a_step_whose_process_always_dies_is_stuck_with_a_next_action(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    most = world.core.limits.deaths
    death = EngineFailed("the runner's process died", reason="runner_died")
    world.engine.outages.extend([death] * most)
    saga_id = start(world, tenant_id, unprotect=protected_of(world, tenant_id)).id
    for count in range(1, most):
        follow(world)
        saga = saga_of(world, saga_id)
        assert saga.status is S.WORKING
        assert saga.error is not None
        assert saga.error["data"]["deaths"] == count
        world.clock.advance(minutes=1)
    follow(world)
    saga = saga_of(world, saga_id)
    assert (saga.status, saga.step) == (S.STUCK, "count")
    assert saga.error is not None
    assert saga.error["remedy"]
    assert perform(world.core, OPS, sagas.retry_step, saga_id).saga.status is S.WORKING
    follow(world)
    assert saga_of(world, saga_id).step == "unprotect"


def test_an_owner_has_one_saga_that_is_open(world: World) -> None:
    tenant_id = ready_tenant(world)
    start(world, tenant_id)
    with pytest.raises(Conflict) as error:
        start(world, tenant_id)
    assert error.value.data["constraint"] == "uq_saga_one_is_open_per_tenant"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE saga SET reason = 'another'", "saga_is_a_record"),
        ("UPDATE saga SET requesters = '[]'", "saga_is_a_record"),
        ("DELETE FROM saga", "saga_is_a_record"),
        ("DELETE FROM saga_step", "saga_step_is_a_record"),
        ("UPDATE saga_step SET name = 'close'", "saga_step_is_a_record"),
        ("UPDATE saga_step SET outcome = 'done', ended_at = now() WHERE ended_at IS NOT NULL",
         "saga_step_is_a_record"),
        ("UPDATE tenant SET saga_id = NULL; SET CONSTRAINTS ALL IMMEDIATE",
         "owner_names_its_saga"),
    ],
)  # fmt: skip
def test_the_database_keeps_what_was_done(
    world: World, storage: Storage, statement: str, constraint: str
) -> None:
    destroying(world)
    with psycopg.connect(storage.database.owner) as connection:
        with pytest.raises(psycopg.Error) as error:
            connection.execute(statement.encode())
        assert error.value.diag.constraint_name == constraint
