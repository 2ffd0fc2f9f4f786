"""What becomes of findings: reverted and adopted by runs of their own, waived until a date."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.errors import (
    DomainError,
    FindingGone,
    FindingNotDecidable,
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
    NotAllowed,
    NotFound,
    RunInProgress,
)
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import findings, runs
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.timers import fire_due
from tests.workflows.held import place
from tests.workflows.test_drift import KEY, ROTATION, RULE, STACK, Looked
from tests.world import AUTOMATION, OPS, World, machine, person

S = RunStatus
V = Verdict
PETRA = person("petra", Role.OPS_APPROVER)
DATABASE = f"urn:pulumi:{STACK}::tenantplane::aws:rds/instance:Instance::db"


class Deciding(Looked):
    """A ready Mode B tenant whose findings are decided on."""

    def found(self, *drift: Drift) -> list[Any]:
        """Look, and return the open findings, oldest first."""
        self.world.engine.drift = drift
        assert self.look().status is S.NO_CHANGES
        return self.findings()[::-1]

    def decide(
        self, *found: Any, verdict: Verdict = V.REVERT, who: Caller = OPS, days: int | None = None
    ) -> Any:
        """Decide the same on findings; ``days`` until a waiver ends."""
        until = self.world.clock.now() + timedelta(days=days) if days is not None else None
        return perform(
            self.world.core, who, findings.decide_of_tenant, self.tenant_id,
            [each.id for each in found], verdict=verdict, reason="seen and judged", until=until,
        )  # fmt: skip

    def change(self, *names: str) -> None:  # type: ignore[override] # in the cloud, not of facts
        """Let somebody change parameters in the cloud by hand."""
        for name in names:
            self.world.engine.change(STACK, f"aws:ssm/parameter:Parameter::{name}", type="by hand")

    def state(self, name: str) -> Any:
        """Return the inputs that the state has of a parameter."""
        resources = self.world.engine.stacks[STACK].resources
        (item,) = [r for urn, r in resources.items() if urn.endswith(f"Parameter::{name}")]
        return item["inputs"]

    def refused(self, kind: type[DomainError], *found: Any, **how: Any) -> DomainError:
        """Decide what is refused: nothing is stored, and the log has the refusal."""
        rows, known = self.world.storage.everything(), len(self.world.events())
        with pytest.raises(kind) as caught:
            self.decide(*found, **how)
        assert self.world.storage.everything() == rows
        (event,) = self.world.events()[known:]
        assert (event.stage, event.data["code"]) == ("denied", caught.value.code)
        return caught.value


@pytest.fixture
def deciding(world: World) -> Deciding:
    return Deciding(world)


# --- revert ----------------------------------------------------------------------------------
def test_a_revert_is_an_update_of_exactly_the_resource_and_closes_the_finding(
    deciding: Deciding,
) -> None:
    deciding.change("owner", "network")
    network, owner = sorted(deciding.found(), key=lambda f: f.subject)
    decided = deciding.decide(owner)
    deciding.world.work()
    run = deciding.world.run(decided.run_id)
    assert (run.kind, run.status, run.spec_number) == (RunKind.UPDATE, S.AWAITING_APPROVAL, 1)
    assert (run.scope.urns, run.scope.adopts) == ((owner.subject,), False)
    plan = deciding.world.rows("plan")[run.plan_id]
    touched = [o for o in plan.operations if o.op != "same"]
    assert [(o.urn, [(c.before, c.after) for c in o.changes]) for o in touched] == [
        (owner.subject, [("by hand", "String")])
    ]
    assert deciding.tenant().status is TenantStatus.READY
    deciding.world.approve(run.id, PETRA)
    ended = deciding.world.run(run.id)
    assert (ended.status, ended.error) == (S.APPLIED, None)
    assert [each.id for each in deciding.findings()] == [network.id]
    assert deciding.tenant().drifted
    # the other one is no matter of this run
    assert deciding.tenant().status is TenantStatus.READY
    (event,) = [e for e in deciding.world.events() if e.action == "drift.decided"]
    assert (event.data["verdict"], event.body["run"]) == ("revert", run.id)
    assert event.personal == {"reason": "seen and judged"}


def test_several_are_reverted_by_one_run_and_the_flag_clears(deciding: Deciding) -> None:
    deciding.change("owner")
    deciding.world.engine.lose(STACK, "region")
    found = deciding.found()
    decided = deciding.decide(*found)
    deciding.world.work()
    deciding.world.approve(decided.run_id, PETRA)
    assert deciding.world.run(decided.run_id).status is S.APPLIED
    assert (deciding.findings(), deciding.tenant().drifted) == ([], False)


def test_a_revert_that_is_rejected_leaves_the_finding_open(deciding: Deciding) -> None:
    deciding.change("owner")
    (found,) = deciding.found()
    decided = deciding.decide(found)
    deciding.world.work()
    perform(deciding.world.core, OPS, runs.cancel_run, decided.run_id)
    assert deciding.look().status is S.NO_CHANGES
    (still,) = deciding.findings()
    assert still.id == found.id
    assert deciding.tenant().status is TenantStatus.READY


def test_who_decided_may_not_approve_the_revert(deciding: Deciding) -> None:
    deciding.change("owner")
    (found,) = deciding.found()
    decided = deciding.decide(found)
    deciding.world.work()
    with pytest.raises(DomainError) as caught:
        deciding.world.approve(decided.run_id, OPS)
    assert caught.value.code == "separation_of_duties"


def test_what_changes_further_before_the_apply_blocks_the_revert(deciding: Deciding) -> None:
    deciding.change("owner")
    (found,) = deciding.found()
    decided = deciding.decide(found)
    deciding.world.work()
    deciding.world.engine.change(STACK, "aws:ssm/parameter:Parameter::owner", type="other hand")
    deciding.world.approve(decided.run_id, PETRA)
    blocked = deciding.world.run(decided.run_id)
    assert (blocked.status, blocked.blocked_on) == (S.BLOCKED, BlockedOn.STATE_MOVED)
    retried = perform(deciding.world.core, OPS, runs.retry_run, blocked.id)
    assert retried.scope == blocked.scope
    deciding.world.work()
    deciding.world.approve(retried.id, PETRA)
    assert deciding.world.run(retried.id).status is S.APPLIED
    assert deciding.findings() == []


def test_what_agrees_again_by_itself_is_reverted_by_nothing(deciding: Deciding) -> None:
    deciding.change("owner")
    (found,) = deciding.found()
    deciding.world.engine.stacks[STACK].changed.clear()
    decided = deciding.decide(found)
    deciding.world.work()
    assert deciding.world.run(decided.run_id).status is S.NO_CHANGES
    assert deciding.findings() == []


def test_a_revert_goes_to_the_applied_spec_and_not_to_a_refused_change(deciding: Deciding) -> None:
    change = Looked.change(deciding)
    deciding.world.work()
    perform(deciding.world.core, OPS, runs.cancel_run, change.run_id)
    assert (deciding.deployment().spec_number, deciding.deployment().applied_spec) == (2, 1)
    deciding.change("owner")
    decided = deciding.decide(*deciding.found())
    deciding.world.work()
    deciding.world.approve(decided.run_id, PETRA)
    run = deciding.world.run(decided.run_id)
    assert (run.status, run.spec_number) == (S.APPLIED, 1)
    assert (deciding.deployment().spec_number, deciding.deployment().applied_spec) == (2, 1)


# --- adopt -----------------------------------------------------------------------------------
def size(value: Any, path: str = "instanceClass", expected: Any = "db.t4g.medium") -> Drift:
    return Drift(
        kind="changed", subject=DATABASE, type="aws:rds/instance:Instance", path=path,
        expected=expected, actual=value,
    )  # fmt: skip


def test_an_adopted_value_is_in_the_next_spec_and_stays(deciding: Deciding) -> None:
    (found,) = deciding.found(size("db.r6g.large"))
    decided = deciding.decide(found, verdict=V.ADOPT)
    deciding.world.engine.drift = ()  # the scripted engine has no database
    deciding.world.work()
    run = deciding.world.run(decided.run_id)
    assert run.scope.adopts
    spec = deciding.world.rows("deployment_spec")[f"{run.deployment_id}.2"]
    assert (run.spec_number, spec.document["database"]["instance_class"]) == (2, "db.r6g.large")
    resolved = [call for call in deciding.world.engine.calls if call[0] == "resolve"]
    assert resolved == [("resolve", STACK)]
    deciding.world.approve(run.id, PETRA)
    assert deciding.world.run(run.id).status is S.APPLIED
    assert (deciding.findings(), deciding.deployment().applied_spec) == ([], 2)
    # facts that lead to another size are a newer word
    change = Looked.change(deciding, 2000)
    deciding.world.work()
    wanted = deciding.world.rows("deployment_spec")[f"{run.deployment_id}.3"].document
    assert wanted["database"] == {**spec.document["database"], "storage_gb": 200}
    assert deciding.world.run(change.run_id).status is S.AWAITING_APPROVAL


def test_only_what_a_spec_says_can_be_adopted(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    error = deciding.refused(FindingNotDecidable, found, verdict=V.ADOPT)
    assert "instanceClass" in error.message
    assert error.data["possible"] == ["revert", "waive"]


def test_a_value_that_no_spec_can_have_is_not_adopted(deciding: Deciding) -> None:
    (found,) = deciding.found(size(3, "backupRetentionPeriod", 14))
    deciding.refused(FindingNotDecidable, found, verdict=V.ADOPT)
    assert deciding.deployment().adopted == ()


def test_nothing_is_adopted_beside_a_change_that_was_not_applied(deciding: Deciding) -> None:
    change = Looked.change(deciding)
    deciding.world.work()
    perform(deciding.world.core, OPS, runs.cancel_run, change.run_id)
    (found,) = deciding.found(size("db.m6g.large"))
    deciding.refused(IllegalTransition, found, verdict=V.ADOPT)


# --- waive -----------------------------------------------------------------------------------
def test_a_waived_finding_stays_and_does_not_count_until_its_end(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    assert deciding.tenant().drifted
    deciding.decide(found, verdict=V.WAIVE, days=3)
    (waived,) = deciding.findings()
    assert waived.waived_until == deciding.world.clock.now() + timedelta(days=3)
    assert not deciding.tenant().drifted
    deciding.look()
    assert (deciding.findings()[0].id, deciding.tenant().drifted) == (found.id, False)
    deciding.world.clock.advance(days=3, hours=1)
    fire_due(deciding.world.core)
    deciding.world.work()
    (again,) = deciding.findings()
    assert (again.id, again.waived_until, deciding.tenant().drifted) == (found.id, None, True)
    (event,) = [e for e in deciding.world.events() if e.action == "drift.waiver_ended"]
    assert event.data["code"] == "expired"


def test_a_value_that_changes_further_ends_the_waiver(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.decide(found, verdict=V.WAIVE, days=30)
    (again,) = deciding.found(replace(ROTATION, actual=None))
    assert (again.id, again.waived_until, deciding.tenant().drifted) == (found.id, None, True)
    (event,) = [e for e in deciding.world.events() if e.action == "drift.waiver_ended"]
    assert event.data["code"] == "value_changed"
    deciding.world.clock.advance(days=31)
    fire_due(deciding.world.core)  # its timer is gone with it
    assert deciding.world.actions().count("drift.waiver_ended:completed") == 1


def test_a_waived_finding_closes_when_reality_agrees(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.decide(found, verdict=V.WAIVE, days=30)
    assert deciding.found() == []
    (closed,) = deciding.findings(with_closed=True)
    assert (closed.id, closed.waived_until) == (found.id, None)


def test_a_change_of_a_tenant_with_a_waived_finding_is_applied(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.decide(found, verdict=V.WAIVE, days=30)
    change = Looked.change(deciding)
    deciding.world.work()
    deciding.world.approve(change.run_id)
    assert deciding.world.run(change.run_id).status is S.APPLIED
    assert deciding.tenant().status is TenantStatus.READY
    assert [each.id for each in deciding.findings()] == [found.id]


@pytest.mark.parametrize("days", [None, 0, -1, 91])
def test_a_waiver_has_an_end_within_ninety_days(deciding: Deciding, days: int | None) -> None:
    (found,) = deciding.found(ROTATION)
    error = deciding.refused(InvalidInput, found, verdict=V.WAIVE, days=days)
    assert error.data["field"] == "until"


def test_only_a_waiver_has_an_end(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.refused(InvalidInput, found, days=1)


# --- refusals --------------------------------------------------------------------------------
@pytest.mark.parametrize("verdict", list(V))
def test_a_finding_that_has_gone_is_not_decided(deciding: Deciding, verdict: Verdict) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.found()
    days = 1 if verdict is V.WAIVE else None
    error = deciding.refused(FindingGone, found, verdict=verdict, days=days)
    assert error.data["closed_by"]


@pytest.mark.parametrize("verdict", [V.ADOPT, V.REVERT])
def test_what_no_state_has_is_never_deleted_but_named_to_be(
    deciding: Deciding, verdict: Verdict
) -> None:
    actual = {"direction": "ingress", "securityGroupId": "sg-1", "cidrIpv4": "0.0.0.0/0"}
    (found,) = deciding.found(replace(RULE, actual=actual))
    error = deciding.refused(FindingNotDecidable, found, verdict=verdict)
    assert (
        "aws ec2 revoke-security-group-ingress --group-id sg-1 --security-group-rule-ids sgr-1"
        in error.message
    )
    assert error.data["possible"] == ["waive"]


def test_what_does_not_exist_is_not_adopted(deciding: Deciding) -> None:
    deciding.world.engine.lose(STACK, "region")
    (found,) = deciding.found()
    error = deciding.refused(FindingNotDecidable, found, verdict=V.ADOPT)
    assert error.data["possible"] == ["revert", "waive"]


def test_what_differs_of_one_resource_is_decided_together(deciding: Deciding) -> None:
    first, second = deciding.found(ROTATION, replace(ROTATION, path="policy"))
    error = deciding.refused(InvalidInput, first)
    assert second.id in error.message
    assert deciding.decide(first, second).run_id


def test_nothing_is_decided_while_another_run_is_open(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    change = Looked.change(deciding)
    deciding.world.work()
    error = deciding.refused(RunInProgress, found)
    assert error.data["run"] == change.run_id
    deciding.decide(found, verdict=V.WAIVE, days=1)  # that needs no run


def test_a_second_decision_finds_the_first_ones_run(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.decide(found)
    deciding.refused(RunInProgress, found)


def test_a_held_tenant_plans_its_revert_and_waits(deciding: Deciding) -> None:
    deciding.change("owner")
    (found,) = deciding.found()
    place(deciding.world, deciding.tenant_id)
    decided = deciding.decide(found)
    deciding.world.work()
    deciding.world.approve(decided.run_id, PETRA)
    assert deciding.world.run(decided.run_id).blocked_on is BlockedOn.HOLD


def test_machines_and_other_roles_decide_nothing(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    robot = machine("robot", Role.OPS_APPROVER)
    deciding.refused(MachineMayNotDecide, found, who=robot)
    deciding.refused(NotAllowed, found, who=AUTOMATION)


def test_findings_of_others_are_not_found(deciding: Deciding) -> None:
    (found,) = deciding.found(ROTATION)
    other = Deciding.__new__(Deciding)
    other.world, other.tenant_id = deciding.world, deciding.world.submit("B", 2).tenant.id
    other.refused(NotFound, found)
    stranger = person("sid", Role.OPS_APPROVER, tenants=("ten_other",))
    with pytest.raises(NotFound):
        perform(
            deciding.world.core, stranger, findings.decide, found.id,
            verdict=V.REVERT, reason="mine",
        )  # fmt: skip


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_decision_has_a_reason(deciding: Deciding, reason: str) -> None:
    (found,) = deciding.found(ROTATION)
    with pytest.raises(InvalidInput):
        perform(
            deciding.world.core, OPS, findings.decide, found.id, verdict=V.REVERT, reason=reason
        )


# --- what the database refuses ---------------------------------------------------------------
INSERT = """
    INSERT INTO finding_decision SELECT %(id)s, f.id, f.tenant_id, %(verdict)s, 'sha256:1',
        CASE WHEN %(verdict)s = 'waive' THEN %(at)s + %(for)s::interval END,
        CASE WHEN %(verdict)s <> 'waive' THEN f.first_seen_by END,
        'because', 'olga', 'olga', %(kind)s, %(at)s
    FROM finding f WHERE id = %(finding)s
"""


@pytest.mark.parametrize(
    ("what", "given", "rule"),
    [
        ("foreign", {"verdict": "revert"}, "finding_can_be_decided_so"),
        ("foreign", {"verdict": "adopt"}, "finding_can_be_decided_so"),
        ("changed", {"verdict": "waive", "for": "91 days"}, "waiver_has_its_end"),
        ("changed", {"verdict": "waive", "for": "0 days"}, "waiver_has_its_end"),
        ("changed", {"kind": "service"}, "ck_finding_decision_by_a_person"),
        ("gone", {}, "finding_is_open"),
    ],
)
def test_the_database_refuses_decisions_that_the_code_refuses(
    deciding: Deciding, what: str, given: dict[str, str], rule: str
) -> None:
    (found,) = deciding.found(RULE if what == "foreign" else ROTATION)
    if what == "gone":
        deciding.found()
    row = {"id": "fdc_1", "verdict": "revert", "for": "1 day", "kind": "user",
           "finding": found.id, "at": deciding.world.clock.now(), **given}  # fmt: skip
    with (
        psycopg.connect(deciding.world.storage.database.app) as app,
        pytest.raises(psycopg.Error) as caught,
    ):
        app.execute(INSERT, row)
    assert caught.value.diag.constraint_name == rule


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE finding SET waived_until = now() + interval '1 day'", "waiver_needs_decision"),
        ("UPDATE finding_decision SET reason = 'other'", "finding_decision_is_immutable"),
        ("UPDATE run SET scope = NULL WHERE scope IS NOT NULL", "run_keeps_its_scope"),
        ("DELETE FROM run WHERE kind = 'update'", "run_is_kept"),
        ("DELETE FROM evidence", "evidence_is_immutable"),
        ("UPDATE residence SET ok = false", "residence_is_immutable"),
    ],
)
def test_the_database_keeps_what_was_decided(deciding: Deciding, statement: str, rule: str) -> None:
    (found,) = deciding.found(ROTATION)
    deciding.decide(found)
    with (
        psycopg.connect(deciding.world.storage.database.admin) as admin,
        pytest.raises(psycopg.Error) as caught,
    ):
        admin.execute(statement)
    assert caught.value.diag.constraint_name == rule


def test_findings_say_what_is_to_be_done(deciding: Deciding) -> None:
    deciding.world.engine.lose(STACK, "region")
    found = {str(each.kind): each for each in deciding.found(size("db.m6g.large"), RULE)}
    allowed = {kind: findings.allowed_actions(each, OPS.actor) for kind, each in found.items()}
    assert allowed == {
        "changed": ["adopt", "revert", "waive"],
        "foreign": ["waive"],
        "missing": ["revert", "waive"],
    }
    assert findings.allowed_actions(found["changed"], AUTOMATION.actor) == []
    assert findings.to_do(found["missing"]) == "Decide: revert or waive."
    assert "by hand" in findings.to_do(found["foreign"])
    listed = perform(deciding.world.core, OPS, findings.list_open, limit=9, before=None)
    assert {each.id for each in listed} == {each.id for each in found.values()}
    assert KEY not in {each.subject for each in listed}
