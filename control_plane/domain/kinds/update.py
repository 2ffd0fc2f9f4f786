"""Update: what exists is brought to the next spec, or back to the one it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.kind import NOT_YET_VERIFIED, OF_WHAT_EXISTS, Kind, Meaning, Shown
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

_S, _T, _W = RunStatus, TenantStatus, WaitingOn
# What is ready stays ready while a change of it is planned, waits or is refused. Once the change is
# applied nothing is verified until the checks have passed.
_READY: Final[Mapping[RunStatus, Shown]] = {
    _S.REQUESTED: (_T.READY, _W.PLATFORM),
    _S.PLANNING: (_T.READY, _W.PLATFORM),
    _S.BLOCKED: (_T.READY, _W.PLATFORM),
    _S.AWAITING_APPROVAL: (_T.READY, _W.OPS),
    _S.APPROVED: (_T.READY, _W.PLATFORM),
    _S.SUPERSEDED: (_T.READY, _W.PLATFORM),
    _S.APPLYING: (_T.READY, _W.PLATFORM),  # it has changed nothing of the state
    _S.VERIFYING: (_T.READY, _W.PLATFORM),
    _S.APPLIED: (_T.READY, None),
    _S.NO_CHANGES: (_T.READY, None),
    _S.POLICY_FAILED: (_T.READY, _W.OPS),  # somebody wanted a change, and has it not
    _S.REJECTED: (_T.READY, None),
    _S.EXPIRED: (_T.READY, None),
    _S.CANCELED: (_T.READY, None),
    _S.ERRORED: (_T.READY, _W.OPS),
}

UPDATE: Final = Kind(
    kind=RunKind.UPDATE,
    purpose="brings what exists to its spec",
    desired=Desired.PRESENT,
    checks=OF_WHAT_EXISTS,
    means={
        status: Meaning(verified=shown, otherwise=NOT_YET_VERIFIED[status])
        for status, shown in _READY.items()
    },
)
