"""Refresh: a look at what exists. It changes nothing, so there is nothing to approve."""

from __future__ import annotations

from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.kind import OF_WHAT_EXISTS, Kind, Meaning
from control_plane.domain.run import LOOK_TRANSITIONS, RunKind
from control_plane.domain.tenant import TenantStatus, WaitingOn

REFRESH: Final = Kind(
    kind=RunKind.REFRESH,
    purpose="compares what exists with what was applied",
    desired=Desired.PRESENT,
    looks=True,
    checks=OF_WHAT_EXISTS,
    means={  # a look says nothing of its own: what was verified is ready
        status: Meaning(
            verified=(TenantStatus.READY, None), otherwise=(TenantStatus.FAILED, WaitingOn.OPS)
        )
        for status in LOOK_TRANSITIONS
    },
)
