"""Removing a tenant or a Hub: step by step to the certificate, and everything that refuses it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.errors import (
    AlreadyDecided,
    DomainError,
    FindingNotDecidable,
    IllegalTransition,
    InvalidInput,
    MachineMayNotDecide,
    NotAllowed,
    RunInProgress,
    SeparationOfDuties,
)
from control_plane.domain.finding import FindingKind
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.hold import HoldKind
from control_plane.domain.removal_errors import (
    AlreadyRemoved,
    ExportMissing,
    HubHasSlices,
    ProtectionNotNamed,
    RemovalInProgress,
    RemovalOnHold,
    RetentionNotPassed,
    TenantDrifted,
)
from control_plane.domain.run import BlockedOn, RunKind, RunStatus
from control_plane.domain.saga import SagaStatus, StepOutcome
from control_plane.domain.tenant import TenantStatus
from control_plane.services import changes, drift, findings, removals, runs, sagas
from control_plane.services import removal_decisions as decisions
from control_plane.services.performing import perform
from tests.receipts import destroy_receipt_of
from tests.workflows.held import place, release
from tests.workflows.removed import (
    BUCKET,
    DATABASE,
    PETRA,
    approve,
    follow,
    protected_of,
    ready_tenant,
    remove,
    remove_all,
    remove_hub,
    run_of,
    saga_of,
    steps_of,
)
from tests.world import ADMIN, ARCHITECT, AUTOMATION, OPS, World, machine, person

S = SagaStatus
DAY: Final = timedelta(days=1)
ALMA: Final = person("alma", Role.PLATFORM_ADMIN)
DIGEST: Final = "sha256:" + "a" * 64
ROTATION: Final = Drift(
    kind="changed", subject="urn:pulumi:a::tenantplane::aws:kms/key:Key::data",
    type="aws:kms/key:Key", path="enableKeyRotation", expected=True, actual=False,
)  # fmt: skip


def outcomes(world: World, saga_id: str) -> dict[str, StepOutcome | None]:
    return {step.name: step.outcome for step in steps_of(world, saga_id) if not step.is_undo}


# --- to its end ------------------------------------------------------------------------------
def test_a_slice_is_removed_with_two_approvals_and_its_room_is_free(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id)
    run = run_of(world, saga_id, "destroy")
    assert (run.kind, run.status) == (RunKind.DESTROY, RunStatus.AWAITING_APPROVAL)
    world.approve(run.id, OPS)
    assert world.run(run.id).status is RunStatus.AWAITING_APPROVAL
    world.approve(run.id, PETRA)
    follow(world)
    assert world.run(run.id).status is RunStatus.APPLIED
    tenant = world.tenant(tenant_id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.DEPROVISIONED, None)
    saga = saga_of(world, saga_id)
    assert (saga.status, saga.step) == (S.WAITING, "remaining")
    (hub,) = world.rows("hub").values()
    with world.core.uow() as uow:
        assert uow.queries.slices([hub.id]) == {hub.id: 0}


@pytest.mark.requirement("F-035")
def test_a_dedicated_tenant_is_removed_to_its_certificate(world: World) -> None:
    tenant_id = ready_tenant(world)
    world.engine.stores = (BUCKET,)
    names = protected_of(world, tenant_id)
    assert names
    saga_id = remove(world, tenant_id)
    assert (saga_of(world, saga_id).step, saga_of(world, saga_id).status) == ("export", S.WAITING)
    acknowledge(world, tenant_id)
    update = run_of(world, saga_id, "unprotect")
    assert (update.kind, update.status) == (RunKind.UPDATE, RunStatus.AWAITING_APPROVAL)
    approve(world, saga_id, "unprotect")
    approve(world, saga_id, "destroy")
    destroy = run_of(world, saga_id, "destroy")
    assert destroy.status is RunStatus.APPLIED
    assert outcomes(world, saga_id) == {
        "count": StepOutcome.DONE, "export": StepOutcome.DONE, "unprotect": StepOutcome.DONE,
        "destroy": StepOutcome.DONE, "customer": StepOutcome.SKIPPED, "close": StepOutcome.DONE,
        "forget": StepOutcome.DONE, "erase": StepOutcome.DONE, "certify": StepOutcome.DONE,
        "remaining": None,
    }  # fmt: skip
    (certificate,) = world.rows("certificate").values()
    body = certificate.body
    (plan,) = [each for each in world.rows("plan").values() if each.run_id == destroy.id]
    assert body["removed"]["plan_digests"] == [plan.digest]
    assert body["removed"]["resources"] == sum(body["removed"]["types"].values()) > 5
    assert [each["by"] for each in body["removed"]["approved_by"]] == ["olga", "petra"]
    assert {check["name"] for check in body["checks"] if check["ok"]} >= {
        "nothing_in_state", "nothing_by_tag", "nothing_by_name",
    }  # fmt: skip
    assert body["removed_by"] == "vendor"
    assert body["export"]["digest"] == DIGEST
    assert body["remaining"][0]["what"].startswith("kms:key ")
    assert not world.tenant(tenant_id).drifted


def acknowledge(world: World, key: str, who: Any = OPS, **counts: int) -> Any:
    found = perform(
        world.core, who, decisions.acknowledge_export, key,
        decisions.tenant_with(decisions.ACKNOWLEDGERS, "export_acknowledgements.create"),
        manifest_digest=DIGEST, counts=counts or {"data": 3}, reason="it is with the customer",
    )  # fmt: skip
    follow(world)
    return found


def waive(world: World, key: str, who: Any = ADMIN) -> Any:
    return perform(
        world.core, who, decisions.waive_export, key,
        decisions.tenant_with(decisions.WAIVERS, "export_waivers.create"), reason="no data",
    )  # fmt: skip


def attest(world: World, key: str, receipt: dict[str, Any] | None, who: Any = ARCHITECT) -> Any:
    return perform(
        world.core, who, decisions.attest_customer, key,
        decisions.tenant_with(decisions.ACKNOWLEDGERS, "customer_attestations.create"),
        receipt=receipt, reason="the customer sent it",
    )  # fmt: skip


def test_what_remains_is_looked_at_again_at_its_end_and_then_forgotten(world: World) -> None:
    tenant_id = ready_tenant(world)
    saga_id = remove_all(world, tenant_id)
    left = [each for each in world.rows("finding").values() if each.kind is FindingKind.REMAINING]
    assert left
    assert perform(world.core, OPS, findings.list_open, limit=50, before=None) == []
    for each in left:  # nobody has to decide about what was removed
        assert findings.to_do(each).startswith("Nothing: it was removed, and stays until ")
        assert findings.allowed_actions(each, OPS.actor) == []
        with pytest.raises(FindingNotDecidable, match="there is nothing to decide"):
            perform(
                world.core, OPS, findings.decide, each.id,
                verdict=Verdict.WAIVE, reason="why not",
                until=world.clock.now() + timedelta(days=1),
            )  # fmt: skip
    saga = saga_of(world, saga_id)
    assert saga.status is S.WAITING
    assert saga.due_at is not None
    assert saga.due_at > world.clock.now()
    world.clock.advance(seconds=(saga.due_at - world.clock.now()).total_seconds())
    (stack,) = [stack for name, stack in world.engine.stacks.items() if name.endswith(".b")]
    stack.remaining.clear()  # AWS has deleted it
    follow(world)
    assert saga_of(world, saga_id).status is S.DONE
    run = run_of(world, saga_id, "remaining")
    assert (run.kind, run.status) == (RunKind.DESTROY, RunStatus.NO_CHANGES)
    assert all(each.closed_at for each in world.rows("finding").values())
    assert world.tenant(tenant_id).saga_id is None
    assert world.tenant(tenant_id).status is TenantStatus.DEPROVISIONED


def test_what_is_still_there_at_its_end_is_looked_at_a_day_later(world: World) -> None:
    saga_id = remove_all(world, ready_tenant(world))
    due = saga_of(world, saga_id).due_at
    assert due is not None
    world.clock.advance(seconds=(due - world.clock.now()).total_seconds())
    follow(world)
    again = saga_of(world, saga_id)
    assert (again.status, again.due_at) == (S.WAITING, due.replace(day=due.day) + DAY)


@pytest.mark.parametrize("mode", ["A", "B"])
def test_what_never_existed_is_removed_without_an_engine_run(world: World, mode: str) -> None:
    accepted = world.submit(mode)  # a slice waits for a Hub, a dedicated one for its decision
    world.work()
    before = len(world.engine.calls)
    saga_id = remove(world, accepted.tenant.id)
    assert saga_of(world, saga_id).status is S.DONE
    assert world.run(accepted.run_id).status is RunStatus.CANCELED
    assert world.tenant(accepted.tenant.id).status is TenantStatus.DEPROVISIONED
    assert len(world.engine.calls) == before
    (certificate,) = world.rows("certificate").values()
    assert certificate.body["removed_by"] == "nothing_existed"
    assert {each.kind for each in world.rows("run").values()} == {RunKind.PROVISION}


def test_a_tenant_without_a_mode_is_removed(world: World) -> None:
    accepted = world.submit("A", data_must_stay_in_customer_cloud=True)
    assert accepted.tenant.status is TenantStatus.MODE_CONFLICT
    remove(world, accepted.tenant.id)
    assert world.tenant(accepted.tenant.id).status is TenantStatus.DEPROVISIONED


@pytest.mark.parametrize("is_verified", [True, False])
def test_what_the_customer_applied_is_removed_on_its_word(world: World, is_verified: bool) -> None:
    from tests.workflows.desk import Desk

    desk = Desk(world)
    desk.handed_over()
    saga_id = remove(world, desk.tenant_id)
    saga = saga_of(world, saga_id)
    assert (saga.step, saga.status) == ("customer", S.WAITING)
    receipt = destroy_receipt_of(desk.bundle(), world.clock.now())
    attest(world, desk.tenant_id, receipt if is_verified else None)
    follow(world)
    assert saga_of(world, saga_id).status is S.DONE
    assert world.tenant(desk.tenant_id).status is TenantStatus.DEPROVISIONED
    (certificate,) = world.rows("certificate").values()
    assert certificate.body["removed_by"] == "customer"
    assert certificate.body["customer"]["verified"] is is_verified
    assert certificate.body["removed"] == {}
    assert all(link.revoked_at for link in world.rows("download_link").values())


# --- what refuses a request --------------------------------------------------------------------
def refused(world: World, key: str, error: type[DomainError], **given: Any) -> DomainError:
    """Return the error by which a request is refused; it left its event, and nothing else."""
    names = protected_of(world, key)
    with pytest.raises(error) as raised:
        perform(
            world.core, ADMIN, removals.request_removal, key, removals.may_remove_tenant,
            **{"reason": "the contract ended", "unprotect": names, **given},
        )  # fmt: skip
    assert world.actions()[-1] == "removal.refused:denied"
    assert raised.value.code == error.code
    return raised.value


def test_a_removal_under_a_hold_is_refused(world: World) -> None:
    tenant_id = ready_tenant(world)
    hold = place(world, tenant_id, HoldKind.LEGAL)
    assert refused(world, tenant_id, RemovalOnHold).data == {"holds": [hold.id]}


def test_a_removal_before_its_retention_date_is_refused_whatever_the_clock_says(
    world: World,
) -> None:
    tenant_id = ready_tenant(world, "A")
    until = world.clock.now() + DAY * 30
    perform(world.core, OPS, decisions.retain_tenant, tenant_id, until=until, reason="seven years")
    assert refused(world, tenant_id, RetentionNotPassed).data == {"until": until.isoformat()}
    world.clock.advance(days=30)
    saga_id = remove(world, tenant_id)
    approve(world, saga_id, "unprotect")
    world.clock.advance(days=-2)  # set back between the request and the apply
    approve(world, saga_id, "destroy")
    run = run_of(world, saga_id, "destroy")
    assert (run.status, run.error["code"]) == (RunStatus.ERRORED, "retention_not_passed")
    assert "change" not in [what for what, _ in world.engine.calls][-3:]
    saga = saga_of(world, saga_id)
    assert saga.status is S.STUCK
    assert saga.error is not None
    assert saga.error["code"] == "retention_not_passed"


def test_a_retention_date_is_never_brought_forward(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    until = world.clock.now() + DAY * 30
    perform(world.core, OPS, decisions.retain_tenant, tenant_id, until=until, reason="a law")
    for earlier in (until - DAY, until, world.clock.now() - DAY):
        with pytest.raises(InvalidInput):
            perform(world.core, OPS, decisions.retain_tenant, tenant_id, until=earlier, reason="no")
    later = until + DAY
    perform(world.core, OPS, decisions.retain_tenant, tenant_id, until=later, reason="a law")
    assert world.tenant(tenant_id).retention_until == later


def test_a_drifted_tenant_is_not_removed_until_somebody_has_decided(world: World) -> None:
    tenant_id = ready_tenant(world)
    world.engine.drift = (ROTATION,)
    perform(world.core, OPS, drift.request_check, tenant_id)
    world.work()
    error = refused(world, tenant_id, TenantDrifted)
    assert [each["path"] for each in error.data["findings"]] == ["enableKeyRotation"]


def test_what_drifts_after_the_approval_is_refused_at_the_gate(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id)
    run = run_of(world, saga_id, "destroy")
    world.engine.drift = (ROTATION,)
    perform(world.core, OPS, drift.request_check, tenant_id)
    world.work()
    approve(world, saga_id, "destroy")
    run = world.run(run.id)
    assert (run.status, run.error["code"]) == (RunStatus.ERRORED, "tenant_drifted")
    assert world.tenant(tenant_id).status is TenantStatus.READY


def test_a_second_removal_and_one_of_what_is_gone_are_refused(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id)
    assert refused(world, tenant_id, RemovalInProgress).data == {"saga": saga_id}
    approve(world, saga_id, "destroy")
    refused(world, tenant_id, AlreadyRemoved, unprotect=())


def test_a_removal_while_a_run_applies_is_refused(world: World) -> None:
    accepted = world.submit("B")
    world.work()
    found: list[str] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change":
            found.append(refused(world, accepted.tenant.id, RunInProgress).data["run"])

    world.engine.during = meanwhile
    world.approve(accepted.run_id)
    assert found == [accepted.run_id]


def test_protected_resources_are_named_by_the_request_all_of_them_and_no_others(
    world: World,
) -> None:
    tenant_id = ready_tenant(world)
    names = protected_of(world, tenant_id)
    error = refused(world, tenant_id, ProtectionNotNamed, unprotect=(*names[1:], "bucket.nobody"))
    assert error.data == {"missing": [names[0]], "unknown": ["bucket.nobody"]}


def test_a_removal_needs_a_reason_and_the_role(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    refused(world, tenant_id, InvalidInput, reason="  ")
    with pytest.raises(NotAllowed):
        remove(world, tenant_id, AUTOMATION, unprotect=())


# --- what follows from a removal that is in progress --------------------------------------------
def test_nothing_else_is_requested_of_what_is_being_removed(world: World) -> None:
    tenant_id = ready_tenant(world)
    saga_id = remove(world, tenant_id)
    update = run_of(world, saga_id, "unprotect")
    with pytest.raises(RemovalInProgress):
        perform(
            world.core, AUTOMATION, changes.request_change, tenant_id,
            facts={"seats": 2000}, reason="grow",
        )  # fmt: skip
    perform(world.core, OPS, runs.cancel_run, update.id)
    follow(world)
    assert saga_of(world, saga_id).status is S.STUCK
    perform(world.core, OPS, runs.retry_run, update.id)  # its own run may be repeated
    follow(world)
    assert saga_of(world, saga_id).status is S.WAITING


def test_neither_the_requester_nor_one_person_twice_decides_on_the_destroy(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id, PETRA)
    run = run_of(world, saga_id, "destroy")
    with pytest.raises(SeparationOfDuties):
        world.approve(run.id, PETRA)
    world.approve(run.id, OPS)
    with pytest.raises(DomainError):
        world.approve(run.id, OPS)
    assert world.run(run.id).status is RunStatus.AWAITING_APPROVAL
    world.approve(run.id, person("paul", Role.OPS_APPROVER))
    assert world.run(run.id).status is RunStatus.APPLIED


def test_a_hold_that_comes_after_the_approval_stops_the_destroy(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id)
    run = run_of(world, saga_id, "destroy")
    hold = place(world, tenant_id)
    approve(world, saga_id, "destroy")
    assert world.run(run.id).status is RunStatus.BLOCKED
    release(world, hold)
    follow(world)
    assert world.run(run.id).status is RunStatus.APPLIED


def test_what_a_removal_leaves_behind_fails_it_until_it_is_gone(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    saga_id = remove(world, tenant_id)
    world.engine.left = (
        Drift(kind="foreign", subject="s3:bucket by-hand", type="s3:bucket", actual={}),
    )
    approve(world, saga_id, "destroy")
    assert run_of(world, saga_id, "destroy").error["code"] == "verification_failed"
    assert saga_of(world, saga_id).status is S.STUCK
    assert world.tenant(tenant_id).status is TenantStatus.DEPROVISIONING
    assert world.tenant(tenant_id).drifted
    world.engine.left = ()
    perform(world.core, OPS, sagas.retry_step, saga_id)
    follow(world)
    assert world.tenant(tenant_id).status is TenantStatus.DEPROVISIONED
    assert not world.tenant(tenant_id).drifted
    (certificate,) = world.rows("certificate").values()
    assert certificate.body["removed"]["resources"] > 0
    assert [each["by"] for each in certificate.body["removed"]["approved_by"]] == ["olga", "petra"]


def test_a_withdrawn_removal_can_be_requested_again(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    first = remove(world, tenant_id)
    perform(world.core, OPS, sagas.withdraw_saga, first, reason="the customer stays")
    follow(world)
    assert saga_of(world, first).status is S.UNDONE
    assert world.tenant(tenant_id).status is TenantStatus.READY
    second = remove(world, tenant_id)
    assert saga_of(world, second).step == "destroy"


# --- exports -----------------------------------------------------------------------------------
def exporting(world: World, *stores: Any) -> str:
    """Return a tenant whose removal waits for the export of its stores."""
    tenant_id = ready_tenant(world)
    world.engine.stores = stores
    saga_id = remove(world, tenant_id)
    assert (saga_of(world, saga_id).step, saga_of(world, saga_id).status) == ("export", S.WAITING)
    return tenant_id


def test_an_export_that_lacks_items_or_a_store_is_not_acknowledged(world: World) -> None:
    tenant_id = exporting(world, BUCKET, DATABASE)
    for counts in ({"data": 2, "db": 1}, {"data": 3}, {"db": 1}):
        with pytest.raises(ExportMissing):
            acknowledge(world, tenant_id, **counts)
    with pytest.raises(InvalidInput):
        acknowledge(world, tenant_id, data=3, db=1, other=1)
    acknowledge(world, tenant_id, data=3, db=7)
    assert world.actions().count("removal.refused:denied") == 4


def test_an_export_is_acknowledged_once_by_a_person(world: World) -> None:
    tenant_id = exporting(world, BUCKET)
    with pytest.raises(MachineMayNotDecide):
        acknowledge(world, tenant_id, machine("robot", Role.OPS_APPROVER))
    acknowledge(world, tenant_id)
    with pytest.raises(AlreadyDecided):
        waive(world, tenant_id)


def test_only_a_platform_admin_waives_an_export(world: World) -> None:
    tenant_id = exporting(world, DATABASE)
    with pytest.raises(NotAllowed):
        waive(world, tenant_id, OPS)
    waive(world, tenant_id)
    follow(world)
    assert [each.word for each in world.rows("removal_decision").values()] == ["export_waived"]


def test_what_nobody_asked_for_is_not_acknowledged(world: World) -> None:
    tenant_id = ready_tenant(world)
    with pytest.raises(IllegalTransition):
        acknowledge(world, tenant_id)
    with pytest.raises(IllegalTransition):
        attest(world, tenant_id, None)


def test_a_count_that_meets_an_outage_is_taken_again(world: World) -> None:
    tenant_id = ready_tenant(world)
    world.engine.unavailable = True
    saga_id = remove(world, tenant_id, unprotect=protected_of(world, tenant_id))
    assert saga_of(world, saga_id).status is S.WORKING
    world.engine.unavailable = False
    world.clock.advance(minutes=1)
    follow(world)
    assert saga_of(world, saga_id).step == "unprotect"


# --- Hubs --------------------------------------------------------------------------------------
def test_a_hub_with_slices_is_not_removed_and_one_without_is(world: World) -> None:
    tenant_id = ready_tenant(world, "A")
    (hub,) = world.rows("hub").values()
    with pytest.raises(HubHasSlices) as error:
        remove_hub(world, hub.id)
    assert error.value.data == {"tenants": [world.tenant(tenant_id).slug]}
    remove_all(world, tenant_id)
    saga_id = remove_hub(world, hub.id)
    waits = world.submit("A", number=2).run_id
    world.work()
    assert world.run(waits).blocked_on is BlockedOn.HUB_UNAVAILABLE  # it takes no slices any more
    for step in ("unprotect", "destroy"):
        approve(world, saga_id, step)
    assert str(world.rows("hub")[hub.id].status) == "deprovisioned"
    assert world.run(waits).blocked_on is BlockedOn.HUB_UNAVAILABLE
