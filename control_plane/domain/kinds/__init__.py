"""The kinds of runs: what each needs, and what it means for the owner of its deployment.

A new kind is a name and its moves in ``domain/run.py``, one module here, and its tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.kinds.destroy import DESTROY
from control_plane.domain.kinds.kind import Kind
from control_plane.domain.kinds.plan import PLAN
from control_plane.domain.kinds.provision import PROVISION
from control_plane.domain.kinds.refresh import REFRESH
from control_plane.domain.kinds.update import UPDATE
from control_plane.domain.run import RunKind

KINDS: Final[Mapping[RunKind, Kind]] = {
    each.kind: each for each in (PROVISION, UPDATE, REFRESH, PLAN, DESTROY)
}


def kind_between(applied: Desired | None, wanted: Desired) -> RunKind:
    """Return what a run is called that goes from the spec that was applied last to another.

    ``applied`` is None where none was. A refresh or a plan goes nowhere: it is asked for by name.
    """
    if wanted is Desired.ABSENT:
        return RunKind.DESTROY
    return RunKind.UPDATE if applied is Desired.PRESENT else RunKind.PROVISION
