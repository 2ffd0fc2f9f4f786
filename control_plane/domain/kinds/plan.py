"""Plan: what a change would do, asked of the engine before anybody asks for the change."""

from __future__ import annotations

from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.kind import Kind, Meaning
from control_plane.domain.run import PLAN_TRANSITIONS, RunKind
from control_plane.domain.tenant import TenantStatus, WaitingOn

PLAN: Final = Kind(
    kind=RunKind.PLAN,
    purpose="plans what a change would do, and ends",
    desired=Desired.PRESENT,
    looks=True,
    drafts=True,
    checks=(),
    means={  # it says nothing of its own: what was verified is ready
        status: Meaning(
            verified=(TenantStatus.READY, None), otherwise=(TenantStatus.FAILED, WaitingOn.OPS)
        )
        for status in PLAN_TRANSITIONS
    },
)
