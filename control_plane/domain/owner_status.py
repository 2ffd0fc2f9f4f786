"""The status of an owner as a projection of what it has: deployments, runs, bundles, evidence.

A tenant or Hub is never moved: its status is computed from the rows and stored when it changed.
What the newest run means for it depends on the run's kind (``domain/kinds``). The functions are
total over what rows can hold and raise nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.bundle import BundleStatus
from control_plane.domain.hub import HubStatus
from control_plane.domain.kinds import KINDS
from control_plane.domain.kinds.kind import Shown
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One deployment as its owner's status sees it.

    ``is_verified``: there is evidence that held for the state that the stack has now. ``run`` is
    kind and status of the newest run, ``bundle`` the status of the newest bundle, ``was_applied``:
    the customer applied some version of the bundle. What ``is_removed`` is nothing else.
    """

    is_verified: bool = False
    run: tuple[RunKind, RunStatus] | None = None
    bundle: BundleStatus | None = None
    was_applied: bool = False
    is_removed: bool = False


_T, _B = TenantStatus, BundleStatus
OF_BUNDLE: Final[Mapping[BundleStatus, Shown]] = {
    status: (_T.PENDING, WaitingOn.CUSTOMER if status is _B.HANDED_OVER else WaitingOn.ARCHITECT)
    for status in BundleStatus
}
# of several deployments the first decides: a tenant is on its way out when all of it is
DECIDES_FIRST: Final = (
    _T.FAILED, _T.PROVISIONING, _T.PENDING, _T.REQUESTED, _T.READY, _T.DEPROVISIONING,
    _T.DEPROVISIONED,
)  # fmt: skip
_HUB_OF: Final[Mapping[TenantStatus, HubStatus]] = {
    _T.REQUESTED: HubStatus.REQUESTED,
    _T.PENDING: HubStatus.PENDING,
    _T.PROVISIONING: HubStatus.PROVISIONING,
    _T.READY: HubStatus.READY,
    _T.FAILED: HubStatus.FAILED,
    _T.DEPROVISIONING: HubStatus.DEPROVISIONING,
    _T.DEPROVISIONED: HubStatus.DEPROVISIONED,
}


def tenant_status(*, is_resolved: bool, holdings: Sequence[Holding]) -> Shown:
    """Return a tenant's status and whose turn it is; ``DECIDES_FIRST`` picks among deployments."""
    if not is_resolved:
        return _T.MODE_CONFLICT, WaitingOn.ARCHITECT
    if not holdings:
        return _T.REQUESTED, None
    found = [_of(holding) for holding in holdings]
    return min(found, key=lambda pair: DECIDES_FIRST.index(pair[0]))


def hub_status(holding: Holding) -> HubStatus:
    """Return a Hub's status."""
    return _HUB_OF[_of(holding)[0]]


def _of(holding: Holding) -> Shown:
    if holding.is_removed:
        return _T.DEPROVISIONED, None
    if holding.was_applied:
        return _T.READY, None
    if holding.bundle is not None:
        return OF_BUNDLE[holding.bundle]
    if holding.run is None:
        return _T.REQUESTED, None
    kind, status = holding.run
    means = KINDS[kind].means[status]
    return means.verified if holding.is_verified else means.otherwise
