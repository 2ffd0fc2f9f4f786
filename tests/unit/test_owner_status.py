"""The status of tenants and Hubs as a projection: total, and ready only with evidence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.kinds import KINDS
from control_plane.domain.owner_status import DECIDES_FIRST, Holding, hub_status, tenant_status
from control_plane.domain.run import TERMINAL_RUN, TRANSITIONS_OF, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

T, R, K = TenantStatus, RunStatus, RunKind
CELLS = [(kind, status) for kind in RunKind for status in TRANSITIONS_OF[kind]]
HOLDINGS = [
    Holding(run=run, is_verified=is_verified)
    for run in (None, *CELLS)
    for is_verified in (False, True)
] + [
    Holding(bundle=bundle, was_applied=was_applied)
    for bundle in (None, *BundleStatus)
    for was_applied in (False, True)
]
# from here on the engine may have been called, or will be
APPROVED = {R.APPROVED, R.APPLYING, R.VERIFYING}
# ends after which somebody has to do something about it
FAILED = {R.POLICY_FAILED, R.ERRORED}


def shown(holding: Holding) -> tuple[TenantStatus, WaitingOn | None]:
    return tenant_status(is_resolved=True, holdings=[holding])


def status_of(*holdings: Holding) -> TenantStatus:
    return tenant_status(is_resolved=True, holdings=holdings)[0]


def test_every_kind_means_something_in_every_status_that_its_runs_can_have() -> None:
    assert {(kind, status) for kind in KINDS for status in KINDS[kind].means} == set(CELLS)
    assert len(CELLS) == 3 * (len(RunStatus) - 1) + 7 + 6


@pytest.mark.parametrize("holding", HOLDINGS)
def test_every_combination_has_a_status(holding: Holding) -> None:
    status, waiting_on = shown(holding)
    assert status in DECIDES_FIRST
    assert str(hub_status(holding)) == str(status)
    if status in {T.PENDING, T.PROVISIONING, T.FAILED}:
        assert waiting_on is not None


@pytest.mark.requirement("K-053")
@pytest.mark.parametrize(("kind", "run"), CELLS)
def test_a_tenant_is_ready_only_with_evidence(kind: RunKind, run: RunStatus) -> None:
    status, waiting_on = shown(Holding(run=(kind, run)))
    assert status not in {T.READY, T.DEPROVISIONED}
    assert waiting_on is not None


@pytest.mark.parametrize("run", TRANSITIONS_OF[K.PROVISION])
def test_a_provision_that_is_verified_is_ready_and_waits_on_nobody(run: RunStatus) -> None:
    assert shown(Holding(run=(K.PROVISION, run), is_verified=True)) == (T.READY, None)


@pytest.mark.parametrize("kind", [K.UPDATE, K.REFRESH])
def test_what_is_ready_stays_so_while_an_update_or_a_look_has_changed_nothing(
    kind: RunKind,
) -> None:
    for run in TRANSITIONS_OF[kind]:
        assert status_of(Holding(run=(kind, run), is_verified=True)) is T.READY


@pytest.mark.parametrize("kind", [K.UPDATE, K.DESTROY])
def test_a_ready_tenant_says_who_a_change_of_it_waits_on_until_that_ends(kind: RunKind) -> None:
    for run in set(TRANSITIONS_OF[kind]) - FAILED:
        _, waiting_on = shown(Holding(run=(kind, run), is_verified=True))
        expected = (
            None
            if run in TERMINAL_RUN - {R.SUPERSEDED}
            else WaitingOn.OPS
            if run is R.AWAITING_APPROVAL
            else WaitingOn.PLATFORM
        )
        assert waiting_on is expected, run


@pytest.mark.parametrize("run", sorted(FAILED))
def test_a_ready_tenant_whose_change_failed_waits_on_ops(run: RunStatus) -> None:
    assert shown(Holding(run=(K.UPDATE, run), is_verified=True)) == (T.READY, WaitingOn.OPS)


def test_an_update_that_is_applied_but_not_verified_is_as_a_first_build() -> None:
    for run in TRANSITIONS_OF[K.UPDATE]:
        assert shown(Holding(run=(K.UPDATE, run))) == shown(Holding(run=(K.PROVISION, run)))
    assert status_of(Holding(run=(K.UPDATE, R.APPLYING))) is T.PROVISIONING


@pytest.mark.parametrize("run", TRANSITIONS_OF[K.DESTROY])
def test_a_tenant_is_deprovisioning_from_the_approved_destroy_on(run: RunStatus) -> None:
    verified = status_of(Holding(run=(K.DESTROY, run), is_verified=True))
    otherwise = status_of(Holding(run=(K.DESTROY, run)))
    if run in APPROVED:
        assert verified is otherwise is T.DEPROVISIONING
    elif run in {R.APPLIED, R.NO_CHANGES}:  # evidence that nothing is left, or none
        assert (verified, otherwise) == (T.DEPROVISIONED, T.DEPROVISIONING)
    else:
        assert verified is T.READY
        assert otherwise in {T.PENDING, T.FAILED, T.DEPROVISIONING}


def test_a_destroy_that_ended_half_way_is_for_people_to_resume() -> None:
    for run in (R.ERRORED, R.CANCELED, R.EXPIRED):
        assert shown(Holding(run=(K.DESTROY, run))) == (T.DEPROVISIONING, WaitingOn.OPS)


def test_places_are_given_back_by_ends_alone_and_never_by_an_update() -> None:
    gives_back = {(kind, status) for kind, status in CELLS if KINDS[kind].means[status].gives_back}
    assert gives_back == {
        *((K.PROVISION, each) for each in (R.REJECTED, R.CANCELED, R.EXPIRED, R.POLICY_FAILED)),
        *((K.DESTROY, each) for each in (R.APPLIED, R.NO_CHANGES)),
    }
    assert {status for _, status in gives_back} <= TERMINAL_RUN


def test_the_first_in_the_order_of_statuses_decides() -> None:
    ready = Holding(is_verified=True, run=(K.PROVISION, R.APPLIED))
    failed = Holding(run=(K.PROVISION, R.ERRORED))
    applying = Holding(run=(K.PROVISION, R.APPLYING))
    leaving = Holding(run=(K.DESTROY, R.APPLYING))
    gone = Holding(is_verified=True, run=(K.DESTROY, R.APPLIED))
    assert status_of(ready, applying) is T.PROVISIONING
    assert status_of(ready, failed, applying) is T.FAILED
    assert status_of(ready, ready) is T.READY
    assert status_of(leaving, ready) is T.READY
    assert status_of(gone, leaving) is T.DEPROVISIONING
    assert status_of(gone, gone) is T.DEPROVISIONED
    assert set(DECIDES_FIRST) == set(T) - {T.MODE_CONFLICT}  # that one needs no deployment


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
