"""Mode C at the architect's desk: taken, edited, built, and how each is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.ports.rows import UnitOfWork
from control_plane.services import bundles, handovers, receipts
from control_plane.services.performing import perform
from control_plane.workflows import PHASES
from control_plane.workflows.core import Caller
from tests.workflows.desk import CUSTOMERS_ACCOUNT, Desk, fired
from tests.world import ARCHITECT, AUDITOR, AUTOMATION, OPS, World, person

COLLEAGUE = person("sue", Role.SOLUTIONS_ARCHITECT)


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


@pytest.mark.requirement("J-020", "J-024")
def test_from_the_desk_to_a_ready_tenant(desk: Desk) -> None:
    given = desk.handed_over()
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.CUSTOMER
    download = perform(
        desk.core,
        person("anybody"),
        handovers.download_by_link,
        desk.bundle_id,
        given.token,
        name=None,
    )
    assert download.name == "hub-dainese-1.tar.gz"
    assert download.digest == desk.bundle().archive_digest
    perform(desk.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, desk.receipt())
    assert desk.bundle().status is BundleStatus.APPLIED
    tenant = desk.world.tenant(desk.tenant_id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.READY, None)
    with desk.core.uow() as uow:
        (deployment,) = uow.deployments.find(tenant_id=desk.tenant_id)
    assert deployment.account_id == CUSTOMERS_ACCOUNT
    assert deployment.outputs == desk.receipt()["resources"]
    assert desk.world.engine.calls == []
    assert desk.world.actions(desk.tenant_id) == [
        "request.accepted:completed", "mode.resolved:completed", "bundle.queued:completed",
        "tenant.status_changed:completed", "bundle.accepted:completed", "bundle.edited:completed",
        "bundle.build_requested:completed", "bundle.built:completed", "bundle.rehearsed:completed",
        "bundle.handed_over:completed", "link.issued:completed", "tenant.status_changed:completed",
        "bundle.downloaded:completed", "receipt.registered:completed",
        "tenant.status_changed:completed",
    ]  # fmt: skip


def test_a_bundle_is_taken_once(desk: Desk) -> None:
    assert desk.accept().accepted_by == ARCHITECT.actor.id
    desk.refused(
        IllegalTransition,
        lambda: perform(desk.core, COLLEAGUE, bundles.accept_bundle, desk.bundle_id),
    )


def test_an_edit_on_an_older_version_is_refused(desk: Desk) -> None:
    seen = desk.accept().version
    desk.edit(account_id=CUSTOMERS_ACCOUNT, version=seen)
    desk.refused(PreconditionFailed, lambda: desk.edit(COLLEAGUE, seen, account_id="111111111111"))
    assert desk.bundle().inputs["account_id"] == CUSTOMERS_ACCOUNT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"region": "us-east-1"}, "region"),
        ({"region": None}, "region"),
        ({"schema_version": 2}, "schema_version"),
        ({"owner": {"tenant": "x"}}, "owner.tenant"),
        ({"owner": {"short": None}}, "owner.short"),
        ({"owner": {"note": "x"}}, "owner.note"),
        ({"owner": "nobody"}, "owner"),
        ({"owner": None}, "owner"),
    ],
)
def test_what_the_request_fixed_is_not_edited(
    desk: Desk, change: dict[str, Any], field: str
) -> None:
    desk.accept()
    error = desk.refused(InvalidInput, lambda: desk.edit(account_id=CUSTOMERS_ACCOUNT, **change))
    assert error.data["field"] == f"inputs.{field}"
    assert str(error) == f"{field} is fixed by the request"


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"account_id": "12"}, "inputs.account_id"),
        ({"surprise": True}, "inputs.surprise"),
        ({"uninstall": "no"}, "inputs.uninstall"),
    ],
)
def test_inputs_that_cannot_be_right_are_refused_by_name(
    desk: Desk, inputs: dict[str, Any], field: str
) -> None:
    desk.accept()
    merged = {"account_id": CUSTOMERS_ACCOUNT, **inputs}
    assert desk.refused(InvalidInput, lambda: desk.edit(**merged)).data["field"] == field


def test_an_edit_names_what_changed_and_never_its_value(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    event = desk.events()[-1]
    assert (event.action, event.data["changed"]) == ("bundle.edited", ["account_id"])
    assert CUSTOMERS_ACCOUNT not in json.dumps(dict(event.data))


@pytest.mark.requirement("J-020")
@pytest.mark.parametrize("who", [OPS, AUDITOR, AUTOMATION], ids=lambda who: str(who.actor.id))
def test_a_build_by_who_is_no_architect_is_refused(desk: Desk, who: Caller) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.refused(NotAllowed, lambda: desk.build(who))
    event = desk.events()[-1]
    assert (event.tree, event.action) == (desk.tenant_id, "authz.denied")
    assert event.data["route"] == "bundles.build"
    assert desk.builder.orders == []


def test_a_bundle_of_another_tenant_is_not_there(desk: Desk) -> None:
    stranger = person("eve", Role.SOLUTIONS_ARCHITECT, tenants=("ten_other",))
    desk.refused(
        NotFound, lambda: perform(desk.core, stranger, bundles.accept_bundle, desk.bundle_id)
    )
    assert desk.events()[-1].tree == "platform"


def test_a_build_without_the_account_is_refused_and_names_it(desk: Desk) -> None:
    desk.accept()
    error = desk.refused(InvalidInput, desk.build)
    assert error.data["field"] == "inputs.account_id"
    assert desk.bundle().status is BundleStatus.ACCEPTED


def test_a_build_that_fails_keeps_its_checks_and_can_be_corrected(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.builder.failing_checks.add("policies")
    failed = desk.build()
    assert failed.status is BundleStatus.BUILD_FAILED
    assert [c["name"] for c in failed.checks if not c["ok"]] == ["policies"]
    assert (failed.error or {})["code"] == "bundle_invalid"
    event = desk.events()[-1]
    assert (event.action, str(event.stage)) == ("bundle.build_failed", "failed")
    assert event.data["checks"] == ["policies"]
    desk.builder.failing_checks.clear()
    assert desk.edit(uninstall=False).number == 1
    built = desk.build()
    assert (built.status, built.error) == (BundleStatus.BUILT, None)


def test_a_build_that_breaks_off_is_not_left_building(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.builder.fault = OSError("no space left on device")
    with pytest.raises(OSError, match="no space"):
        desk.build()
    failed = desk.bundle()
    assert failed.status is BundleStatus.BUILD_FAILED
    assert "space" not in json.dumps(dict(failed.error or {}))
    desk.builder.fault = None
    assert desk.build().status is BundleStatus.BUILT


def test_who_waits_for_a_build_sees_each_check_when_it_is_done(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    seen: list[tuple[BundleStatus, int]] = []
    desk.builder.look = lambda: seen.append((desk.bundle().status, len(desk.bundle().checks)))
    built = desk.build()
    assert len(built.checks) > 1
    assert seen == [(BundleStatus.BUILDING, n) for n in range(1, len(built.checks) + 1)]


def test_the_same_inputs_build_the_same_bytes(desk: Desk) -> None:
    built = desk.built()
    again = desk.core.builder.build(desk.builder.orders[-1], on_events=lambda *_: None)
    assert again.archive_digest == built.archive_digest


def test_a_build_that_was_done_is_not_done_again(desk: Desk) -> None:
    built = desk.built()
    PHASES["build_bundle"](desk.core, built.id)  # what the queue does after a crash at its end
    assert desk.bundle() == built


class Outage:
    """A database that is away for ``times`` transactions after the last check of a build."""

    def __init__(self, desk: Desk, times: int) -> None:
        self._desk = desk
        self._uow = desk.core.uow
        self._left = 0
        self._times = times
        desk.builder.look = self._begin

    def _begin(self) -> None:
        if len(self._desk.bundle().checks) == 3:
            self._left = self._times

    def __call__(self) -> UnitOfWork:
        if self._left:
            self._left -= 1
            raise Unavailable("the database is away")
        return self._uow()


def _build_through(desk: Desk, outage: Outage) -> None:
    perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)
    PHASES["build_bundle"](replace(desk.core, uow=outage), desk.bundle_id)


def test_a_build_waits_for_a_database_that_comes_back(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    _build_through(desk, Outage(desk, times=3))
    assert desk.bundle().status is BundleStatus.BUILT


def test_a_build_that_nobody_ended_is_ended_after_its_time(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)  # its worker dies
    assert desk.bundle().status is BundleStatus.BUILDING
    assert desk.actions() == []
    desk.world.clock.advance(minutes=29)
    assert fired(desk, "bundle.build_failed:failed") == 0
    desk.world.clock.advance(minutes=1)
    assert fired(desk, "bundle.build_failed:failed") == 1
    assert fired(desk, "bundle.build_failed:failed") == 0
    failed = desk.bundle()
    assert (failed.status, failed.error is not None) == (BundleStatus.BUILD_FAILED, True)
    assert desk.events()[-1].action == "bundle.build_failed"
    desk.builder.look = lambda: None
    assert desk.build().status is BundleStatus.BUILT


def test_a_build_that_was_given_up_does_not_end_the_one_after_it(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)

    def meanwhile() -> None:
        desk.builder.look = lambda: None
        desk.world.clock.advance(minutes=31)
        assert fired(desk, "bundle.build_failed:failed") == 1
        desk.edit(database={"storage_gb": 100})
        perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)

    desk.builder.look = meanwhile
    perform(desk.core, ARCHITECT, bundles.build_bundle, desk.bundle_id)
    PHASES["build_bundle"](desk.core, desk.bundle_id)
    assert desk.bundle().status is BundleStatus.BUILDING
    assert desk.bundle().archive_digest is None
    desk.world.work()
    assert desk.bundle().status is BundleStatus.BUILT
    assert desk.builder.orders[-1].variables["database"]["storage_gb"] == 100


def test_a_build_is_judged_by_what_the_tenant_may(desk: Desk) -> None:
    desk.built()
    residency = desk.world.tenant(desk.tenant_id).facts["residency"]
    order = desk.builder.orders[-1]
    assert order.zone is not None
    assert (order.zone, order.strict) == (residency["zone"], residency["strict"])
