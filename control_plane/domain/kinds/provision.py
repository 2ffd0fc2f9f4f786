"""Provision: the first build of a deployment."""

from __future__ import annotations

from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.kind import NOT_YET_VERIFIED, OF_WHAT_EXISTS, Kind, Meaning
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus

_S = RunStatus
# ends after which nobody but a person's retry continues: what was claimed for them is free
_GIVES_BACK: Final = frozenset({_S.REJECTED, _S.CANCELED, _S.EXPIRED, _S.POLICY_FAILED})

PROVISION: Final = Kind(
    kind=RunKind.PROVISION,
    purpose="builds what does not exist yet",
    desired=Desired.PRESENT,
    checks=OF_WHAT_EXISTS,
    means={
        status: Meaning(
            verified=(TenantStatus.READY, None),
            otherwise=shown,
            gives_back=status in _GIVES_BACK,
        )
        for status, shown in NOT_YET_VERIFIED.items()
    },
)
