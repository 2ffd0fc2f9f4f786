"""The status of an owner as a projection of what it has: deployments, runs, bundles, evidence.

A tenant or Hub is never moved: its status is computed from the rows and stored when it changed.
The functions are total and raise nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.hub import HubStatus
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One deployment as its owner's status sees it.

    ``is_ready``: there is evidence that held for the state that the stack has now. ``run`` is the
    status of the newest run, ``bundle`` that of the newest bundle, ``was_applied``: the customer
    applied some version of the bundle.
    """

    is_ready: bool = False
    run: RunStatus | None = None
    bundle: BundleStatus | None = None
    was_applied: bool = False


_T, _R, _B = TenantStatus, RunStatus, BundleStatus
# the newest run of a deployment that is not ready -> status and whose turn it is
OF_RUN: Final[Mapping[RunStatus, tuple[TenantStatus, WaitingOn | None]]] = {
    _R.REQUESTED: (_T.PENDING, WaitingOn.PLATFORM),
    _R.PLANNING: (_T.PENDING, WaitingOn.PLATFORM),
    _R.BLOCKED: (_T.PENDING, WaitingOn.PLATFORM),
    _R.AWAITING_APPROVAL: (_T.PENDING, WaitingOn.OPS),
    _R.APPROVED: (_T.PENDING, WaitingOn.PLATFORM),
    _R.SUPERSEDED: (_T.PENDING, WaitingOn.PLATFORM),  # for the moment until its successor is there
    _R.APPLYING: (_T.PROVISIONING, WaitingOn.PLATFORM),
    _R.VERIFYING: (_T.PROVISIONING, WaitingOn.PLATFORM),
    _R.APPLIED: (_T.FAILED, WaitingOn.OPS),  # applied once, but what exists is not what was checked
    _R.NO_CHANGES: (_T.FAILED, WaitingOn.OPS),
    _R.POLICY_FAILED: (_T.FAILED, WaitingOn.OPS),
    _R.REJECTED: (_T.FAILED, WaitingOn.OPS),
    _R.EXPIRED: (_T.FAILED, WaitingOn.OPS),
    _R.CANCELED: (_T.FAILED, WaitingOn.OPS),
    _R.ERRORED: (_T.FAILED, WaitingOn.OPS),
}
OF_BUNDLE: Final[Mapping[BundleStatus, tuple[TenantStatus, WaitingOn | None]]] = {
    status: (_T.PENDING, WaitingOn.CUSTOMER if status is _B.HANDED_OVER else WaitingOn.ARCHITECT)
    for status in BundleStatus
}
_WORST_FIRST: Final = (_T.FAILED, _T.PROVISIONING, _T.PENDING, _T.REQUESTED, _T.READY)
_HUB_OF: Final[Mapping[TenantStatus, HubStatus]] = {
    _T.REQUESTED: HubStatus.REQUESTED,
    _T.PENDING: HubStatus.PENDING,
    _T.PROVISIONING: HubStatus.PROVISIONING,
    _T.READY: HubStatus.READY,
    _T.FAILED: HubStatus.FAILED,
}


def tenant_status(
    *, is_resolved: bool, holdings: Sequence[Holding]
) -> tuple[TenantStatus, WaitingOn | None]:
    """Return a tenant's status and whose turn it is; the worst of its deployments decides."""
    if not is_resolved:
        return _T.MODE_CONFLICT, WaitingOn.ARCHITECT
    if not holdings:
        return _T.REQUESTED, None
    found = [_of(holding) for holding in holdings]
    return min(found, key=lambda pair: _WORST_FIRST.index(pair[0]))


def hub_status(holding: Holding) -> HubStatus:
    """Return a Hub's status."""
    return _HUB_OF[_of(holding)[0]]


def _of(holding: Holding) -> tuple[TenantStatus, WaitingOn | None]:
    if holding.is_ready or holding.was_applied:
        return _T.READY, None
    if holding.bundle is not None:
        return OF_BUNDLE[holding.bundle]
    if holding.run is not None:
        return OF_RUN[holding.run]
    return _T.REQUESTED, None
