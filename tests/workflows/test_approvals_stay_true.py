"""An approval holds while the cloud is as the plan was made over: looked at again at the apply."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.run import BlockedOn, Run, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import runs
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from tests.scripted_engine import Fault
from tests.world import AUTOMATION, OPS, World, person

S, T, W = RunStatus, TenantStatus, WaitingOn
OTTO = person("otto", Role.OPS_APPROVER)
STACK = "dainese.production.b"
PARAMETER = "aws:ssm/parameter:Parameter"
DATABASE = f"{PARAMETER}::database"  # what a change of seats touches
NETWORK = f"{PARAMETER}::network"  # and what it leaves alone
SECRET = {"secret": True}


class Changing:
    """A ready tenant and a change of it whose plan waits for a decision."""

    def __init__(self, world: World) -> None:
        self.world = world
        accepted = world.submit("B")
        world.work()
        world.approve(accepted.run_id)
        self.first = accepted.run_id or ""
        self.tenant_id = accepted.tenant.id
        assert self.shown() == (T.READY, None)
        self.run_id = self.change(seats=2000)

    def change(self, **facts: Any) -> str:
        """Change facts, and plan what follows; returns the run."""
        found = perform(
            self.world.core, AUTOMATION, request_change, self.tenant_id, facts=facts, reason="grown"
        )
        self.world.work()
        return found.run_id or ""

    def run(self, run_id: str = "") -> Run:
        """Return a run, the change's own unless one is named."""
        found: Run = self.world.run(run_id or self.run_id)
        return found

    def by_hand(self, resource: str, **values: Any) -> None:
        """Change something in the cloud."""
        self.world.engine.change(STACK, resource, **values)

    def blocked(self) -> Run:
        """Approve after a change by hand; returns the run, which has applied nothing."""
        known = len(self.world.events())
        self.world.approve(self.run_id)
        run = self.run()
        assert (run.status, run.blocked_on, run.started_at) == (
            S.BLOCKED, BlockedOn.STATE_MOVED, None
        )  # fmt: skip
        assert "run.apply" not in [event.action for event in self.world.events()[known:]]
        return run

    def retried(self) -> Run:
        """Retry, and plan again."""
        fresh = perform(self.world.core, OPS, runs.retry_run, self.run_id)
        self.world.work()
        return self.run(fresh.id)

    def shown(self) -> tuple[TenantStatus, WaitingOn | None]:
        """Return what the tenant's row says."""
        tenant = self.world.tenant(self.tenant_id)
        return tenant.status, tenant.waiting_on

    def differences(self, run: Run) -> list[tuple[Any, ...]]:
        """Return what a blocked run says of the cloud."""
        assert run.error is not None
        named = ("urn", "kind", "path", "in_plan", "in_cloud")
        return [tuple(each[name] for name in named) for each in run.error["data"]["differences"]]


@pytest.fixture
def changing(world: World) -> Changing:
    return Changing(world)


def urn(resource: str) -> str:
    return f"urn:pulumi:{STACK}::tenantplane::{resource}"


def test_an_unchanged_cloud_lets_the_approved_plan_apply(changing: Changing) -> None:
    told: list[str] = []
    changing.world.engine.during = lambda what, _: told.append(what)
    changing.world.approve(changing.run_id)
    assert changing.run().status is S.APPLIED
    assert changing.shown() == (T.READY, None)
    assert told == ["apply", "compare", "change", "verify"]


def test_what_moved_in_the_cloud_is_named_with_both_values(changing: Changing) -> None:
    before = changing.world.engine.stacks[STACK].resources[urn(DATABASE)]["inputs"]["value"]
    changing.by_hand(DATABASE, value="by hand", token=SECRET)
    run = changing.blocked()
    assert run.error is not None
    assert run.error["code"] == "plan_moved"
    assert run.error["data"]["parts"] == ["cloud"]
    assert run.error["message"] == (
        "changed since the approval: cloud; in the cloud differ: database (token), database (value)"
    )
    assert changing.differences(run) == [
        (urn(DATABASE), "changed", "token", None, SECRET),
        (urn(DATABASE), "changed", "value", before, "by hand"),
    ]
    (event,) = [each for each in changing.world.events() if each.action == "run.blocked"]
    assert (event.data["part"], event.data["resources"]) == ("cloud", [urn(DATABASE)])
    assert changing.shown() == (T.READY, W.PLATFORM)


def test_what_is_gone_from_the_cloud_is_named(changing: Changing) -> None:
    changing.world.engine.lose(STACK, "database")
    run = changing.blocked()
    assert changing.differences(run) == [(urn(DATABASE), "missing", "", None, None)]
    fresh = changing.retried()
    plan = perform(changing.world.core, OPS, runs.get_plan, fresh.id)
    assert [o.op for o in plan.operations if o.urn == urn(DATABASE)] == ["create"]


def test_a_part_of_the_digest_that_moved_too_is_named_first(changing: Changing) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.world.engine.program_version = "2"
    run = changing.blocked()
    assert run.error is not None
    assert run.error["data"]["parts"] == ["program", "cloud"]


def test_what_the_plan_does_not_touch_blocks_nothing_and_fails_the_verification(
    changing: Changing,
) -> None:
    changing.by_hand(NETWORK, value="by hand")
    changing.world.approve(changing.run_id)
    run = changing.run()
    assert run.started_at is not None
    failed = [c.name for c in changing.world.evidence(run).checks if not c.ok]
    assert (run.status, failed) == (S.ERRORED, ["as_applied"])


def test_a_retry_plans_over_what_the_cloud_has_and_is_compared(changing: Changing) -> None:
    wanted = perform(changing.world.core, OPS, runs.get_plan, changing.run_id)
    changing.by_hand(DATABASE, value="by hand", tier="Advanced")
    changing.blocked()
    calls = len(changing.world.engine.calls)
    fresh = changing.retried()
    assert "resolve" in [what for what, _ in changing.world.engine.calls[calls:]]
    old = changing.run()
    assert (fresh.kind, fresh.status, fresh.supersedes) == (
        RunKind.UPDATE, S.AWAITING_APPROVAL, old.id
    )  # fmt: skip
    assert old.status is S.SUPERSEDED
    assert changing.differences(old) != []  # they stay with the run that found them
    earlier, found = perform(changing.world.core, OPS, runs.compare_plans, fresh.id)
    assert (earlier, found.older, found.newer.id) == (old, wanted, fresh.plan_id)
    assert (found.added, found.removed, found.outputs) == ((), (), ())
    (changed,) = found.changed
    assert (changed.before.urn, changed.after.urn) == (urn(DATABASE), urn(DATABASE))
    values = {c.path: (c.before, c.after) for c in changed.after.changes}
    (planned,) = [r.inputs["value"] for r in wanted.resources if r.urn == urn(DATABASE)]
    assert values == {"tier": ("Advanced", None), "value": ("by hand", planned)}
    assert changed.inputs == ()  # what it would be is as before
    assert set(found.parts) == {"operations", "state"}
    changing.world.approve(fresh.id, OTTO)
    assert changing.run(fresh.id).status is S.APPLIED
    assert "tier" not in changing.world.engine.stacks[STACK].resources[urn(DATABASE)]["inputs"]


def test_a_retry_shows_the_repair_of_what_the_old_plan_did_not_touch(changing: Changing) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.by_hand(NETWORK, value="by hand too")
    changing.blocked()
    fresh = changing.retried()
    _, found = perform(changing.world.core, OPS, runs.compare_plans, fresh.id)
    assert [operation.urn for operation in found.added] == [urn(NETWORK)]
    changing.world.approve(fresh.id, OTTO)
    assert changing.run(fresh.id).status is S.APPLIED


def test_a_tenant_stays_ready_whatever_becomes_of_the_fresh_plan(changing: Changing) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.blocked()
    fresh = changing.retried()
    assert changing.shown() == (T.READY, W.OPS)
    perform(changing.world.core, OPS, runs.cancel_run, fresh.id)
    assert changing.shown() == (T.READY, None)
    again = changing.change(ip_allow_list=["203.0.113.0/24"])
    assert changing.shown() == (T.READY, W.OPS)
    changing.world.approve(again, OTTO)
    assert changing.run(again).status is S.APPLIED
    assert changing.shown() == (T.READY, None)


def test_a_tenant_is_not_ready_after_an_apply_that_failed(changing: Changing) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.blocked()
    fresh = changing.retried()
    changing.world.engine.faults.append(Fault(kind="fails", after=0))
    changing.world.approve(fresh.id, OTTO)
    assert changing.run(fresh.id).status is S.ERRORED
    again = perform(changing.world.core, OPS, runs.retry_run, fresh.id)
    changing.world.work()
    assert changing.run(again.id).status is S.AWAITING_APPROVAL
    assert changing.shown() == (T.PENDING, W.OPS)


@pytest.mark.parametrize("way", ["superseded", "canceled"])
def test_a_change_after_a_blocked_run_reads_the_cloud_too(changing: Changing, way: str) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.blocked()
    if way == "canceled":
        perform(changing.world.core, OPS, runs.cancel_run, changing.run_id)
    fresh = changing.change(ip_allow_list=["203.0.113.0/24"])
    changing.world.approve(fresh)
    assert changing.run(fresh).status is S.APPLIED


def test_a_cloud_that_moves_again_after_the_retry_blocks_again(changing: Changing) -> None:
    changing.by_hand(DATABASE, value="by hand")
    changing.blocked()
    changing.run_id = changing.retried().id
    changing.by_hand(DATABASE, value="by hand again")
    changing.world.approve(changing.run_id, OTTO)
    run = changing.run()
    assert run.blocked_on is BlockedOn.STATE_MOVED
    assert changing.differences(run) == [
        (urn(DATABASE), "changed", "value", "by hand", "by hand again")
    ]


def test_a_plan_that_is_applied_as_it_is_made_is_not_compared(world: World) -> None:
    """Nobody decided in between, and the engine holds the stack."""
    world.ready_hub()
    accepted = world.submit("A")
    told: list[str] = []
    world.engine.during = lambda what, _: told.append(what)
    world.work()
    assert world.run(accepted.run_id).status is S.APPLIED
    assert "apply" in told
    assert "compare" not in told


def test_a_plan_that_takes_no_ones_place_is_not_compared(changing: Changing) -> None:
    assert perform(changing.world.core, OPS, runs.replaced_run, changing.run_id) is None
    earlier, found = perform(changing.world.core, OPS, runs.compare_plans, changing.run_id)
    assert (earlier, found.older) == (None, None)
    assert [operation.urn for operation in found.added] == [urn(DATABASE)]
