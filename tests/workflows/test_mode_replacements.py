"""Kickoff: the mode is confirmed, or an empty slice gives way; and everything that is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.deployment import Deployment, Position
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    ModeConfirmed,
    ModeConflict,
    ModeDowngrade,
    ModeUnchanged,
    NotAllowed,
    OnHold,
    RunInProgress,
)
from control_plane.domain.hold import HoldKind
from control_plane.domain.mode import Mode
from control_plane.domain.removal_errors import SagaInProgress
from control_plane.domain.run import RunStatus
from control_plane.domain.saga import SagaStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.domain.transfer import Kind
from control_plane.services import changes, holds, mode_changes
from control_plane.services.performing import perform
from control_plane.workflows.requesting import request_run
from tests.workflows.raised import Raised, wish
from tests.workflows.removed import follow
from tests.world import ARCHITECT, AUTOMATION, OPS, World

SAME: dict[str, Any] = {"to": None, "upgrade": False, "amendment": None}


@pytest.fixture
def raised(world: World) -> Raised:
    return Raised(world, filled=False)


# --- confirming ------------------------------------------------------------------------------
@pytest.mark.requirement("J-042")
def test_a_confirmed_mode_is_no_longer_provisional(raised: Raised) -> None:
    assert raised.tenant().decision["provisional"] is True
    change = raised.confirm()
    assert (change.way, change.mode, change.saga_id, list(change.steps)) == (
        "confirm",
        "A",
        None,
        [],
    )
    tenant = raised.tenant()
    assert (tenant.mode, tenant.status) == ("A", TenantStatus.READY)
    assert tenant.decision["provisional"] is False
    assert raised.world.actions(tenant.id)[-2:] == [
        "mode.confirmed:completed", "mode.resolved:completed"
    ]  # fmt: skip


# --- replacing an empty slice ----------------------------------------------------------------
@pytest.mark.requirement("J-042")
def test_an_empty_slice_is_disposed_of_and_the_other_run_waits_for_approval(
    raised: Raised,
) -> None:
    change = raised.ask(upgrade=False)
    assert change.way == "replace"
    follow(raised.world)
    tenant = raised.tenant()
    assert (tenant.mode, tenant.status, tenant.waiting_on) == ("B", TenantStatus.PENDING, "ops")
    current = raised.at(Position.CURRENT)
    (run,) = [r for r in raised.world.rows("run").values() if r.deployment_id == current]
    assert run.status is RunStatus.AWAITING_APPROVAL
    assert raised.go().status is SagaStatus.DONE
    assert raised.tenant().status is TenantStatus.READY
    (former,) = [d for d in raised.deployments() if d.position is Position.FORMER]
    assert former.id == raised.source
    assert raised.world.engine.stacks[former.stack].resources == {}


@pytest.mark.requirement("J-042")
@pytest.mark.parametrize("kind", Kind)
def test_a_slice_that_holds_anything_is_not_replaced_and_the_upgrade_is_named(
    raised: Raised, kind: Kind
) -> None:
    raised.world.data.put(raised.source, kind, "a", "x")
    raised.ask(upgrade=False)
    saga = raised.go()
    assert (saga.step, saga.status) == ("check", SagaStatus.STUCK)
    assert saga.error is not None
    assert saga.error["code"] == "slice_holds_data"
    assert "--upgrade" in saga.error["remedy"]
    assert raised.tenant().mode == "A"
    raised.withdraw()
    assert raised.go().status is SagaStatus.UNDONE
    raised.ask()
    assert raised.go().status is SagaStatus.DONE
    assert raised.world.data.contents(raised.at(Position.CURRENT)) == {(kind, "a"): "x"}


def test_an_older_version_of_an_object_is_data_too(raised: Raised) -> None:
    raised.world.data.older_versions = 1
    raised.ask(upgrade=False)
    saga = raised.go()
    assert saga.error is not None
    assert saga.error["data"] == {"holds": {"older_version": 1}}


def test_a_tenant_that_never_had_a_slice_is_replaced_without_one(world: World) -> None:
    accepted = world.submit("A")  # no Hub has room
    world.work()
    change = perform(
        world.core, ARCHITECT, mode_changes.change_mode, accepted.tenant.id, wish(upgrade=False)
    )
    assert world.run(accepted.run_id).status is RunStatus.CANCELED
    follow(world)
    assert str(world.rows("saga")[change.saga_id].status) == "done"
    tenant = world.tenant(accepted.tenant.id)
    assert (tenant.mode, tenant.status, tenant.waiting_on) == ("B", TenantStatus.PENDING, "ops")
    newest = list(world.rows("run").values())[-1]
    world.approve(newest.id)
    assert world.tenant(tenant.id).status is TenantStatus.READY
    assert {stack for _, stack in world.engine.calls} == {f"{tenant.slug}.production.b"}


# --- what is refused -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes_", "error"),
    [
        ({"to": Mode.A}, ModeUnchanged),
        ({"amendment": None}, InvalidInput),
        ({"amendment": "  "}, InvalidInput),
        ({"reason": " "}, InvalidInput),
        ({"keep_days": 91}, InvalidInput),
        ({"keep_days": -1}, InvalidInput),
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_recorded(
    raised: Raised, changes_: dict[str, Any], error: type[DomainError]
) -> None:
    refused(raised, error, **changes_)


def refused(raised: Raised, error: type[DomainError], **changes_: Any) -> None:
    """Ask for what must be refused: rows stay, and one event says so."""
    rows, known = raised.world.storage.everything(), len(raised.world.events())
    with pytest.raises(error):
        raised.ask(**changes_)
    assert raised.world.storage.everything() == rows
    (event,) = raised.world.events()[known:]
    assert (event.action, event.stage) == ("mode.refused", "denied")
    assert event.data["code"] == error.code


def test_a_downgrade_is_refused_by_name(raised: Raised) -> None:
    raised.ask(upgrade=False)
    raised.go()
    refused(raised, ModeDowngrade, to=Mode.A)
    refused(raised, ModeUnchanged)


def test_what_was_confirmed_is_upgraded_and_not_replaced(raised: Raised) -> None:
    raised.confirm()
    refused(raised, ModeConfirmed, upgrade=False)


def test_a_subscription_that_cannot_buy_the_mode_is_a_conflict(world: World) -> None:
    raised = Raised(world, filled=False)
    with world.core.uow() as uow:
        tenant = uow.tenants.need(raised.tenant_id)
        facts = {**tenant.facts, "subscription": "lite"}
        uow.tenants.save(replace(tenant, facts=facts, version=tenant.version + 1))
        uow.commit()
    refused(raised, ModeConflict)


def test_under_a_hold_no_change_of_mode_begins(raised: Raised) -> None:
    perform(
        raised.world.core, OPS, holds.place_on_tenant, raised.tenant_id,
        kind=HoldKind.LEGAL, reason="a dispute",
    )  # fmt: skip
    refused(raised, OnHold)
    assert raised.confirm().way == "confirm"  # which changes nothing that exists


def test_a_second_change_of_mode_waits_for_the_first(raised: Raised) -> None:
    raised.ask()
    refused(raised, SagaInProgress)
    follow(raised.world)
    refused(raised, SagaInProgress, upgrade=False)


def test_facts_are_not_changed_while_the_mode_is(raised: Raised) -> None:
    raised.ask()
    with pytest.raises(SagaInProgress):
        perform(
            raised.world.core, AUTOMATION, changes.request_change, raised.tenant_id,
            facts={"seats": 120}, reason="it grows",
        )  # fmt: skip


def test_during_a_run_no_change_of_mode_begins(raised: Raised) -> None:
    found: list[str] = []

    def meanwhile(what: str, _: object) -> None:
        if what == "change" and not found:
            with pytest.raises(RunInProgress) as error:
                raised.ask()
            found.append(error.value.code)

    raised.world.engine.during = meanwhile
    with raised.world.core.act() as act:
        deployment: Deployment = act.uow.deployments.need(raised.source, lock=True)
        act.uow.deployments.save(
            deployment.changed(act.now(), transfer={"frozen": False, "reader_arn": "x"})
        )
        request_run(act, deployment)
        act.uow.commit()
    raised.world.work()
    assert found == ["run_in_progress"]


def test_a_tenant_that_is_not_ready_is_not_upgraded(raised: Raised) -> None:
    raised.ask(upgrade=False)
    follow(raised.world)
    assert raised.tenant().status is TenantStatus.PENDING
    with pytest.raises(ModeUnchanged):
        raised.ask()


def test_who_neither_settles_modes_nor_administers_may_not(raised: Raised) -> None:
    for who in (OPS, AUTOMATION):
        with pytest.raises(NotAllowed):
            raised.ask(who)


def test_a_dry_run_says_the_way_and_stores_nothing(raised: Raised) -> None:
    rows = raised.world.storage.everything()
    found = perform(
        raised.world.core, ARCHITECT, mode_changes.dry_run_mode, raised.tenant_id, wish()
    )
    assert (found.way, found.mode, found.saga_id) == ("upgrade", "B", None)
    assert len(found.steps) > 10
    assert raised.world.storage.everything() == rows


def test_a_mode_in_conflict_is_decided_first(world: World) -> None:
    accepted = world.submit("A", customer_managed_key=True)
    with pytest.raises(IllegalTransition):
        perform(world.core, ARCHITECT, mode_changes.change_mode, accepted.tenant.id, wish())
