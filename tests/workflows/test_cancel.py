"""Canceling a run at each stage of each mode that has runs: the answer, the end, and the retry.

Mode C has no runs: a bundle is not canceled, its links are revoked and its time ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.errors import IllegalTransition
from control_plane.domain.hold import HoldKind
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import accounts, approvals, holds, hubs, runs
from control_plane.services.performing import perform
from control_plane.workflows.releasing import calls_to_stop
from control_plane.workflows.timers import fire_due
from tests.scripted_engine import Fault, ProcessDied
from tests.world import ACCOUNT, ADMIN, OPS, World, person

OTTO: Final = person("otto", Role.OPS_APPROVER)
MODES: Final = ("slice", "hub", "dedicated")
PEOPLE_DECIDE: Final = ("hub", "dedicated")
BEFORE_THE_APPLY: Final = frozenset(
    {RunStatus.REQUESTED, RunStatus.PLANNING, RunStatus.AWAITING_APPROVAL, RunStatus.APPROVED,
     RunStatus.BLOCKED}
)  # fmt: skip


class Canceled:
    """A run of a mode that somebody cancels once, and what that was answered."""

    def __init__(self, world: World, mode: str) -> None:
        self.world = world
        self.mode = mode
        self.answer: Run | None = None
        self.found: Run | None = None  # the run as it was canceled
        self.run_id = ""
        if mode == "slice":
            world.ready_hub(cell="c9")

    def request(self) -> None:
        """Request the run; nothing is done for it yet."""
        if self.mode == "hub":
            _, run = perform(
                self.world.core, ADMIN, hubs.request_hub,
                region="eu-west-1", cell="c1", capacity=5,
            )  # fmt: skip
            self.run_id = run.id
        else:
            accepted = self.world.submit({"slice": "A", "dedicated": "B"}[self.mode], 3)
            self.run_id = accepted.run_id or ""

    def go(self) -> None:
        """Request the run and go as far as it goes; people approve what waits for them."""
        self.request()
        self.proceed()

    def proceed(self) -> None:
        """Go as far as the run goes; people approve what waits for them."""
        self.world.work()
        if self.run.status is RunStatus.AWAITING_APPROVAL:
            self.world.approve(self.run_id, OTTO)

    @property
    def run(self) -> Any:
        return self.world.run(self.run_id)

    def cancel(self) -> None:
        self.found = self.run
        self.answer = perform(self.world.core, OPS, runs.cancel_run, self.run_id)

    def cancel_while(self, moment: str, *, and_stop: bool = True) -> None:
        """Cancel when the engine comes to a moment of the run; its worker stops it then."""

        def act(what: str, call: Any) -> None:
            if what == moment and call.run_id == self.run_id and self.answer is None:
                self.cancel()
                if and_stop:
                    for call_id in calls_to_stop(self.world.core):
                        self.world.engine.cancel(call_id)

        self.world.engine.during = act

    def owner_is_failed(self) -> bool:
        if self.mode == "hub":
            (hub,) = [hub for hub in self.world.rows("hub").values() if hub.cell == "c1"]
            return bool(hub.status is HubStatus.FAILED)
        return bool(self.world.tenant(self.run.tenant_id).status is TenantStatus.FAILED)

    def must_have_ended(self, stage: RunStatus) -> None:
        """The cancel was answered as the stage wants, the run has ended, and a retry heals all."""
        assert self.found is not None
        assert self.answer is not None
        assert self.found.status is stage
        at_once = stage in BEFORE_THE_APPLY
        assert (self.answer.status is RunStatus.CANCELED) is at_once
        assert self.answer.cancel_requested
        ended = self.run
        assert ended.status is RunStatus.CANCELED, ended.error
        assert not ended.is_working
        assert self.owner_is_failed()
        self._no_approval_is_left(ended)
        if stage is RunStatus.PLANNING:
            assert ended.plan_id is None  # what the engine still said is not kept
        if at_once and self.found.blocked_from is not RunStatus.APPLYING:
            assert self._applies() == 0
        with pytest.raises(IllegalTransition, match="cannot be canceled: it is canceled"):
            perform(self.world.core, OPS, runs.cancel_run, self.run_id)
        (event,) = [
            event for event in self.world.events()
            if event.action == "run.canceled" and event.stage == "completed"
        ]  # fmt: skip
        assert event.data["during"] == str(self.found.blocked_from or stage)
        self._stays_so(ended)
        self._is_healed()

    def _applies(self) -> int:
        """Count how often the engine was let through to change something for the run."""
        return sum(
            (event.action, event.stage) == ("run.apply", "attempted")
            and ("run", self.run_id) in event.targets
            for event in self.world.events()
        )

    def _no_approval_is_left(self, ended: Run) -> None:
        if ended.approval_id is not None:
            with self.world.core.uow() as uow:
                approval = uow.approvals.get(ended.approval_id)
            assert approval is not None
            assert approval.status in {ApprovalStatus.CANCELED, ApprovalStatus.CONSUMED}

    def _stays_so(self, ended: Run) -> None:
        """No timer and no phase that is still enqueued takes it up again."""
        self.world.engine.during = lambda *_: None
        calls = list(self.world.engine.calls)
        self.world.clock.advance(hours=1)
        fire_due(self.world.core)
        self.world.work()
        assert self.run == ended
        assert self.world.engine.calls == calls

    def _is_healed(self) -> None:
        fresh = perform(self.world.core, OPS, runs.retry_run, self.run_id)
        self.world.work()
        if self.world.run(fresh.id).status is RunStatus.AWAITING_APPROVAL:
            self.world.approve(fresh.id, OTTO)
        healed = self.world.run(fresh.id)
        assert healed.status is RunStatus.APPLIED, healed.error
        assert not self.owner_is_failed()


@pytest.fixture
def canceled(world: World, mode: str) -> Canceled:
    return Canceled(world, mode)


each_mode = pytest.mark.parametrize("mode", MODES)
where_people_decide = pytest.mark.parametrize("mode", PEOPLE_DECIDE)


@each_mode
def test_requested(canceled: Canceled) -> None:
    canceled.request()
    canceled.cancel()
    known = len(canceled.world.engine.calls)
    canceled.world.work()
    assert len(canceled.world.engine.calls) == known  # nothing was ever called for it
    canceled.must_have_ended(RunStatus.REQUESTED)


@each_mode
@pytest.mark.parametrize("and_stop", [True, False])
def test_planning(canceled: Canceled, and_stop: bool) -> None:
    canceled.cancel_while("apply" if canceled.mode == "slice" else "plan", and_stop=and_stop)
    canceled.go()
    canceled.must_have_ended(RunStatus.PLANNING)


@where_people_decide
def test_awaiting_approval(canceled: Canceled) -> None:
    canceled.request()
    canceled.world.work()
    canceled.cancel()
    canceled.must_have_ended(RunStatus.AWAITING_APPROVAL)


@where_people_decide
def test_approved_and_not_taken_up(canceled: Canceled) -> None:
    canceled.request()
    canceled.world.work()
    approved(canceled)
    canceled.cancel()
    canceled.world.work()
    canceled.must_have_ended(RunStatus.APPROVED)


@where_people_decide
@pytest.mark.parametrize("and_stop", [True, False])
def test_approved_while_the_engine_previews_again(canceled: Canceled, and_stop: bool) -> None:
    canceled.cancel_while("apply", and_stop=and_stop)
    canceled.go()
    canceled.must_have_ended(RunStatus.APPROVED)


def approved(canceled: Canceled) -> None:
    view = perform(canceled.world.core, OTTO, approvals.get_approval, canceled.run.approval_id)
    perform(
        canceled.world.core, OTTO, approvals.decide, view.approval.id, verdict="approve",
        plan_digest=view.approval.plan_digest, reason="read it",
    )  # fmt: skip


@each_mode
def test_applying(canceled: Canceled) -> None:
    canceled.cancel_while("change")
    canceled.go()
    canceled.must_have_ended(RunStatus.APPLYING)


@each_mode
def test_applying_is_canceled_once(canceled: Canceled) -> None:
    refused: list[str] = []

    def twice(what: str, call: Any) -> None:
        if what == "change" and call.run_id == canceled.run_id:
            canceled.cancel()
            with pytest.raises(IllegalTransition) as error:
                perform(canceled.world.core, OPS, runs.cancel_run, canceled.run_id)
            refused.append(str(error.value))

    canceled.world.engine.during = twice
    canceled.go()
    assert refused == ["the run is being canceled already: it is applying"]
    # nobody stopped the engine, so that it was done before anybody could
    assert canceled.run.status is RunStatus.APPLIED
    assert not canceled.owner_is_failed()


@each_mode
def test_applying_and_its_worker_is_gone(canceled: Canceled) -> None:
    """Who takes the run up next ends it before anything is called."""
    canceled.world.engine.faults.append(Fault(kind="worker_dies"))
    with pytest.raises(ProcessDied):
        canceled.go()
    assert canceled.run.status is RunStatus.APPLYING
    canceled.cancel()
    calls = len(canceled.world.engine.calls)
    canceled.world.clock.advance(seconds=31)
    fire_due(canceled.world.core)
    canceled.world.work()
    assert len(canceled.world.engine.calls) == calls
    canceled.must_have_ended(RunStatus.APPLYING)


@each_mode
def test_verifying_is_too_late(canceled: Canceled) -> None:
    refused: list[str] = []

    def late(what: str, call: Any) -> None:
        if what == "verify" and call.run_id == canceled.run_id:
            with pytest.raises(IllegalTransition) as error:
                canceled.cancel()
            refused.append(str(error.value))

    canceled.world.engine.during = late
    canceled.go()
    assert refused == ["the run cannot be canceled: it is verifying"]
    assert canceled.run.status is RunStatus.APPLIED
    assert not canceled.run.cancel_requested
    assert not canceled.owner_is_failed()


# --- settling what an earlier call left -------------------------------------------------------
@each_mode
@pytest.mark.parametrize("moment", ["clean_up", "resolve"])
def test_settling_an_apply_that_goes_on(canceled: Canceled, moment: str) -> None:
    canceled.world.engine.faults.append(Fault(kind="engine_dies"))
    canceled.cancel_while(moment)
    canceled.go()
    canceled.must_have_ended(RunStatus.APPLYING)


@each_mode
@pytest.mark.parametrize("moment", ["clean_up", "resolve"])
def test_settling_before_a_plan(canceled: Canceled, moment: str) -> None:
    canceled.world.engine.faults.append(Fault(kind="fails"))
    canceled.go()
    assert canceled.run.status is RunStatus.ERRORED
    fresh = perform(canceled.world.core, OPS, runs.retry_run, canceled.run_id)
    canceled.run_id = fresh.id
    canceled.cancel_while(moment)
    canceled.world.work()
    canceled.must_have_ended(RunStatus.PLANNING)


# --- blocked ----------------------------------------------------------------------------------
def no_room(canceled: Canceled) -> Callable[[], object]:
    """The only Hub is full."""
    (hub,) = canceled.world.rows("hub").values()
    with canceled.world.core.uow() as uow:
        uow.hubs.save(replace(hub, capacity=0, version=hub.version + 1))
        uow.commit()
    canceled.go()
    return lambda: canceled.world.ready_hub(cell="c8")


def no_account(canceled: Canceled) -> Callable[[], object]:
    world = canceled.world
    perform(world.core, ADMIN, accounts.remove_account, ACCOUNT)
    canceled.go()
    return lambda: perform(
        world.core, ADMIN, accounts.add_account,
        account_id=ACCOUNT, role_arn=None, external_id=None, shared=True,
    )  # fmt: skip


def foreign_lock(canceled: Canceled) -> Callable[[], object]:
    """Somebody else takes the stack while the run waits, or before it is planned."""
    engine, taken = canceled.world.engine, list[str]()

    def take(what: str, call: Any) -> None:
        if what in {"plan", "apply"} and call.run_id == canceled.run_id and not taken:
            taken.extend((call.stack, engine.hold_lock(call.stack)))

    engine.during = take
    canceled.go()
    return lambda: engine.stacks[taken[0]].locks.pop(taken[1])


def pending_unresolved(canceled: Canceled) -> Callable[[], object]:
    engine = canceled.world.engine
    engine.faults.append(Fault(kind="engine_dies"))
    engine.ambiguous = True
    canceled.go()
    return lambda: setattr(engine, "ambiguous", False)


def state_moved(canceled: Canceled) -> Callable[[], object]:
    canceled.request()
    canceled.world.work()
    approved(canceled)
    canceled.world.engine.program_version = "2"
    canceled.world.work()
    return lambda: None


def held(canceled: Canceled) -> Callable[[], object]:
    core, reason = canceled.world.core, "somebody asked for it"
    canceled.request()
    tenant_id = canceled.run.tenant_id
    if tenant_id is None:
        hub_id = list(canceled.world.rows("hub"))[-1]
        hold = perform(core, OPS, holds.place_on_hub, hub_id, kind=HoldKind.PAUSE, reason=reason)
    else:
        hold = perform(
            core, OPS, holds.place_on_tenant, tenant_id, kind=HoldKind.PAUSE, reason=reason
        )
    canceled.proceed()
    return lambda: perform(core, OPS, holds.release_hold, hold.id, reason=reason)


BLOCKED: Final = [
    (BlockedOn.HUB_UNAVAILABLE, "slice", no_room),
    *((BlockedOn.NO_ACCOUNT, mode, no_account) for mode in PEOPLE_DECIDE),
    *((BlockedOn.FOREIGN_LOCK, mode, foreign_lock) for mode in MODES),
    *((BlockedOn.PENDING_UNRESOLVED, mode, pending_unresolved) for mode in MODES),
    *((BlockedOn.STATE_MOVED, mode, state_moved) for mode in PEOPLE_DECIDE),
    *((BlockedOn.HOLD, mode, held) for mode in MODES),
]


def test_every_obstacle_is_here() -> None:
    assert {on for on, _, _ in BLOCKED} == set(BlockedOn)


@pytest.mark.parametrize(("on", "mode", "block"), BLOCKED)
def test_blocked(
    canceled: Canceled, on: BlockedOn, block: Callable[[Canceled], Callable[[], object]]
) -> None:
    clear = block(canceled)
    assert (canceled.run.status, canceled.run.blocked_on) == (RunStatus.BLOCKED, on)
    canceled.cancel()
    canceled.world.work()
    clear()
    canceled.world.work()
    canceled.must_have_ended(RunStatus.BLOCKED)
