"""Evidence: what a verification found, bound to the state that it checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from control_plane.domain.engine import Check


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The named checks of one look at a deployment; never changed.

    A deployment is ready while its newest evidence held (``ok``) and its state is still the one
    with ``state_digest``.
    """

    id: str
    deployment_id: str
    run_id: str
    call_id: str
    spec_number: int
    state_digest: str | None
    ok: bool
    checks: tuple[Check, ...]
    looked_at: datetime
