"""Steps of onboarding in rows: in order, versioned, opened again with what needs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane.domain.errors import IllegalTransition, InvalidInput, NotAllowed, NotFound
from control_plane.domain.onboarding_errors import (
    AnswersRefused,
    ResetsNotNamed,
    StepChanged,
    StepComplete,
    StepNotYet,
)
from control_plane.domain.onboarding_step import StepStatus
from control_plane.domain.removal_errors import AlreadyRemoved
from control_plane.domain.tenant import TenantStatus
from control_plane.services import onboarding_portal as portal
from control_plane.services import onboarding_steps as service
from control_plane.services import receipts
from control_plane.services.performing import perform
from tests.onboarding import Holder, visitor
from tests.onboarding_answers import ORDER, answers_to
from tests.workflows.desk import Desk
from tests.workflows.onboarded import Walk
from tests.world import ARCHITECT, AUDITOR, World


@pytest.fixture
def walk(world: World) -> Walk:
    world.ready_hub()
    walk = Walk(world)
    world.work()
    walk.holder.signed_in()
    return walk


def step_events(walk: Walk) -> list[str]:
    return [
        f"{event.action.removeprefix('onboarding.')}:{event.data['step']}"
        for event in walk.world.events()
        if event.action.startswith("onboarding.step_") and event.tree == walk.tenant_id
    ]


# --- the way to the launch ------------------------------------------------------------------------
def test_ten_steps_lead_to_the_launch(walk: Walk) -> None:
    walk.do(*ORDER)
    assert set(walk.statuses().values()) == {"complete"}
    assert step_events(walk) == [
        f"{what}:{key}" for key in ORDER for what in ("step_saved", "step_completed")
    ]
    (launched,) = [each for each in walk.world.events() if each.action == "onboarding.launched"]
    assert launched.data["checks"] == [
        "tenant_ready", "no_hold", "no_drift", "residency_kept", "audit_log_verifies"
    ]  # fmt: skip


@pytest.mark.requirement("J-051")
def test_mode_b_waits_for_operations_before_it_launches(world: World) -> None:
    walk = Walk(world, "B")
    world.work()
    walk.holder.signed_in()
    walk.do(*ORDER[:6])
    walk.save("network_and_hub")
    with pytest.raises(StepNotYet):
        walk.complete("network_and_hub")
    (run,) = world.rows("run").values()
    world.approve(run.id)
    world.work()
    walk.complete("network_and_hub")
    walk.do(*ORDER[7:])
    assert set(walk.statuses().values()) == {"complete"}


@pytest.mark.requirement("J-051")
def test_mode_c_waits_for_the_receipt_before_it_launches(world: World) -> None:
    desk = Desk(world)
    walk = Walk(desk.world, "C", Holder.of(desk.world, desk.tenant_id))
    walk.holder.signed_in()
    desk.handed_over()
    walk.do(*ORDER[:6])
    walk.save("network_and_hub")
    with pytest.raises(StepNotYet):
        walk.complete("network_and_hub")
    perform(desk.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, desk.receipt())
    desk.world.work()
    walk.complete("network_and_hub")
    walk.do(*ORDER[7:])
    assert set(walk.statuses().values()) == {"complete"}


def test_the_log_has_digests_and_no_value(walk: Walk) -> None:
    walk.do("verify_identity")
    event = next(each for each in walk.world.events() if each.action == "onboarding.step_saved")
    assert set(event.data["answers"]) == {"name", "position", "email", "terms"}
    assert all(len(each) == 32 for each in event.data["answers"].values())
    assert "Ida" not in str(event.body)
    walk.reopen("verify_identity")
    walk.save("verify_identity", position="Head of operations")
    again = walk.world.events()[-1].data["answers"]
    changed = {key for key in again if again[key] != event.data["answers"][key]}
    assert changed == {"position"}


@pytest.mark.requirement("J-051")
def test_a_step_cannot_be_skipped(walk: Walk) -> None:
    with pytest.raises(StepNotYet) as refused:
        walk.save("sso")
    assert refused.value.data["steps"] == ["residency_and_legal"]
    walk.do("verify_identity")
    with pytest.raises(StepNotYet):
        walk.save("residency_and_legal")
    assert step_events(walk)[-1] == "step_refused:residency_and_legal"


def test_four_to_eight_are_in_any_order_and_nine_needs_five(walk: Walk) -> None:
    walk.do(*ORDER[:3], "connectors_and_contacts", "llm_platform", "sso")
    with pytest.raises(StepNotYet) as refused:
        walk.save("pilot_cohort")
    assert refused.value.data["steps"] == ["scim"]
    walk.do("scim", "pilot_cohort")


def test_what_is_missing_can_be_saved_and_not_completed(walk: Walk) -> None:
    saved = walk.save("verify_identity", name=None, terms=False)
    assert (saved.status, saved.version) == (StepStatus.SAVED, 1)
    assert [each.key for each in saved.examined.faults] == ["name", "terms"]
    with pytest.raises(AnswersRefused) as refused:
        walk.complete("verify_identity")
    assert [(each["field"], each["code"]) for each in refused.value.data["faults"]] == [
        ("name", "required"), ("terms", "accept")
    ]  # fmt: skip
    walk.save("verify_identity")
    assert walk.complete("verify_identity").status is StepStatus.COMPLETE


def test_what_is_wrong_is_not_saved(walk: Walk) -> None:
    with pytest.raises(AnswersRefused):
        walk.save("verify_identity", email="ida@rival.example.org")
    assert walk.state("verify_identity").row is None
    assert walk.world.rows("onboarding_step_version") == {}
    assert step_events(walk) == ["step_refused:verify_identity"]


def test_a_step_waits_for_its_checks(world: World) -> None:
    walk = Walk(world)  # nobody used a link, and nothing was built
    walk.save("verify_identity")
    with pytest.raises(StepNotYet) as refused:
        walk.complete("verify_identity")
    assert [each["check"] for each in refused.value.data["checks"]] == ["link_redeemed"]
    walk.holder.signed_in()
    walk.complete("verify_identity")
    walk.do("confirm_tenant_and_mode", "residency_and_legal")
    walk.save("network_and_hub")
    with pytest.raises(StepNotYet) as refused:
        walk.complete("network_and_hub")
    assert [each["check"] for each in refused.value.data["checks"]] == ["tenant_ready"]


def test_the_launch_asks_every_check(walk: Walk) -> None:
    walk.do(*ORDER[:9])
    walk.save("review_and_launch")
    with walk.world.core.uow() as uow:
        tenant = uow.tenants.need(walk.tenant_id, lock=True)
        moved = tenant.shown(TenantStatus.PROVISIONING, None, walk.world.clock.now())
        uow.tenants.save(replace(moved, drifted=True))
        uow.commit()
    with pytest.raises(StepNotYet) as refused:
        walk.complete("review_and_launch")
    assert [each["check"] for each in refused.value.data["checks"]] == ["tenant_ready", "no_drift"]
    assert "launched" not in str([event.action for event in walk.world.events()])


def test_a_disagreement_opens_one_task(walk: Walk) -> None:
    walk.do("verify_identity")
    walk.save("confirm_tenant_and_mode", delivery_agreed="no", delivery_remark="We want our cloud")
    walk.save("confirm_tenant_and_mode", delivery_agreed="no", delivery_remark="In Mode C")
    (task,) = walk.world.rows("task").values()
    assert task.owner == "csm"
    assert "tenantctl tenant onboarding show" in task.instructions
    assert "Mode C" not in task.instructions
    with pytest.raises(AnswersRefused):
        walk.complete("confirm_tenant_and_mode")


# --- opened again ---------------------------------------------------------------------------------
def test_a_step_that_is_opened_again_opens_what_needs_it(walk: Walk) -> None:
    walk.do(*ORDER)
    with pytest.raises(ResetsNotNamed) as refused:
        walk.reopen("scim")
    assert refused.value.data["resets"] == ["pilot_cohort", "review_and_launch"]
    assert set(walk.statuses().values()) == {"complete"}
    state = walk.reopen("scim", "pilot_cohort", "review_and_launch")
    assert state.status is StepStatus.REOPENED
    statuses = walk.statuses()
    assert statuses["pilot_cohort"] == statuses["review_and_launch"] == "open"
    assert statuses["sso"] == "complete"
    assert walk.state("pilot_cohort").answers["sponsor"] == "Bruna Boss"  # nothing is lost
    assert step_events(walk)[-3:] == [
        "step_reopened:scim", "step_reset:pilot_cohort", "step_reset:review_and_launch"
    ]  # fmt: skip
    walk.do("scim", "pilot_cohort", "review_and_launch")


def test_only_what_is_complete_is_opened_again(walk: Walk) -> None:
    with pytest.raises(NotFound):
        walk.reopen("verify_identity")
    walk.save("verify_identity")
    with pytest.raises(IllegalTransition):
        walk.reopen("verify_identity")
    walk.complete("verify_identity")
    with pytest.raises(InvalidInput):
        walk.reopen("verify_identity", reason=" ")
    with pytest.raises(StepComplete):
        walk.save("verify_identity", name="Somebody Else")
    walk.reopen("verify_identity")


@pytest.mark.requirement("J-027")
def test_each_version_is_kept(walk: Walk) -> None:
    walk.save("verify_identity", name="First")
    walk.save("verify_identity", name="Second")
    walk.complete("verify_identity")
    walk.reopen("verify_identity")
    versions = perform(
        walk.world.core, ARCHITECT, service.get_step, walk.tenant_id, "verify_identity"
    ).versions
    assert [(each.number, str(each.act), each.answers["name"]) for each in versions] == [
        (1, "saved", "First"), (2, "saved", "Second"), (3, "completed", "Second"),
        (4, "reopened", "Second"),
    ]  # fmt: skip
    assert {each.document for each in versions} == {walk.world.core.rules.onboarding.digest}


# --- two at once ----------------------------------------------------------------------------------
def test_two_admins_see_both_values_and_nothing_is_lost(walk: Walk) -> None:
    walk.save("verify_identity", name="Ada", version=0)
    with pytest.raises(StepChanged) as refused:
        walk.save("verify_identity", name="Bea", version=0)
    assert refused.value.data["version"] == 1
    assert refused.value.data["differences"] == [{"field": "name", "yours": "Bea", "saved": "Ada"}]
    event = walk.world.events()[-1]
    assert (event.action, event.data["code"]) == ("onboarding.step_refused", "step_changed")
    assert "Bea" not in str(event.body)
    assert walk.save("verify_identity", name="Bea", version=1).version == 2


def test_the_same_answers_once_more_are_no_conflict(walk: Walk) -> None:
    walk.save("verify_identity", version=0)
    assert walk.save("verify_identity", version=0).version == 1


def test_of_twenty_at_once_one_saves(walk: Walk) -> None:
    def attempt(number: int) -> bool:
        try:
            walk.save("verify_identity", name=f"Admin {number}", version=0)
        except StepChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(20))) == 1
    assert len(walk.world.rows("onboarding_step_version")) == 1


# --- who may --------------------------------------------------------------------------------------
def test_an_auditor_neither_reads_answers_nor_changes_them(walk: Walk) -> None:
    core = walk.world.core
    with pytest.raises(NotAllowed):
        perform(core, AUDITOR, service.list_steps, walk.tenant_id)
    with pytest.raises(NotAllowed):
        perform(core, AUDITOR, service.save_step, walk.tenant_id, "verify_identity", answers={},
                version=0)  # fmt: skip


def test_the_session_of_the_portal_does_the_same(walk: Walk) -> None:
    walk.world.clock.advance(minutes=2)
    token, core = walk.holder.signed_in(), walk.world.core
    answers = answers_to("verify_identity")
    saved = perform(
        core, visitor(), portal.save_own, token, "verify_identity", answers=answers, version=0
    )
    assert saved is not None
    assert saved.row is not None
    assert saved.row.changed_by.startswith("it_admin:mlk_")
    done = perform(core, visitor(), portal.complete_own, token, "verify_identity", version=1)
    assert done is not None
    assert done.status is StepStatus.COMPLETE
    event = walk.world.events()[-1]
    assert event.body["actor"]["id"] == saved.row.changed_by
    with pytest.raises(StepNotYet):
        perform(core, visitor(), portal.save_own, token, "scim", answers={}, version=0)
    assert perform(core, visitor(), portal.see_steps, "nobody") is None


def test_an_unknown_step_is_not_found(walk: Walk) -> None:
    with pytest.raises(NotFound):
        walk.state("sso2")
    with pytest.raises(NotFound):
        perform(walk.world.core, ARCHITECT, service.save_step, walk.tenant_id, "a\nb", answers={},
                version=0)  # fmt: skip
    assert "step" not in walk.world.events()[-1].data


def test_a_tenant_that_leaves_takes_no_answers(walk: Walk) -> None:
    with walk.world.core.uow() as uow:
        tenant = uow.tenants.need(walk.tenant_id, lock=True)
        uow.tenants.save(tenant.shown(TenantStatus.DEPROVISIONING, None, walk.world.clock.now()))
        uow.commit()
    with pytest.raises(AlreadyRemoved):
        walk.save("verify_identity")


def test_answers_are_erased_with_the_removal_of_the_tenant(walk: Walk) -> None:
    walk.do("verify_identity")
    walk.reopen("verify_identity")
    now = walk.world.clock.now()
    with walk.world.core.uow() as uow:
        tenant = uow.tenants.need(walk.tenant_id, lock=True)
        uow.tenants.save(replace(tenant, removed_at=now, version=tenant.version + 1))
        assert uow.personal_rows.erase(now, walk.tenant_id) >= 4  # the step and three versions
        uow.commit()
    (step,) = walk.world.rows("onboarding_step").values()
    assert (step.answers, step.status) == ({}, StepStatus.REOPENED)
    versions = walk.world.rows("onboarding_step_version").values()
    assert [each.answers for each in versions] == [{}, {}, {}]
    assert [each.number for each in versions] == [1, 2, 3]


# --- the database refuses as well -----------------------------------------------------------------
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE onboarding_step SET status = 'open', version = version + 1",
        "UPDATE onboarding_step SET status = 'reopened', version = version + 1",
        "UPDATE onboarding_step SET status = 'later', version = version + 1",
        "UPDATE onboarding_step SET answers = '[]', version = version + 1",
        "UPDATE onboarding_step SET key = 'scim', version = version + 1",
        'UPDATE onboarding_step SET answers = \'{"name": "x"}\'',
        (
            "UPDATE onboarding_step SET status = 'complete', answers = '{\"name\": \"x\"}', "
            "version = version + 1"
        ),
        "DELETE FROM onboarding_step",
        (
            "INSERT INTO onboarding_step SELECT 'obs_x', tenant_id, 'sso', document, 'complete', "
            "answers, changed_by, changed_at, 1 FROM onboarding_step"
        ),
        (
            "INSERT INTO onboarding_step SELECT 'obs_x', tenant_id, key, document, 'saved', "
            "answers, changed_by, changed_at, 1 FROM onboarding_step"
        ),
        "UPDATE onboarding_step_version SET number = 7",
        'UPDATE onboarding_step_version SET answers = \'{"name": "x"}\'',
        "UPDATE onboarding_step_version SET made_by = 'somebody'",
        "DELETE FROM onboarding_step_version",
        (
            "INSERT INTO onboarding_step_version SELECT 'obv_x', step_id, tenant_id, 2, act, "
            "status, document, answers, made_by, made_at FROM onboarding_step_version"
        ),
    ],
)
def test_sql_moves_no_step_and_changes_no_version(walk: Walk, statement: str) -> None:
    walk.save("verify_identity")
    with walk.world.storage.unit_of_work() as uow, pytest.raises(DBAPIError):
        uow.connection.execute(text(statement))
    assert walk.state("verify_identity").status is StepStatus.SAVED
