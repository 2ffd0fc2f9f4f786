"""Looks at what exists: what they find, what they leave as it is, and what they give way to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.errors import EngineFailed, EngineUnavailable, IllegalTransition
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import approvals, changes, drift, holds, runs, tenants
from control_plane.services.performing import perform
from control_plane.workflows.timers import fire_due
from tests.storage import Storage
from tests.world import ADMIN, AUTOMATION, OPS, World, person

S = RunStatus
STACK = "dainese.production.b"
KEY = f"urn:pulumi:{STACK}::tenantplane::aws:kms/key:Key::data"
ROTATION = Drift(
    kind="changed", subject=KEY, type="aws:kms/key:Key", path="enableKeyRotation",
    expected=True, actual=False,
)  # fmt: skip
RULE = Drift(
    kind="foreign", subject="ec2:security-group-rule sgr-1", type="ec2:security-group-rule",
    actual={"cidrIpv4": "0.0.0.0/0", "fromPort": 22},
)  # fmt: skip


class Looked:
    """A ready Mode B tenant that is looked at."""

    def __init__(self, world: World) -> None:
        self.world = world
        accepted = world.submit("B")
        world.work()
        world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id
        self.first_run = accepted.run_id or ""
        self.deployment_id = world.run(self.first_run).deployment_id
        run = world.run(self.first_run)
        assert self.tenant().status is TenantStatus.READY, (run.status, run.blocked_on, run.error)

    def tenant(self) -> Any:
        return self.world.tenant(self.tenant_id)

    def deployment(self) -> Any:
        return self.world.rows("deployment")[self.deployment_id]

    def ask(self) -> Any:
        """Request a look and return its run."""
        return perform(self.world.core, OPS, drift.request_check, self.tenant_id)

    def look(self) -> Any:
        """Look, and return the run at its end."""
        run = self.ask()
        self.world.work()
        return self.world.run(run.id)

    def findings(self, *, with_closed: bool = False) -> list[Any]:
        """Return findings as a reader sees them, newest first."""
        return perform(
            self.world.core, OPS, drift.list_findings, self.tenant_id,
            limit=50, before=None, with_closed=with_closed,
        )  # fmt: skip

    def change(self, seats: int = 2000) -> Any:
        """Request a change that needs a run, and return what it comes to."""
        return perform(
            self.world.core, AUTOMATION, changes.request_change, self.tenant_id,
            facts={"seats": seats}, reason="it grows",
        )  # fmt: skip

    def untouched(self) -> tuple[Any, ...]:
        """Return what no look may change."""
        tenant = self.tenant()
        return self.deployment(), tenant.status, tenant.waiting_on

    def next_look(self) -> timedelta:
        """Return in what time the timer of the next look is due."""
        with psycopg.connect(self.world.storage.database.admin) as admin:
            ((due_at,),) = admin.execute(
                "SELECT due_at FROM timer WHERE kind = 'drift_look' AND subject = %s",
                [self.deployment_id],
            ).fetchall()
        found: timedelta = due_at - self.world.clock.now()
        return found


@pytest.fixture
def looked(world: World) -> Looked:
    return Looked(world)


# --- what a look finds -----------------------------------------------------------------------
def test_a_look_that_finds_everything_as_it_was_applied_changes_nothing(looked: Looked) -> None:
    before = looked.untouched()
    run = looked.look()
    assert (run.kind, run.status, run.error) == (RunKind.REFRESH, S.NO_CHANGES, None)
    assert (run.plan_id, run.approval_id, run.started_at) == (None, None, None)
    assert all(check.ok for check in looked.world.evidence(run).checks)
    assert looked.untouched() == before
    assert (looked.findings(), looked.tenant().drifted) == ([], False)
    with looked.world.core.uow() as uow:
        assert uow.queries.newest_run(looked.deployment_id).id == looked.first_run
    shown = perform(looked.world.core, OPS, tenants.show_tenant, looked.tenant_id)
    assert shown[1].run_id == looked.first_run


def test_what_differs_becomes_findings_and_a_flag_and_the_tenant_stays_ready(
    looked: Looked,
) -> None:
    before = looked.untouched()
    looked.world.engine.lose(STACK, "app")
    looked.world.engine.drift = (ROTATION, RULE)
    run = looked.look()
    assert run.status is S.NO_CHANGES
    assert looked.untouched() == before
    assert looked.tenant().drifted
    found = {(str(each.kind), each.subject, each.path): each for each in looked.findings()}
    lost = [f"urn:pulumi:{STACK}::tenantplane::aws:iam/{kind}::app"
            for kind in ("role:Role", "rolePolicy:RolePolicy")]  # fmt: skip
    assert set(found) == {
        ("changed", KEY, "enableKeyRotation"), ("foreign", RULE.subject, ""),
        *(("missing", urn, "") for urn in lost),
    }  # fmt: skip
    changed = found["changed", KEY, "enableKeyRotation"]
    assert (changed.expected, changed.actual, changed.type) == (True, False, "aws:kms/key:Key")
    assert (changed.first_seen_by, changed.last_seen_by, changed.closed_by) == (
        run.id, run.id, None
    )  # fmt: skip
    assert found["foreign", RULE.subject, ""].actual == RULE.actual


def test_a_finding_is_renewed_while_it_is_seen_and_closes_by_itself(looked: Looked) -> None:
    looked.world.engine.drift = (ROTATION,)
    first = looked.look()
    looked.world.clock.advance(hours=1)
    second = looked.look()
    (found,) = looked.findings()
    assert (found.first_seen_by, found.last_seen_by) == (first.id, second.id)
    assert found.last_seen_at - found.first_seen_at == timedelta(hours=1)
    looked.world.engine.drift = ()
    last = looked.look()
    assert (looked.findings(), looked.tenant().drifted) == ([], False)
    (closed,) = looked.findings(with_closed=True)
    assert (closed.id, closed.closed_by, closed.last_seen_by) == (found.id, last.id, second.id)
    looked.world.engine.drift = (ROTATION,)
    looked.look()
    (again,) = looked.findings()
    assert again.id != found.id


def test_what_a_look_finds_is_in_the_tenants_log_by_name_without_values(looked: Looked) -> None:
    secret = replace(ROTATION, path="policy", expected={"secret": True}, actual="by hand: olga")
    looked.world.engine.drift = (ROTATION, secret)
    known = len(looked.world.events())
    run = looked.look()
    events = looked.world.events()[known:]
    assert [f"{each.action}:{each.stage}" for each in events] == [
        "run.requested:completed", "run.verified:failed", "drift.found:completed",
        "run.no_changes:completed",
    ]  # fmt: skip
    assert {each.tree for each in events} == {looked.tenant_id}
    told = events[2].data["findings"]
    assert {(each["subject"], each["path"]) for each in told} == {
        (KEY, "enableKeyRotation"), (KEY, "policy")
    }  # fmt: skip
    assert "olga" not in str(events[2].body)
    looked.look()
    assert looked.world.actions(looked.tenant_id).count("drift.found:completed") == 1
    looked.world.engine.drift = (replace(ROTATION, actual=None), secret)  # other than before
    looked.look()
    again = looked.world.events()[-2]
    assert (again.action, [each["path"] for each in again.data["findings"]]) == (
        "drift.found", ["enableKeyRotation"]
    )  # fmt: skip
    assert again.data["findings"][0]["digest"] != told[0]["digest"]
    looked.world.engine.drift = ()
    looked.look()
    (cleared,) = [each for each in looked.world.events() if each.action == "drift.cleared"]
    assert (cleared.data["count"], cleared.body["run"]) == (
        2,
        looked.world.rows("run").popitem()[0],
    )
    assert run.id not in cleared.body["run"]


def test_tenants_are_found_by_the_flag(looked: Looked) -> None:
    other = looked.world.submit("B", 2).tenant.id
    looked.world.engine.drift = (ROTATION,)
    looked.look()

    def listed(drifted: bool | None) -> set[str]:
        found = perform(
            looked.world.core, OPS, tenants.list_tenants, limit=9, before=None, drifted=drifted
        )
        return {tenant.id for tenant, _ in found}

    assert listed(True) == {looked.tenant_id}
    assert listed(False) == {other}
    assert listed(None) == {looked.tenant_id, other}


# --- what it leaves alone --------------------------------------------------------------------
@pytest.mark.parametrize("how", ["unanswered", "fails"])
def test_a_look_that_cannot_see_everything_is_errored_and_touches_no_finding(
    looked: Looked, how: str
) -> None:
    looked.world.engine.drift = (ROTATION,)
    looked.look()
    before = looked.untouched(), looked.findings(), looked.tenant().drifted
    looked.world.engine.drift = ()
    if how == "unanswered":
        looked.world.engine.unanswered = "did not respond: data"
    else:
        looked.world.engine.outages.append(EngineFailed("the provider refused", reason="provider"))
    run = looked.look()
    assert (run.status, run.error["code"]) == (S.ERRORED, "engine_failed")
    assert run.evidence_id is None
    assert (looked.untouched(), looked.findings(), looked.tenant().drifted) == before
    looked.world.engine.unanswered = ""
    assert looked.look().status is S.NO_CHANGES
    assert looked.findings() == []


def test_a_look_waits_for_an_outage_to_pass(looked: Looked) -> None:
    looked.world.engine.outages.append(EngineUnavailable())
    run = looked.look()
    assert (run.status, run.failures) == (S.VERIFYING, 1)
    looked.world.clock.advance(minutes=1)
    fire_due(looked.world.core)
    looked.world.work()
    assert looked.world.run(run.id).status is S.NO_CHANGES


def test_a_stack_that_somebody_holds_is_not_looked_at_and_not_settled(looked: Looked) -> None:
    before = looked.untouched()
    looked.world.engine.hold_lock(STACK)
    run = looked.look()
    assert (run.status, run.error["code"]) == (S.ERRORED, "foreign_lock")
    assert looked.untouched() == before
    assert "resolve" not in [what for what, _ in looked.world.engine.calls]


def test_a_blocked_deployment_is_looked_at_beside_the_run_that_waits(looked: Looked) -> None:
    change = looked.change()
    looked.world.work()
    lock = looked.world.engine.hold_lock(STACK)
    looked.world.approve(change.run_id)
    blocked = looked.world.run(change.run_id)
    assert blocked.blocked_on is BlockedOn.FOREIGN_LOCK
    del looked.world.engine.stacks[STACK].locks[lock]
    assert looked.deployment().is_unsettled
    before = looked.untouched()
    looked.world.engine.drift = (ROTATION,)
    assert looked.look().status is S.NO_CHANGES
    assert looked.untouched() == before
    assert looked.world.run(change.run_id) == blocked
    assert len(looked.findings()) == 1


def test_a_look_leaves_a_plan_that_waits_to_be_decided_on(looked: Looked) -> None:
    change = looked.change()
    looked.world.work()
    assert looked.look().status is S.NO_CHANGES
    waiting = looked.world.run(change.run_id)
    assert waiting.status is S.AWAITING_APPROVAL
    view = perform(looked.world.core, OPS, approvals.get_approval, waiting.approval_id)
    assert view.is_open
    looked.world.approve(change.run_id)
    assert looked.world.run(change.run_id).status is S.APPLIED


def test_a_held_tenant_is_looked_at(looked: Looked) -> None:
    perform(
        looked.world.core, OPS, holds.place_on_tenant, looked.tenant_id,
        kind=HoldKind.LEGAL, reason="a court asked for it",
    )  # fmt: skip
    assert looked.look().status is S.NO_CHANGES


def test_a_state_that_no_run_of_ours_wrote_is_recorded(looked: Looked) -> None:
    before = looked.untouched()
    looked.world.engine.touch(STACK)
    looked.look()
    assert looked.untouched() == before
    (noticed,) = [e for e in looked.world.events() if e.action == "stack.foreign_update"]
    assert noticed.data["state_digest"] == looked.world.engine.stacks[STACK].state_digest()


# --- what it gives way to --------------------------------------------------------------------
def test_a_change_takes_the_place_of_a_look_that_has_not_begun(looked: Looked) -> None:
    look = looked.ask()
    change = looked.change()
    assert change.supersedes is None  # it says what gives way of that which changes something
    looked.world.work()
    ended = looked.world.run(look.id)
    assert ended.status is S.SUPERSEDED
    (event,) = [e for e in looked.world.events() if e.action == "run.superseded"]
    assert event.data["superseded_by"] == change.run_id
    assert looked.world.run(change.run_id).status is S.AWAITING_APPROVAL
    assert [what for what, _ in looked.world.engine.calls].count("look") == 0


def test_a_look_that_is_requested_while_a_run_applies_comes_after_it(looked: Looked) -> None:
    change = looked.change()
    looked.world.work()
    asked: list[Any] = []

    def during(what: str, _: object) -> None:
        if what == "change" and not asked:
            asked.append(looked.ask())

    looked.world.engine.during = during
    looked.world.approve(change.run_id)  # and the queue does the look then
    look = looked.world.run(asked[0].id)
    applied = looked.world.run(change.run_id)
    assert (applied.status, look.status) == (S.APPLIED, S.NO_CHANGES)
    assert look.number > applied.number
    assert look.ended_at >= applied.ended_at


def test_a_change_is_requested_while_a_look_looks(looked: Looked) -> None:
    made: list[Any] = []

    def during(what: str, _: object) -> None:
        if what == "look" and not made:
            made.append(looked.change())

    looked.world.engine.during = during
    look = looked.look()
    assert look.status is S.NO_CHANGES  # it had begun: what it has found is kept
    assert looked.world.run(made[0].run_id).status is S.AWAITING_APPROVAL


def test_a_second_look_is_the_one_that_has_not_ended(looked: Looked) -> None:
    first = looked.ask()
    known = len(looked.world.events())
    assert looked.ask().id == first.id
    assert len(looked.world.events()) == known
    looked.world.work()
    assert looked.ask().id != first.id


def test_a_look_is_canceled_before_it_begins_and_never_retried(looked: Looked) -> None:
    look = looked.ask()
    assert perform(looked.world.core, OPS, runs.cancel_run, look.id).status is S.CANCELED
    offered = perform(looked.world.core, OPS, runs.allowed_actions, looked.world.run(look.id))
    assert offered[look.id] == []
    with pytest.raises(IllegalTransition):
        perform(looked.world.core, OPS, runs.retry_run, look.id)
    assert looked.look().status is S.NO_CHANGES


def test_who_asked_for_a_look_may_decide_on_a_later_change(looked: Looked) -> None:
    petra = person("petra", Role.OPS_APPROVER)
    perform(looked.world.core, petra, drift.request_check, looked.tenant_id)
    looked.world.work()
    change = looked.change()
    looked.world.work()
    looked.world.approve(change.run_id, petra)
    assert looked.world.run(change.run_id).status is S.APPLIED


def test_what_was_never_applied_is_not_looked_at(world: World) -> None:
    waiting, customer = world.submit("B", 1).tenant.id, world.submit("C", 2).tenant.id
    world.work()
    for tenant_id in (waiting, customer):
        with pytest.raises(IllegalTransition):
            perform(world.core, ADMIN, drift.request_check, tenant_id)


# --- when ------------------------------------------------------------------------------------
def test_a_deployment_is_looked_at_each_day_by_a_timer(looked: Looked) -> None:
    day = timedelta(days=1)
    assert 0.9 * day <= looked.next_look() <= 1.1 * day  # since its apply
    looked.world.clock.advance(hours=27)
    fire_due(looked.world.core)
    looked.world.work()
    run = looked.world.rows("run").popitem()[1]
    assert (run.kind, run.status, run.requested_by) == (
        RunKind.REFRESH, S.NO_CHANGES, "system:worker"
    )  # fmt: skip
    first = looked.next_look()
    assert 0.9 * day <= first <= 1.1 * day
    looked.look()  # one on demand counts as well
    assert looked.next_look() != first


@pytest.mark.parametrize("how", ["errored", "superseded", "canceled"])
def test_the_next_look_is_set_however_one_ends(looked: Looked, how: str) -> None:
    looked.world.clock.advance(hours=27)
    fire_due(looked.world.core)
    look = looked.world.rows("run").popitem()[1]
    if how == "errored":
        looked.world.engine.unanswered = "not checked: data"
    elif how == "superseded":
        looked.change()
    else:
        perform(looked.world.core, OPS, runs.cancel_run, look.id)
    looked.world.work()
    assert looked.world.run(look.id).status == how
    assert looked.next_look() > timedelta(hours=20)


def test_looks_that_are_turned_off_come_only_when_asked_for(storage: Storage) -> None:
    looked = Looked(World(storage, look_every=None))
    for _ in range(2):
        looked.world.clock.advance(hours=27)
        fire_due(looked.world.core)
        looked.world.work()
    assert {run.kind for run in looked.world.rows("run").values()} == {RunKind.PROVISION}
    assert looked.next_look() > timedelta(0)  # it is looked at again once they are turned on
    assert looked.look().status is S.NO_CHANGES


def test_the_checks_after_an_apply_keep_findings_too(looked: Looked) -> None:
    looked.world.engine.drift = (ROTATION,)
    looked.look()
    change = looked.change()
    looked.world.work()
    looked.world.engine.drift = ()  # put back meanwhile
    looked.world.approve(change.run_id)
    assert (looked.findings(), looked.tenant().drifted) == ([], False)
    (closed,) = looked.findings(with_closed=True)
    assert closed.closed_by == change.run_id


def test_a_hub_is_looked_at_and_its_findings_are_in_the_platforms_log(world: World) -> None:
    hub_id = world.ready_hub()
    world.engine.drift = (RULE,)
    world.clock.advance(hours=27)
    fire_due(world.core)
    world.work()
    (finding,) = world.rows("finding").values()
    assert (finding.tenant_id, finding.subject) == (None, RULE.subject)
    assert "drift.found:completed" in world.actions("platform")
    assert str(world.rows("hub")[hub_id].status) == "ready"
