"""Destroy: what exists is removed; what is verified then is that nothing is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.kind import Kind, Meaning, Shown
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

_S, _T, _W = RunStatus, TenantStatus, WaitingOn
# Until it is approved nothing has happened. From then on the owner is on its way out, and an end
# half way is for people to resume.
_VERIFIED: Final[Mapping[RunStatus, Shown]] = {
    _S.REQUESTED: (_T.READY, _W.PLATFORM),
    _S.PLANNING: (_T.READY, _W.PLATFORM),
    _S.BLOCKED: (_T.READY, _W.PLATFORM),
    _S.AWAITING_APPROVAL: (_T.READY, _W.OPS),
    _S.APPROVED: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.SUPERSEDED: (_T.READY, _W.PLATFORM),
    _S.APPLYING: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.VERIFYING: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.APPLIED: (_T.DEPROVISIONED, None),
    _S.NO_CHANGES: (_T.DEPROVISIONED, None),
    _S.POLICY_FAILED: (_T.READY, None),
    _S.REJECTED: (_T.READY, None),
    _S.EXPIRED: (_T.READY, None),
    _S.CANCELED: (_T.READY, None),
    _S.ERRORED: (_T.READY, None),
}
_OTHERWISE: Final[Mapping[RunStatus, Shown]] = {
    _S.REQUESTED: (_T.PENDING, _W.PLATFORM),
    _S.PLANNING: (_T.PENDING, _W.PLATFORM),
    _S.BLOCKED: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.AWAITING_APPROVAL: (_T.PENDING, _W.OPS),
    _S.APPROVED: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.SUPERSEDED: (_T.PENDING, _W.PLATFORM),
    _S.APPLYING: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.VERIFYING: (_T.DEPROVISIONING, _W.PLATFORM),
    _S.APPLIED: (_T.DEPROVISIONING, _W.OPS),
    _S.NO_CHANGES: (_T.DEPROVISIONING, _W.OPS),
    _S.POLICY_FAILED: (_T.FAILED, _W.OPS),
    _S.REJECTED: (_T.FAILED, _W.OPS),
    _S.EXPIRED: (_T.DEPROVISIONING, _W.OPS),
    _S.CANCELED: (_T.DEPROVISIONING, _W.OPS),
    _S.ERRORED: (_T.DEPROVISIONING, _W.OPS),
}

DESTROY: Final = Kind(
    kind=RunKind.DESTROY,
    purpose="removes what exists",
    desired=Desired.ABSENT,
    decisions=2,
    checks=("nothing_in_state", "nothing_by_tag", "nothing_by_name"),
    means={
        status: Meaning(
            verified=_VERIFIED[status],
            otherwise=_OTHERWISE[status],
            gives_back=status in {_S.APPLIED, _S.NO_CHANGES},
        )
        for status in _VERIFIED
    },
)
