"""The kinds of sagas: what each takes, step by step.

A new kind is a name in ``domain/saga.py``, one module here, what does its steps
(``workflows/saga_steps.py``), a migration for its name, and its tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.saga import SagaKind
from control_plane.domain.sagas.handover import MODE_HANDOVER
from control_plane.domain.sagas.mode_change import MODE_REPLACEMENT, MODE_UPGRADE
from control_plane.domain.sagas.removal import REMOVAL
from control_plane.domain.sagas.step import SagaSpec

SAGAS: Final[Mapping[SagaKind, SagaSpec]] = {
    each.kind: each for each in (REMOVAL, MODE_UPGRADE, MODE_REPLACEMENT, MODE_HANDOVER)
}
