"""Taking an approval back: until the apply begins, and by who gave it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.errors import (
    AlreadyDecided,
    ApplyStarted,
    DomainError,
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
)
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.timers import TimerKind
from control_plane.ports.engine import EngineCall
from control_plane.services import runs
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.timers import fire_due
from tests.workflows.deciding import OTTO, PETRA, Site
from tests.workflows.held import place, release
from tests.world import OPS, World, machine

S, A = RunStatus, ApprovalStatus


@pytest.fixture
def site(world: World) -> Site:
    """A first build that waits for its decision."""
    return Site(world, is_ready=False)


def statuses(site: Site) -> tuple[RunStatus, ApprovalStatus]:
    return site.run.status, site.approval.status


def test_a_withdrawn_approval_counts_no_more(site: Site) -> None:
    site.decide()
    assert statuses(site) == (S.APPROVED, A.APPROVED)
    known = len(site.world.events())
    site.withdraw()
    assert statuses(site) == (S.AWAITING_APPROVAL, A.WAITING)
    actions = site.actions(known)
    assert actions[:2] == ["decision.withdrawn", "run.approval_withdrawn"]
    event = site.world.events()[known]
    assert (event.data["approvals"], event.data["needed"]) == (0, 1)
    assert event.personal["reason"] == "not sure any more"
    calls = list(site.world.engine.calls)
    site.world.work()
    assert site.world.engine.calls == calls
    assert site.run.status is S.AWAITING_APPROVAL


def test_the_same_person_may_decide_again_also_with_a_no(site: Site) -> None:
    site.decide()
    site.withdraw()
    site.decide(verdict="reject")
    assert statuses(site) == (S.REJECTED, A.REJECTED)
    assert [d.number for d in site.view().decisions] == [1, 2]


def test_another_yes_of_the_same_person_applies(site: Site) -> None:
    for _ in range(2):
        site.decide()
        site.withdraw()
    site.decide()
    site.refused(AlreadyDecided, site.decide)
    site.world.work()
    assert site.run.status is S.APPLIED


def test_it_is_withdrawn_by_the_person_under_whatever_account(site: Site) -> None:
    def account(name: str) -> Caller:
        actor = Actor(id=name, kind=ActorKind.USER, roles=(Role.OPS_APPROVER,), tenants=("*",),
                      person="employee-17")  # fmt: skip
        return Caller(actor=actor)

    site.decide(account("olga"))
    site.refused(IllegalTransition, lambda: site.withdraw(OTTO))
    site.withdraw(account("olga-admin"))
    assert site.run.status is S.AWAITING_APPROVAL
    site.decide(account("olga-2"))
    assert site.run.status is S.APPROVED


def test_one_of_two_is_withdrawn_while_the_other_stands(site: Site) -> None:
    site.world.approve(site.run_id)
    site.more = {("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "b"): {"bucket": "b"}}
    site.change()
    site.world.approve(site.run_id)
    site.more = {}
    site.change()
    assert site.approval.needed == 2
    site.decide(OPS)
    site.withdraw(OPS)
    site.decide(OTTO)
    assert statuses(site) == (S.AWAITING_APPROVAL, A.WAITING)
    site.decide(PETRA)
    site.withdraw(OTTO)
    assert statuses(site) == (S.AWAITING_APPROVAL, A.WAITING)
    site.decide(OPS)
    site.world.work()
    assert site.run.status is S.APPLIED


def test_a_withdrawal_is_refused_where_there_is_nothing_to_withdraw(site: Site) -> None:
    site.refused(IllegalTransition, site.withdraw)
    site.refused(MachineMayNotDecide, lambda: site.withdraw(machine("bot", Role.OPS_APPROVER)))
    site.decide()
    site.refused(InvalidInput, lambda: site.withdraw(reason=" "))
    site.withdraw()
    site.refused(IllegalTransition, site.withdraw)


def test_after_the_apply_began_the_refusal_says_what_to_do(site: Site) -> None:
    site.decide()
    seen: list[DomainError] = []

    def during(what: str, call: EngineCall) -> None:
        if what == "apply" and site.run.status is S.APPLYING:
            with pytest.raises(ApplyStarted) as caught:
                site.withdraw()
            seen.append(caught.value)

    site.world.engine.during = during
    site.world.work()
    site.world.engine.during = lambda what, call: None
    error = site.refused(ApplyStarted, site.withdraw)
    assert "hold" in error.remedy
    assert "ancel" in error.remedy
    assert site.run.status is S.APPLIED


@pytest.mark.parametrize("end", ["cancel", "reject", "expire"])
def test_nothing_is_withdrawn_from_what_has_ended(site: Site, end: str) -> None:
    if end == "reject":
        site.decide(verdict="reject")
    else:
        site.decide()
    if end == "cancel":
        perform(site.world.core, OTTO, runs.cancel_run, site.run_id)
    if end == "expire":
        site.world.clock.advance(hours=72)
        fire_due(site.world.core)
        assert site.run.status is S.EXPIRED
    site.refused(IllegalTransition, site.withdraw)


def test_a_run_that_a_hold_blocks_waits_again(site: Site) -> None:
    hold = place(site.world, site.tenant_id)
    site.decide()
    site.world.work()
    assert (site.run.status, site.run.blocked_on) == (S.BLOCKED, BlockedOn.HOLD)
    assert site.view().can_withdraw
    site.withdraw()
    assert (site.run.status, site.run.blocked_on, site.run.error) == (
        S.AWAITING_APPROVAL, None, None
    )  # fmt: skip
    release(site.world, hold)
    assert site.run.status is S.AWAITING_APPROVAL
    site.decide(OTTO)
    site.world.work()
    assert site.run.status is S.APPLIED


def test_where_the_plan_no_longer_holds_a_retry_is_the_way(site: Site) -> None:
    site.decide()
    site.world.engine.program_version = "2"
    site.world.work()
    assert site.run.blocked_on is BlockedOn.STATE_MOVED
    assert not site.view().can_withdraw
    error = site.refused(IllegalTransition, site.withdraw)
    assert "nothing can be applied" in error.message


def test_a_turn_that_was_enqueued_before_the_withdrawal_applies_nothing(site: Site) -> None:
    """The worker may have the run in hand: the gate asks the rows again."""
    site.decide()

    def during(what: str, call: EngineCall) -> None:
        if site.run.status is S.APPROVED:
            site.withdraw()

    site.world.engine.during = during
    site.world.work()
    assert statuses(site) == (S.AWAITING_APPROVAL, A.WAITING)
    assert "run.apply:attempted" not in site.world.actions()
    with site.world.core.uow() as uow:
        assert not uow.timers.claim(
            site.world.clock.now(), until=site.world.clock.now(), limit=5
        )  # nothing wakes it but a decision
    site.world.engine.during = lambda what, call: None
    site.decide(OTTO)
    site.world.work()
    assert site.run.status is S.APPLIED


def test_two_decisions_and_a_withdrawal_at_once_leave_one_outcome(site: Site) -> None:
    site.decide()

    def attempt(act: object) -> str:
        try:
            act()  # type: ignore[operator] # one of the functions below
        except DomainError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(attempt, [site.withdraw, lambda: site.decide(OTTO), site.withdraw]))
    assert found.count("done") in {1, 2}
    assert sum(code == "done" for code in (found[0], found[2])) == 1
    is_approved = found[1] == "done"
    assert site.run.status is (S.APPROVED if is_approved else S.AWAITING_APPROVAL)
    assert site.approval.status is (A.APPROVED if is_approved else A.WAITING)


def test_a_withdrawal_shows_in_what_people_read(site: Site) -> None:
    site.decide()
    assert site.view().can_withdraw
    assert not site.view(OTTO).can_withdraw
    site.withdraw()
    view = site.view()
    assert (view.is_open, view.can_withdraw) == (True, False)
    assert [w.reason for w in view.withdrawals] == ["not sure any more"]
    assert TimerKind.APPROVAL_EXPIRY  # the wait ends as before
    site.world.clock.advance(hours=72)
    fire_due(site.world.core)
    assert site.run.status is S.EXPIRED
