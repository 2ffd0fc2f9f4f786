"""The status of tenants and Hubs as a projection: total, and ready only with evidence."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.hub import HubStatus
from control_plane.domain.owner_status import Holding, hub_status, tenant_status
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

HOLDINGS = [
    Holding(is_ready=is_ready, run=run, bundle=bundle, was_applied=was_applied)
    for is_ready, run, bundle, was_applied in itertools.product(
        (False, True), (None, *RunStatus), (None, *BundleStatus), (False, True)
    )
]


def status_of(*holdings: Holding) -> TenantStatus:
    return tenant_status(is_resolved=True, holdings=holdings)[0]


@pytest.mark.parametrize("run", RunStatus)
def test_no_run_makes_a_tenant_ready_without_evidence(run: RunStatus) -> None:
    assert status_of(Holding(run=run)) is not TenantStatus.READY
    assert hub_status(Holding(run=run)) is not HubStatus.READY


@pytest.mark.parametrize("run", RunStatus)
def test_what_is_ready_stays_so_while_a_later_run_has_touched_nothing(run: RunStatus) -> None:
    assert status_of(Holding(run=run, is_ready=True)) is TenantStatus.READY
    assert hub_status(Holding(run=run, is_ready=True)) is HubStatus.READY


def test_every_combination_has_a_status() -> None:
    for holding in HOLDINGS:
        status, waiting_on = tenant_status(is_resolved=True, holdings=[holding])
        assert (status is TenantStatus.READY) == (holding.is_ready or holding.was_applied)
        assert waiting_on is None or status is not TenantStatus.READY
        assert hub_status(holding) in HubStatus


def test_the_worst_deployment_decides() -> None:
    ready = Holding(is_ready=True, run=RunStatus.APPLIED)
    failed = Holding(run=RunStatus.ERRORED)
    applying = Holding(run=RunStatus.APPLYING)
    assert status_of(ready, applying) is TenantStatus.PROVISIONING
    assert status_of(ready, failed, applying) is TenantStatus.FAILED
    assert status_of(ready, ready) is TenantStatus.READY


def test_a_mode_that_is_not_settled_waits_on_an_architect() -> None:
    assert tenant_status(is_resolved=False, holdings=[]) == (
        TenantStatus.MODE_CONFLICT,
        WaitingOn.ARCHITECT,
    )


@pytest.mark.parametrize(
    ("bundle", "waiting_on"),
    [
        (BundleStatus.AWAITING_ARCHITECT, WaitingOn.ARCHITECT),
        (BundleStatus.BUILD_FAILED, WaitingOn.ARCHITECT),
        (BundleStatus.HANDED_OVER, WaitingOn.CUSTOMER),
        (BundleStatus.EXPIRED, WaitingOn.ARCHITECT),
    ],
)
def test_mode_c_names_whose_turn_it_is(bundle: BundleStatus, waiting_on: WaitingOn) -> None:
    assert tenant_status(is_resolved=True, holdings=[Holding(bundle=bundle)]) == (
        TenantStatus.PENDING,
        waiting_on,
    )


def test_the_next_version_of_an_applied_bundle_leaves_the_tenant_ready() -> None:
    assert status_of(Holding(bundle=BundleStatus.ACCEPTED, was_applied=True)) is TenantStatus.READY


def test_whose_turn_it_can_be_is_described() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.partition("`waiting_on` says whose turn it is:")[2].partition("\n`GET")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) - {"waiting_on"}
    assert described == set(WaitingOn)
