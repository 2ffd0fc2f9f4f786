"""Who may decide, with the rows that services write: persons behind accounts, and N of M."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    DomainError,
    PlanMoved,
    SeparationOfDuties,
)
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import approvals, hubs, runs, tenants
from control_plane.services.approvals import ApprovalDetails
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from control_plane.services.provisioning import submit_request
from control_plane.workflows.core import Caller
from control_plane.workflows.timers import fire_due
from tests.world import OPS, SOURCE, World, machine, person, request_body

OTTO: Final = person("otto", Role.OPS_APPROVER)
PETRA: Final = person("petra", Role.OPS_APPROVER)
OF_DEDICATED: Final = "  - id: dedicated\n"


def account(name: str, human: str, *roles: Role) -> Caller:
    """Return an account of somebody whose identity the token's person claim gives."""
    actor = Actor(id=name, kind=ActorKind.USER, roles=roles, tenants=("*",), person=human)
    return Caller(actor=actor, request_id="rq-test-0003")


def decide(
    world: World, run_id: str | None, who: Caller, verdict: str = "approve"
) -> ApprovalDetails:
    view = perform(world.core, OTTO, approvals.get_approval, world.run(run_id).approval_id)
    return perform(
        world.core, who, approvals.decide, view.approval.id, verdict=verdict,
        plan_digest=view.approval.plan_digest, reason="read it",
    )  # fmt: skip


def refused(world: World, run_id: str | None, who: Caller, kind: type[DomainError]) -> DomainError:
    """Decide, and expect a refusal that leaves an event and no decision."""
    decisions, calls = world.rows("decision"), list(world.engine.calls)
    with pytest.raises(kind) as caught:
        decide(world, run_id, who)
    world.work()
    assert world.rows("decision") == decisions
    assert world.engine.calls == calls
    event = world.events()[-1]
    assert (event.action, event.stage) == ("decision.refused", "denied")
    return caught.value


def follow(world: World, folder: Path, old: str, new: str) -> None:
    """Let the world follow other rules: the documents with one text replaced, read afresh."""
    shutil.copytree(SOURCE / "rules", folder)
    document = folder / "approval_rules.yaml"
    text = document.read_text()
    assert old in text
    document.write_text(text.replace(old, new, 1))
    world.core = replace(world.core, rules=load_rules(folder))


def waiting(world: World) -> str:
    """Return a run of a dedicated deployment that waits for a decision."""
    accepted = world.submit("B")
    world.work()
    return accepted.run_id or ""


# --- one person, several accounts --------------------------------------------------------------
def test_who_asked_decides_under_no_other_account(world: World) -> None:
    ada = account("ada", "employee-17", Role.PLATFORM_ADMIN)
    _, run = perform(world.core, ada, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5)
    world.work()
    error = refused(
        world, run.id, account("ada-ops", "employee-17", Role.OPS_APPROVER), SeparationOfDuties
    )
    assert error.data["barred_as"] == "requester"
    decide(world, run.id, account("otto", "employee-18", Role.OPS_APPROVER))
    world.work()
    assert world.run(run.id).status is RunStatus.APPLIED


def test_for_whom_a_machine_asked_decides_under_no_other_account(world: World) -> None:
    crm = machine("crm", Role.AUTOMATION, on_behalf_of="employee-17")
    accepted = perform(world.core, crm, submit_request, request_body("B"))
    world.work()
    other = account("olga-ops", "employee-17", Role.OPS_APPROVER)
    refused(world, accepted.run_id, other, SeparationOfDuties)


def test_who_edited_the_facts_decides_under_no_other_account(world: World) -> None:
    sam = account("sam", "employee-17", Role.SOLUTIONS_ARCHITECT)
    run_id = edited(world, sam)
    other = account("sam-ops", "employee-17", Role.OPS_APPROVER)
    assert refused(world, run_id, other, SeparationOfDuties).data["barred_as"] == "editor"


def edited(world: World, who: Caller) -> str:
    """Let somebody correct the facts of a Mode B tenant, and return the run that waits."""
    accepted = world.submit("B", data_must_stay_in_customer_cloud=True)
    perform(
        world.core, who, tenants.decide_mode, accepted.tenant.id,
        changed_facts={"data_must_stay_in_customer_cloud": False}, reason="agreed",
    )  # fmt: skip
    world.work()
    (run,) = perform(
        world.core, OPS, runs.list_runs,
        limit=5, before=None, tenant_id=accepted.tenant.id, status=None,
    )  # fmt: skip
    return run.id


@pytest.mark.parametrize("end", ["cancel", "reject"])
def test_for_whom_a_bot_edited_the_facts_is_barred_through_retries(world: World, end: str) -> None:
    bot = machine("bot", Role.SOLUTIONS_ARCHITECT, on_behalf_of="olga")
    run_id = edited(world, bot)
    for who in (OTTO, PETRA):
        error = refused(world, run_id, OPS, SeparationOfDuties)
        assert error.data["barred_as"] == "editor"
        if end == "cancel":
            perform(world.core, who, runs.cancel_run, run_id)
        else:
            decide(world, run_id, who, "reject")
        run_id = perform(world.core, who, runs.retry_run, run_id).id
        world.work()
    refused(world, run_id, OPS, SeparationOfDuties)
    refused(world, run_id, OTTO, SeparationOfDuties)  # who retried has asked for it
    decide(world, run_id, person("rita", Role.OPS_APPROVER))
    world.work()
    assert world.run(run_id).status is RunStatus.APPLIED


# --- what the refusal says ----------------------------------------------------------------------
def test_the_refusal_says_why_and_who_may(world: World) -> None:
    ada = person("ada", Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
    _, run = perform(world.core, ada, hubs.request_hub, region="eu-west-1", cell="c1", capacity=5)
    world.work()
    error = refused(world, run.id, ada, SeparationOfDuties)
    assert error.message == (
        "You requested this change, so you cannot decide on it. "
        "Anybody else with the role ops_approver may."
    )
    assert (error.data["roles"], error.data["excluded"]) == (["ops_approver"], [])
    perform(world.core, OPS, runs.cancel_run, run.id)
    fresh = perform(world.core, OTTO, runs.retry_run, run.id).id
    world.work()
    error = refused(world, fresh, OTTO, SeparationOfDuties)
    assert error.message == (
        "You retried this run, so you cannot decide on its plan. "
        "Anybody else with the role ops_approver except ada may."
    )
    # who asked for the first run stands behind the one that another person retried
    error = refused(world, fresh, ada, SeparationOfDuties)
    assert error.message.startswith("You requested or retried a run that leads to this plan")
    assert error.data["excluded"] == ["otto"]
    decide(world, fresh, OPS)
    world.work()
    assert world.run(fresh).status is RunStatus.APPLIED


def test_who_retried_a_blocked_run_learns_why(world: World) -> None:
    run_id = waiting(world)
    decide(world, run_id, OPS)
    world.engine.program_version = "2"  # what was approved is not what exists now
    world.work()
    assert world.run(run_id).blocked_on is BlockedOn.STATE_MOVED
    fresh = perform(world.core, OPS, runs.retry_run, run_id).id
    world.work()
    error = refused(world, fresh, OPS, SeparationOfDuties)
    assert error.message.startswith("You retried this run")
    decide(world, fresh, OTTO)
    world.work()
    assert world.run(fresh).status is RunStatus.APPLIED


def test_the_requester_decides_through_no_other_run(world: World) -> None:
    """A change that another person asks for meanwhile takes the place of the first."""
    ada = person("ada", Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
    accepted = world.submit("B")
    world.work()
    decide(world, accepted.run_id, OPS)
    world.work()
    key, why = accepted.tenant.id, "it grows"
    first = perform(world.core, ada, request_change, key, facts={"seats": 2000}, reason=why)
    world.work()
    admin = person("bert", Role.PLATFORM_ADMIN)
    other = {"ip_allow_list": ["203.0.113.0/24"]}
    second = perform(world.core, admin, request_change, key, facts=other, reason=why)
    world.work()
    assert second.run_id != first.run_id
    error = refused(world, second.run_id, ada, SeparationOfDuties)
    assert "so you cannot decide on it" in error.message
    error = refused(world, first.run_id, OPS, AlreadyDecided)
    assert error.message == f"this approval is already superseded: {second.run_id} takes its place"


def test_who_asks_for_what_a_run_brings_already_has_asked_for_it(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    decide(world, accepted.run_id, OPS)
    world.work()
    key, why = accepted.tenant.id, "it grows"
    bert = person("bert", Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
    ada = person("ada", Role.PLATFORM_ADMIN)
    first = perform(world.core, ada, request_change, key, facts={"seats": 2000}, reason=why)
    world.work()
    same = perform(world.core, bert, request_change, key, facts={"seats": 2400}, reason=why)
    assert same.run_id == first.run_id  # the spec stays the same
    refused(world, first.run_id, bert, SeparationOfDuties)


@pytest.mark.parametrize(
    ("end", "why"),
    [("approve", "approved: everybody whom it needs has approved"),
     ("reject", "rejected: somebody rejected the plan"),
     ("cancel", "canceled: its run was canceled")],
)  # fmt: skip
def test_a_decision_on_what_has_ended_says_how_it_did(world: World, end: str, why: str) -> None:
    run_id = waiting(world)
    if end == "cancel":
        perform(world.core, OTTO, runs.cancel_run, run_id)
    else:
        decide(world, run_id, OTTO, end)
    with pytest.raises(AlreadyDecided) as caught:
        decide(world, run_id, OPS)
    assert caught.value.message == f"this approval is already {why}"


def test_a_decision_that_comes_too_late_says_when_it_expired(world: World) -> None:
    run_id = waiting(world)
    expires_at = approval_of(world, run_id).expires_at
    world.clock.advance(hours=72)
    for _ in range(2):  # before and after the timer
        error = refused(world, run_id, OPS, ApprovalExpired)
        assert error.message == f"the approval expired on {expires_at:%Y-%m-%d %H:%M} UTC"
        assert error.remedy == "Retry the run to get a new plan."
        fire_due(world.core)


# --- where several people must agree ------------------------------------------------------------
@pytest.fixture
def two_of_us(world: World, tmp_path: Path) -> World:
    """A world in which two people decide on a dedicated Hub."""
    follow(world, tmp_path / "rules", OF_DEDICATED, f"{OF_DEDICATED}    decisions: 2\n")
    return world


def approval_of(world: World, run_id: str) -> Any:
    with world.core.uow() as uow:
        return uow.approvals.get(world.run(run_id).approval_id)


def test_two_people_agree_before_anything_is_applied(two_of_us: World) -> None:
    run_id = waiting(two_of_us)
    known = list(two_of_us.engine.calls)
    found = decide(two_of_us, run_id, OPS)
    two_of_us.work()
    assert (found.approval.needed, len(found.decisions)) == (2, 1)
    assert approval_of(two_of_us, run_id).status is ApprovalStatus.WAITING
    assert two_of_us.run(run_id).status is RunStatus.AWAITING_APPROVAL
    assert two_of_us.engine.calls == known
    found = decide(two_of_us, run_id, OTTO)
    assert [d.actor_id for d in found.decisions] == ["olga", "otto"]
    two_of_us.work()
    assert two_of_us.run(run_id).status is RunStatus.APPLIED
    given = [e.data for e in two_of_us.events() if e.action == "decision.given"]
    assert [(data["approvals"], data["needed"]) for data in given] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "again",
    [OPS, account("olga-admin", "olga", Role.OPS_APPROVER)],
    ids=["same account", "another account"],
)
def test_one_person_does_not_agree_twice(two_of_us: World, again: Caller) -> None:
    run_id = waiting(two_of_us)
    decide(two_of_us, run_id, OPS)
    refused(two_of_us, run_id, again, AlreadyDecided)
    assert two_of_us.run(run_id).status is RunStatus.AWAITING_APPROVAL
    decide(two_of_us, run_id, OTTO)
    two_of_us.work()
    assert two_of_us.run(run_id).status is RunStatus.APPLIED


def test_one_no_ends_what_another_agreed_to(two_of_us: World) -> None:
    run_id = waiting(two_of_us)
    known = list(two_of_us.engine.calls)
    decide(two_of_us, run_id, OPS)
    decide(two_of_us, run_id, OTTO, "reject")
    two_of_us.work()
    assert two_of_us.run(run_id).status is RunStatus.REJECTED
    assert approval_of(two_of_us, run_id).status is ApprovalStatus.REJECTED
    assert two_of_us.engine.calls == known
    refused(two_of_us, run_id, PETRA, AlreadyDecided)


# --- the approval rules are a part of what is decided on ----------------------------------------
def ask_two(world: World, folder: Path) -> None:
    follow(world, folder, OF_DEDICATED, f"{OF_DEDICATED}    decisions: 2\n")


def ask_nobody(world: World, folder: Path) -> None:
    follow(world, folder, OF_DEDICATED, f"{OF_DEDICATED}    decisions: 0\n")


STRICTER_AND_LAXER = pytest.mark.parametrize("change", [ask_two, ask_nobody])


@STRICTER_AND_LAXER
def test_rules_that_changed_while_a_run_waits_are_named_at_the_decision(
    world: World, tmp_path: Path, change: Callable[[World, Path], None]
) -> None:
    run_id = waiting(world)
    change(world, tmp_path / "rules")
    assert refused(world, run_id, OPS, PlanMoved).data["parts"] == ["rules"]
    assert world.run(run_id).status is RunStatus.AWAITING_APPROVAL
    assert world.events()[-1].data["part"] == "rules"


@STRICTER_AND_LAXER
def test_rules_that_change_after_the_decision_block_the_apply(
    world: World, tmp_path: Path, change: Callable[[World, Path], None]
) -> None:
    run_id = waiting(world)
    decide(world, run_id, OPS)
    change(world, tmp_path / "rules")
    world.work()
    run = world.run(run_id)
    assert (run.status, run.blocked_on) == (RunStatus.BLOCKED, BlockedOn.STATE_MOVED)
    assert run.error["data"]["parts"] == ["rules"]
    assert "run.apply:attempted" not in world.actions(run.tenant_id)
    fresh = perform(world.core, OTTO, runs.retry_run, run_id)
    world.work()
    assert world.run(run_id).status is RunStatus.SUPERSEDED
    needed = 2 if change is ask_two else 0
    status = RunStatus.AWAITING_APPROVAL if needed else RunStatus.APPLIED
    assert world.run(fresh.id).status is status
    if needed:
        assert approval_of(world, fresh.id).needed == needed
