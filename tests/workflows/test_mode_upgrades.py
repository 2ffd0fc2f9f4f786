"""A tenant with data gets a dedicated Hub: every step, and the way back from each of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control_plane.domain.deployment import Position
from control_plane.domain.errors import DataUnreadable, IllegalTransition, NotFound, Unavailable
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.saga import SagaStatus
from control_plane.domain.sagas import SAGAS
from control_plane.domain.sagas.mode_change import MODE_UPGRADE
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.domain.transfer import Kind
from control_plane.services import mode_changes, sagas
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.scripted_faults import ProcessDied
from tests.workflows.raised import FILLED, Raised
from tests.workflows.removed import follow, steps_of
from tests.world import ARCHITECT, AUDITOR, World

STEPS = [step.name for step in MODE_UPGRADE.steps]
_WAITS = {RunStatus.AWAITING_APPROVAL}
BEFORE_SWITCH = STEPS[: STEPS.index("switch")]


@pytest.fixture
def raised(world: World) -> Raised:
    return Raised(world)


def frozen(raised: Raised) -> bool:
    (slice_,) = [d for d in raised.deployments() if d.id == raised.source]
    with raised.world.core.uow() as uow:
        spec = uow.specs.need(f"{slice_.id}.{slice_.spec_number}")
    return bool((spec.document.get("transfer") or {}).get("frozen"))


@pytest.mark.requirement("J-100")
def test_an_upgrade_moves_everything_and_takes_every_step_once(raised: Raised) -> None:
    change = raised.ask()
    assert (change.way, change.previous_mode, change.mode) == ("upgrade", "A", "B")
    saga = raised.go(until="keep")
    target = raised.at(Position.CURRENT)
    assert raised.world.data.contents(target) == FILLED
    assert sorted(raised.world.data.writes) == sorted(FILLED)
    tenant = raised.tenant()
    assert (tenant.mode, tenant.status) == ("B", TenantStatus.READY)
    assert tenant.decision["provisional"] is False
    assert tenant.facts["contract_mode"] == "B"
    assert raised.at(Position.FORMER) == raised.source
    assert frozen(raised)
    assert set(saga.data["evidence"]) == {"object", "item", "secret", "parameter"}
    assert saga.data["evidence"]["object"]["count"] == 2
    assert saga.due_at is not None
    saga = raised.go()
    assert saga.status is SagaStatus.DONE
    assert [name for name, _, _ in raised.outcomes()] == STEPS
    assert {outcome for _, outcome, _ in raised.outcomes()} == {"done", "skipped"}
    assert raised.tenant().status is TenantStatus.READY
    (former,) = [d for d in raised.deployments() if d.position is Position.FORMER]
    assert raised.world.engine.stacks[former.stack].resources == {}
    with raised.world.core.uow() as uow:
        assert uow.transfers.sums(saga.id) == {}


def test_a_step_that_waits_for_a_decision_says_so_and_on_whom_it_waits(raised: Raised) -> None:
    with pytest.raises(NotFound, match=r"no change of the mode of .+ was started"):
        shown(raised)
    raised.ask()
    follow(raised.world)
    found = shown(raised)
    (run,) = [r for r in raised.world.rows("run").values() if r.status in _WAITS]
    assert (found.saga.step, found.waits_on) == ("build", WaitingOn.OPS)
    assert found.waits_for == (
        f"a decision on the plan of {run.id}: `tenantctl run show` names the approval"
    )
    assert "Waiting on: ops." in sagas.next_action(found)
    assert raised.go(until="keep").step == "keep"
    assert (shown(raised).run, shown(raised).waits_on) == (None, None)


def shown(raised: Raised) -> sagas.SagaProgress:
    """Return the change of mode as an auditor sees it."""
    found = perform(raised.world.core, AUDITOR, mode_changes.show_change, raised.tenant_id)
    return found.progress


def test_the_record_says_how_long_the_tenant_was_frozen_and_what_was_equal(raised: Raised) -> None:
    raised.ask()
    saga = raised.go(until="keep")
    (switch,) = [s for s in steps_of(raised.world, saga.id) if s.name == "switch"]
    assert float(switch.result["frozen_seconds"]) >= 0
    (event,) = [e for e in raised.world.events() if e.action == "mode.switched"]
    assert event.data["frozen_ms"] == round(float(switch.result["frozen_seconds"]) * 1000)
    assert event.data["counts"] == ["item 1", "object 2", "parameter 1", "secret 1"]
    assert event.data["amendment"] == "AM-7"


def test_the_tenant_stays_ready_in_mode_a_while_the_other_is_built(raised: Raised) -> None:
    raised.ask()
    follow(raised.world)
    saga = raised.saga()
    assert (saga.step, saga.status) == ("build", SagaStatus.WAITING)
    tenant = raised.tenant()
    assert (tenant.mode, tenant.status) == ("A", TenantStatus.READY)
    assert not frozen(raised)


def test_what_is_written_between_the_copy_and_the_freeze_comes_by_the_delta(raised: Raised) -> None:
    raised.ask()
    follow(raised.world)
    data, source = raised.world.data, raised.source
    hear = raised.world.engine.during

    def during(what: str, call: object) -> None:
        hear(what, call)  # type: ignore[arg-type]
        if what == "change" and raised.saga().step == "freeze" and not changed:
            changed.append(True)
            data.put(source, Kind.OBJECT, "tenants/acme/a", "newer")
            data.put(source, Kind.ITEM, '["acme#2", "y"]', "more")
            del data.store(source, Kind.OBJECT)["tenants/acme/b"]

    changed: list[bool] = []
    raised.world.engine.during = during
    raised.go(until="keep")
    found = data.contents(raised.at(Position.CURRENT))
    assert found == data.contents(source)
    assert found[Kind.OBJECT, "tenants/acme/a"] == "newer"
    assert (Kind.OBJECT, "tenants/acme/b") not in found


@pytest.mark.requirement("J-100")
@pytest.mark.parametrize("step", BEFORE_SWITCH)
def test_withdrawn_before_the_switch_everything_is_as_before(raised: Raised, step: str) -> None:
    before = raised.tenant()
    kept = raised.world.data.contents(raised.source)
    raised.ask()
    stop_at(raised, step)
    raised.withdraw()
    saga = raised.go()
    assert saga.status is SagaStatus.UNDONE, saga.error
    assert not frozen(raised)
    assert raised.world.data.contents(raised.source) == kept
    after = raised.tenant()
    assert (after.mode, after.status, after.facts) == (before.mode, before.status, before.facts)
    assert after.saga_id is None
    (target,) = [d.id for d in raised.deployments() if d.id != raised.source]
    assert raised.at(Position.FORMER) == target
    assert raised.world.data.contents(target) == {}
    stack = next(d.stack for d in raised.deployments() if d.id == target)
    left = raised.world.engine.stacks.get(stack)
    assert left is None or left.resources == {}
    assert raised.at(Position.CURRENT) == raised.source


def stop_at(raised: Raised, step: str) -> None:
    """Go to a step, and let it fail there: a copy half way, a run after it has applied."""
    if step == "prepare":
        return  # nothing was done yet
    copies = []

    def data(what: str, thing: object) -> None:
        if raised.saga().step != step:
            return
        copies.append(what)
        if (copies.count("copy") == 3) if step == "copy" else True:
            raise DataUnreadable("it is refused here")

    def engine(what: str, call: object) -> None:
        if what == "change" and raised.saga().step == step:
            raised.world.engine.failing_checks = {"as_applied"}

    if step == "open":
        let_a_role_read(raised.world)
    raised.world.data.during, raised.world.engine.during = data, engine
    saga = raised.go()
    assert (saga.step, saga.status) == (step, SagaStatus.STUCK)
    raised.world.data.during = raised.world.engine.during = lambda what, thing: None
    raised.world.engine.failing_checks = set()


def let_a_role_read(world: World) -> None:
    """Give the account a role, which has to be let in."""
    with world.core.uow() as uow:
        (account,) = uow.accounts.find()
        uow.accounts.save(replace(account, role_arn="arn:aws:iam::123456789012:role/provision"))
        uow.commit()


def test_who_asked_for_an_upgrade_retries_and_withdraws_it(raised: Raised) -> None:
    raised.ask(ARCHITECT)
    stop_at(raised, "copy")
    assert actions_of(raised, ARCHITECT) == ["retry", "withdraw"]
    raised.retry(ARCHITECT)
    assert raised.saga().status is not SagaStatus.STUCK
    assert actions_of(raised, ARCHITECT) == ["withdraw"]
    raised.withdraw(ARCHITECT)
    assert raised.go().status is SagaStatus.UNDONE
    assert actions_of(raised, ARCHITECT) == []
    assert actions_of(raised, AUDITOR) == []


def actions_of(raised: Raised, who: Caller) -> list[str]:
    with raised.world.core.act(who) as act:
        progress = sagas.progress_of(act.uow, act.uow.sagas.need(raised.saga().id))
        return sagas.allowed_actions(progress, who.actor)


@pytest.mark.parametrize("step", [step for step in BEFORE_SWITCH if step != "prepare"])
def test_a_step_that_failed_is_retried_and_nothing_is_copied_twice_or_lost(
    raised: Raised, step: str
) -> None:
    raised.ask()
    stop_at(raised, step)
    raised.retry()
    saga = raised.go()
    assert saga.status is SagaStatus.DONE, saga.error
    assert raised.world.data.contents(raised.at(Position.CURRENT)) == FILLED
    assert sorted(raised.world.data.writes) == sorted(FILLED)


@pytest.mark.parametrize("number", range(1, len(FILLED) + 1))
def test_a_worker_that_dies_at_any_thing_leaves_a_copy_that_goes_on(
    raised: Raised, number: int
) -> None:
    raised.ask()

    def die() -> None:
        raised.world.data.during = lambda what, thing: None
        raise ProcessDied

    raised.at_copy(number, die)
    with pytest.raises(ProcessDied):
        raised.go()
    raised.world.clock.advance(minutes=1)  # the watch of its turn finds that nobody has it
    saga = raised.go()
    assert saga.status is SagaStatus.DONE, saga.error
    assert raised.world.data.contents(raised.at(Position.CURRENT)) == FILLED
    assert sorted(raised.world.data.writes) == sorted(FILLED)


def test_a_store_that_is_down_is_asked_again_by_itself(raised: Raised) -> None:
    raised.ask()

    def outage() -> None:
        raised.world.data.during = lambda what, thing: None
        raise Unavailable("the bucket does not answer")

    raised.at_copy(2, outage)
    follow(raised.world)
    raised.decide()
    follow(raised.world)
    raised.world.clock.advance(minutes=1)
    assert raised.go().status is SagaStatus.DONE


def test_a_copy_that_is_withdrawn_stops_at_its_next_part(raised: Raised) -> None:
    for number in range(250):
        raised.world.data.put(raised.source, Kind.OBJECT, f"tenants/acme/{number:03}", "x")
    raised.ask()
    raised.at_copy(150, raised.withdraw)
    saga = raised.go()
    assert saga.status is SagaStatus.UNDONE
    copied = [name for kind, name in raised.world.data.writes if kind is Kind.OBJECT]
    assert len(copied) == 200  # parts are of a hundred
    assert raised.world.data.contents(raised.at(Position.FORMER)) == {}


def test_after_the_switch_it_only_goes_on(raised: Raised) -> None:
    raised.ask()
    raised.go(until="keep")
    with pytest.raises(IllegalTransition):
        raised.withdraw()
    assert raised.world.actions()[-1] == "saga.refused:denied"


def test_an_upgrade_that_was_withdrawn_can_be_asked_for_again(raised: Raised) -> None:
    raised.ask()
    stop_at(raised, "compare")
    raised.withdraw()
    assert raised.go().status is SagaStatus.UNDONE
    first = raised.at(Position.FORMER)
    raised.ask()
    assert raised.go().status is SagaStatus.DONE
    second = raised.at(Position.CURRENT)
    assert second != first  # what was taken down is removed for good
    stacks = {d.id: d.stack for d in raised.deployments()}
    assert stacks[second] == f"{stacks[first]}2"
    assert raised.world.data.contents(second) == FILLED


def test_a_difference_stops_it_before_the_switch(raised: Raised) -> None:
    raised.ask()
    data = raised.world.data

    def meddle(what: str, thing: object) -> None:
        if what == "things" and raised.saga().step == "compare":
            data.put(raised.at(Position.NEXT), Kind.OBJECT, "tenants/acme/stranger", "x")

    data.during = meddle
    saga = raised.go()
    assert (saga.step, saga.status) == ("compare", SagaStatus.STUCK)
    assert saga.error is not None
    assert saga.error["code"] == "data_differs"
    assert raised.tenant().mode == "A"


def test_the_destroy_of_the_slice_needs_two_people(raised: Raised) -> None:
    raised.ask()
    raised.go(until="destroy")
    (run,) = [r for r in raised.world.rows("run").values() if r.kind is RunKind.DESTROY]
    assert (run.deployment_id, run.status) == (raised.source, RunStatus.AWAITING_APPROVAL)
    assert "sam" in run.requesters
    raised.world.approve(run.id)
    assert raised.world.run(run.id).status is RunStatus.AWAITING_APPROVAL


def test_every_step_is_declared_with_what_it_does() -> None:
    assert MODE_UPGRADE is SAGAS[MODE_UPGRADE.kind]
    assert all(step.undo or step.is_final or step.name in SAFE for step in MODE_UPGRADE.steps)


SAFE = {"survey", "build", "delta", "compare"}  # what others take back, or nothing is to
