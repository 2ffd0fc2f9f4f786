"""What does the steps of each kind of saga."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.saga import SagaKind
from control_plane.workflows.handing_over import HANDOVER
from control_plane.workflows.mode_changing import REPLACEMENT, UPGRADE
from control_plane.workflows.removing import STEPS
from control_plane.workflows.saga_steps import Handler

HANDLERS: Final[Mapping[SagaKind, Mapping[str, Handler]]] = {
    SagaKind.REMOVAL: STEPS,
    SagaKind.MODE_UPGRADE: UPGRADE,
    SagaKind.MODE_REPLACEMENT: REPLACEMENT,
    SagaKind.MODE_HANDOVER: HANDOVER,
}
