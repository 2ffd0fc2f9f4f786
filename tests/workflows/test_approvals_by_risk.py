"""Rules by risk: how many people, what they tick, and what needs nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    AlreadyDecided,
    InvalidInput,
    NotAcknowledged,
    PlanMoved,
    PlanOutOfDate,
    SeparationOfDuties,
)
from control_plane.domain.plan import PARTS
from control_plane.domain.risk import RiskKind, kinds_of
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from tests.workflows.deciding import OTTO, PETRA, Site
from tests.world import OPS, World, person

S, A = RunStatus, ApprovalStatus
TABLE = "aws:dynamodb/table:Table"
DATABASE = "aws:rds/instance:Instance"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
TAGGED = "aws:cloudwatch/logGroup:LogGroup"


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def policy(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "arn:aws:s3:::data/a/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def deletes_tables(site: Site, *names: str) -> None:
    """Let the next plan delete tables that are there."""
    site.more = {(TABLE, name): {"name": name} for name in names}
    site.change()
    site.world.approve(site.run_id)
    assert site.run.status is S.APPLIED, site.run.error
    site.more = {}
    site.change()


def test_a_change_without_a_risk_needs_one_person(site: Site) -> None:
    site.change()
    assert (site.approval.needed, site.approval.rules) == (1, ("dedicated",))
    assert site.view().plan.risks == ()
    site.decide()
    site.world.work()
    assert site.run.status is S.APPLIED


def test_the_strictest_of_all_rules_that_fit_counts_and_each_is_named(site: Site) -> None:
    site.more = {(ROLE_POLICY, "more"): {"role": "somebody", "policy": policy("s3:GetObject")}}
    site.change()
    assert kinds_of(site.view().plan.risks) == (RiskKind.WIDENING,)
    assert (site.approval.needed, site.approval.rule) == (2, "risky")
    assert site.approval.rules == ("dedicated", "risky")
    site.decide(OPS)
    site.world.work()
    assert (site.run.status, site.approval.status) == (S.AWAITING_APPROVAL, A.WAITING)
    site.decide(OTTO)
    site.world.work()
    assert site.run.status is S.APPLIED
    # the event names the rules, and the property that raises each risk, without its value
    (event,) = [
        each for each in site.world.events()
        if each.action == "run.approval_requested" and each.data["needed"] == 2
    ]  # fmt: skip
    assert event.data["rules"] == ["dedicated", "risky"]
    (risk,) = event.data["risks"]
    assert (risk["kind"], risk["path"]) == ("widening", "policy")
    assert risk["resource"].endswith("::more")
    assert "s3:GetObject" not in json.dumps(event.data)


def test_a_policy_that_narrows_is_no_risk(site: Site) -> None:
    site.more = {(ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:*")}}
    site.change()
    site.world.approve(site.run_id)
    site.more = {(ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:GetObject")}}
    site.change()
    assert site.view().plan.risks == ()
    site.decide()
    site.world.work()
    site.more = {(ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:Get*")}}
    site.change()
    (risk,) = site.view().plan.risks
    assert (risk.kind, risk.path) == (RiskKind.WIDENING, "policy")
    assert "s3:Get*" in risk.detail


def database(instance_class: str, **inputs: Any) -> dict[str, Any]:
    return {"identifier": "hub", "instanceClass": instance_class, "multiAz": True,
            "allocatedStorage": 100, **inputs}  # fmt: skip


@pytest.mark.parametrize(
    ("instance_class", "says"),
    [("db.r6g.xlarge", "a month more"), ("db.x99.huge", "the price of db.x99.huge is not known")],
)
def test_what_costs_more_than_the_limit_or_nobody_knows_how_much_is_a_risk(
    site: Site, instance_class: str, says: str
) -> None:
    site.more = {(DATABASE, "hub"): database("db.t4g.medium")}
    site.change()
    assert site.view().plan.risks == ()  # new, and cheap
    site.world.approve(site.run_id)
    site.more = {(DATABASE, "hub"): database(instance_class)}
    site.change()
    (risk,) = site.view().plan.risks
    assert risk.kind is RiskKind.COST
    assert says in risk.detail
    assert site.approval.needed == 2


def test_less_protection_is_a_risk(site: Site) -> None:
    site.more = {(DATABASE, "hub"): database("db.t4g.medium", deletionProtection=True)}
    site.change()
    site.world.approve(site.run_id)
    site.more = {(DATABASE, "hub"): database("db.t4g.medium", deletionProtection=False)}
    site.change()
    (risk,) = site.view().plan.risks
    assert (risk.kind, risk.path) == (RiskKind.PROTECTION, "deletionProtection")


# --- what cannot be undone is ticked by name ----------------------------------------------------
@pytest.mark.parametrize(
    ("ticks", "missing", "unknown"),
    [
        ([], ["one", "two"], []),
        (["one"], ["two"], []),
        (["one", "two", "three"], [], ["three"]),
        (["one", "One"], ["two"], ["One"]),
        (["*"], ["one", "two"], ["*"]),
    ],
)
def test_something_unticked_or_ticked_beside_is_refused(
    site: Site, ticks: list[str], missing: list[str], unknown: list[str]
) -> None:
    deletes_tables(site, "one", "two")
    error = site.refused(NotAcknowledged, lambda: site.decide(acknowledge=ticks))
    assert (error.data["missing"], error.data["unknown"]) == (missing, unknown)
    for name in (*missing, *unknown):
        assert name in error.message


def test_each_of_two_people_ticks_all_by_name_or_urn(site: Site) -> None:
    deletes_tables(site, "one", "two")
    urns = [each.urn for each in site.view().plan.irreversible]
    assert len(urns) == 2
    site.decide(OPS, acknowledge=["two", "one", "one"])
    site.refused(NotAcknowledged, lambda: site.decide(OTTO, acknowledge=[]))
    site.decide(OTTO, acknowledge=urns)
    site.world.work()
    assert site.run.status is S.APPLIED
    given = [e.data["acknowledged"] for e in site.world.events() if e.action == "decision.given"]
    assert given[-2:] == [sorted(urns), sorted(urns)]


def test_a_rejection_ticks_nothing(site: Site) -> None:
    deletes_tables(site, "one")
    site.refused(InvalidInput, lambda: site.decide(verdict="reject", acknowledge=["one"]))
    site.decide(verdict="reject")
    assert site.run.status is S.REJECTED


def test_another_digest_or_a_second_decision_is_refused_before_any_tick(site: Site) -> None:
    deletes_tables(site, "one")
    other = "sha256:" + "0" * 64
    site.refused(PlanOutOfDate, lambda: site.decide(plan_digest=other, acknowledge=[]))
    site.decide()
    site.refused(AlreadyDecided, site.decide)
    site.refused(AlreadyDecided, lambda: site.decide(verdict="reject"))


# --- what needs nobody --------------------------------------------------------------------------
def tagged(**tags: str) -> dict[str, Any]:
    return {"name": "/hub", "retentionInDays": 365, "tags": {"tenantplane:mode": "B", **tags}}


def only_tags(site: Site, **tags: str) -> None:
    """Let the next plan change tags of a log group and nothing else."""
    site.more = {(TAGGED, "hub"): tagged(team="a")}
    site.change()
    site.world.approve(site.run_id)
    site.more = {(TAGGED, "hub"): tagged(**tags)}
    with site.world.core.act() as act:  # as a retry of what was applied: the spec stays
        (deployment,) = act.uow.deployments.find(tenant_id=site.tenant_id)
        from control_plane.services.starting import request_run

        site.run_id = request_run(act.by(OPS), deployment).id
        act.uow.commit()
    site.world.work()


def test_a_harmless_plan_passes_by_a_rule_of_its_own_with_its_own_event(site: Site) -> None:
    known = len(site.world.events())
    only_tags(site, team="b")
    assert site.run.status is S.APPLIED, site.run.error
    assert site.run.approval_id is None
    (event,) = [e for e in site.world.events()[known:] if e.action == "approval.not_needed"]
    assert event.data["rule"] == "tags-only"
    assert event.data["plan_digest"].startswith("sha256:")


def test_a_tag_of_the_product_is_not_harmless(site: Site) -> None:
    only_tags(site, **{"team": "a", "tenantplane:data-class": "customer"})
    assert site.run.status is S.AWAITING_APPROVAL
    assert "approval.not_needed" not in site.actions()


def test_a_plan_that_does_more_is_not_harmless(site: Site) -> None:
    site.more = {(TAGGED, "hub"): tagged(team="a")}
    site.change()
    site.world.approve(site.run_id)
    site.more = {(TAGGED, "hub"): tagged(team="b")}
    site.change()  # seats too
    assert site.run.status is S.AWAITING_APPROVAL


# --- the rules are a part of the plan -----------------------------------------------------------
def test_the_digest_of_the_rules_is_a_part_of_that_of_the_plan(site: Site, tmp_path: Path) -> None:
    site.change()
    with site.world.core.uow() as uow:
        plan = uow.plans.need(site.run.plan_id)
    assert plan.parts["rules"] == site.world.core.rules.approvals.digest
    assert plan.digest == digest({"plan": 2, "parts": {name: plan.parts[name] for name in PARTS}})
    site.follow(tmp_path / "rules", lambda content: content["cost"].update(monthly_limit=501))
    moved = site.refused(PlanMoved, site.decide)
    assert moved.data["parts"] == ["rules"]


# --- who is excluded, and until when ------------------------------------------------------------
def test_who_retried_a_blocked_run_does_not_decide_after_a_withdrawal(site: Site) -> None:
    site.change()
    site.decide(PETRA)
    stack = site.view().deployment.stack
    site.world.engine.hold_lock(stack)
    site.world.work()
    assert site.run.blocked_on is BlockedOn.FOREIGN_LOCK
    perform(site.world.core, OTTO, runs.retry_run, site.run_id)
    site.withdraw(PETRA)
    assert site.run.status is S.AWAITING_APPROVAL
    site.refused(SeparationOfDuties, lambda: site.decide(OTTO))
    site.decide(OPS)
    assert site.run.status is S.APPROVED


def test_an_editor_decides_again_once_the_edit_is_applied(site: Site) -> None:
    both = person("crm-2", Role.AUTOMATION, Role.OPS_APPROVER)
    site.change(both, seats=101)  # of the same size: nobody is asked to apply it
    assert site.world.tenant(site.tenant_id).editors == ("crm-2",)
    site.run_id = ""
    site.change()
    error = site.refused(SeparationOfDuties, lambda: site.decide(both))
    assert error.data["barred_as"] == "editor"
    site.decide(OPS)
    site.world.work()
    assert site.world.tenant(site.tenant_id).editors == ()
    site.change()
    site.decide(both)
    site.world.work()
    assert site.run.status is S.APPLIED


def test_an_edit_after_the_plan_excludes_as_before(site: Site) -> None:
    """A run ends an exclusion only when it applied the very facts."""
    both = person("crm-2", Role.AUTOMATION, Role.OPS_APPROVER)
    site.change()
    with site.world.core.act() as act:
        tenant = act.uow.tenants.need(site.tenant_id)
        from dataclasses import replace

        act.uow.tenants.save(
            replace(
                tenant, version=tenant.version + 1, editors=("crm-2",),
                facts={**tenant.facts, "ip_allow_list": ["203.0.113.0/24"]},
            )
        )  # fmt: skip
        act.uow.commit()
    site.decide(OPS)
    site.world.work()
    assert site.run.status is S.APPLIED
    assert site.world.tenant(site.tenant_id).editors == ("crm-2",)
    site.change()
    site.refused(SeparationOfDuties, lambda: site.decide(both))
