"""Versions of a bundle: what follows an applied one, and receipts that come late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import IllegalTransition, InvalidInput, ReceiptAlreadyRegistered
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import handovers, receipts
from control_plane.services.performing import perform
from tests.workflows.desk import Desk, fired
from tests.world import ARCHITECT, World


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def register(desk: Desk, bundle_id: str, body: dict[str, object]) -> None:
    perform(desk.core, ARCHITECT, receipts.register_receipt, bundle_id, body)


def applied(desk: Desk) -> str:
    desk.handed_over()
    register(desk, desk.bundle_id, desk.receipt())
    return desk.bundle_id


# --- the version after an applied one --------------------------------------------------------
def test_an_edit_of_an_applied_bundle_makes_the_next_version(desk: Desk) -> None:
    first = applied(desk)
    new = desk.edit(database={"storage_gb": 100})
    assert (new.number, new.status, new.handed_over_at) == (2, BundleStatus.ACCEPTED, None)
    old = desk.bundle(first)
    assert old.status is BundleStatus.APPLIED
    assert new.inputs == {
        **old.inputs,
        "database": {**old.inputs["database"], "storage_gb": 100},
    }
    tenant = desk.world.tenant(desk.tenant_id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.READY, None)
    assert "bundle.continued:completed" in desk.world.actions(desk.tenant_id)


def test_the_tenant_stays_ready_through_the_whole_upgrade(desk: Desk) -> None:
    first = applied(desk)
    desk.edit(uninstall=False, retention={"log_days": 731})
    for step in (desk.build, desk.hand_over):
        step()
        assert desk.world.tenant(desk.tenant_id).status is TenantStatus.READY
    register(desk, desk.bundle_id, desk.receipt())
    assert desk.bundle().status is BundleStatus.APPLIED
    assert desk.bundle(first).status is BundleStatus.APPLIED
    assert desk.edit().number == 3


def test_an_upgrade_that_is_not_used_leaves_the_tenant_ready(desk: Desk) -> None:
    applied(desk)
    desk.edit()
    desk.world.clock.advance(days=61)
    assert fired(desk, "bundle.expired:completed") == 1
    assert desk.world.tenant(desk.tenant_id).status is TenantStatus.READY
    assert desk.edit().number == 3


def test_only_the_newest_version_is_edited(desk: Desk) -> None:
    first = applied(desk)
    second = desk.edit().id
    desk.bundle_id = first
    error = desk.refused(IllegalTransition, desk.edit)
    assert str(error) == f"version 2 ({second}) supersedes this one; edit that"


# --- receipts of versions that have ended here -----------------------------------------------
def superseded(desk: Desk) -> None:
    desk.edit(uninstall=True)


def expired(desk: Desk) -> None:
    desk.world.clock.advance(days=61)
    assert fired(desk, "bundle.expired:completed") == 1


def expired_and_superseded(desk: Desk) -> None:
    expired(desk)
    superseded(desk)


@pytest.mark.parametrize("end", [superseded, expired, expired_and_superseded])
def test_a_version_that_was_handed_over_takes_its_receipt_after_its_end(
    desk: Desk, end: Callable[[Desk], None]
) -> None:
    desk.handed_over()
    first, body = desk.bundle_id, desk.receipt()
    end(desk)
    assert "receipts" in desk.actions(first)
    register(desk, first, body)
    assert desk.bundle(first).status is BundleStatus.APPLIED
    tenant = desk.world.tenant(desk.tenant_id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.READY, None)
    desk.refused(ReceiptAlreadyRegistered, lambda: register(desk, first, body))


def test_the_next_version_goes_on_after_a_late_receipt(desk: Desk) -> None:
    desk.handed_over()
    first, body = desk.bundle_id, desk.receipt()
    desk.edit(retention={"log_days": 731})
    register(desk, first, body)
    desk.build()
    desk.hand_over()
    newest = desk.receipt()
    register(desk, desk.bundle_id, newest)
    assert desk.bundle().status is BundleStatus.APPLIED
    # what exists is the newest version, whatever is said of an older one afterwards
    assert "edit" in desk.actions()
    assert "edit" not in desk.actions(first)
    late = {**body, "resources": {**body["resources"], "vpc_id": "vpc-00000000000000001"}}
    register(desk, first, late)
    with desk.core.uow() as uow:
        (deployment,) = uow.deployments.find(tenant_id=desk.tenant_id)
    assert deployment.outputs == newest["resources"]


@pytest.mark.parametrize("end", [superseded, expired])
def test_a_version_that_nobody_was_given_takes_no_receipt(
    desk: Desk, end: Callable[[Desk], None]
) -> None:
    desk.built()
    first, body = desk.bundle_id, desk.receipt()
    end(desk)
    assert "receipts" not in desk.actions(first)
    error = desk.refused(IllegalTransition, lambda: register(desk, first, body))
    assert "takes no receipt: it was not handed over" in str(error)


# --- how long a version lives ----------------------------------------------------------------
def test_the_life_of_a_bundle_is_counted_from_its_hand_over(desk: Desk) -> None:
    desk.built()
    desk.world.clock.advance(days=59)
    given = desk.hand_over()
    assert desk.bundle().expires_at == desk.core.clock.now() + desk.core.limits.bundle_life
    desk.world.clock.advance(hours=71)
    assert fired(desk, "bundle.expired:completed") == 0
    assert perform(
        desk.core, ARCHITECT, handovers.download_by_link, desk.bundle_id, given.token, name=None
    ).content
    desk.world.clock.advance(days=57, hours=1)
    assert fired(desk, "bundle.expired:completed") == 1


def test_a_second_hand_over_counts_anew(desk: Desk) -> None:
    desk.handed_over()
    desk.world.clock.advance(days=59)
    desk.hand_over()
    desk.world.clock.advance(days=59)
    assert fired(desk, "bundle.expired:completed") == 0
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.CUSTOMER


def test_no_link_outlives_its_bundle(world: World) -> None:
    desk = Desk(world)
    given = desk.handed_over()
    expires = desk.bundle().expires_at
    assert expires is not None
    assert given.link.expires_at <= expires


# --- the install id --------------------------------------------------------------------------
def test_the_install_id_is_chosen_until_the_first_apply(desk: Desk) -> None:
    desk.built()
    edited = desk.edit(owner={"install_id": "second"})
    assert edited.inputs["owner"]["install_id"] == "second"
    assert desk.build().status is BundleStatus.BUILT
    desk.hand_over()
    register(desk, desk.bundle_id, desk.receipt())
    error = desk.refused(InvalidInput, lambda: desk.edit(owner={"install_id": "third"}))
    assert error.data["field"] == "inputs.owner.install_id"
    assert "before the first apply" in str(error)


def test_an_install_id_that_cannot_be_is_refused(desk: Desk) -> None:
    desk.accept()
    error = desk.refused(InvalidInput, lambda: desk.edit(owner={"install_id": "A b"}))
    assert error.data["field"] == "inputs.owner.install_id"
    assert "4 to 12 lower-case letters and digits" in str(error)
