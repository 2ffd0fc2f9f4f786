"""Questions and changes about many looks at once, one statement each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from control_plane.domain.residence import Residence
from control_plane.domain.sweep import SweepOutcome, SweepProgress


class Looks(Protocol):
    """What a sweep asks for, how far it is, and which looks are kept."""

    def bring_forward(self, sweep_id: str, now: datetime, spread: timedelta) -> int:
        """Let every deployment that was applied be looked at within ``spread``; how many.

        Each becomes an item of the sweep. A look that is due earlier stays so.
        """

    def settle_item(self, deployment_id: str, outcome: SweepOutcome) -> int:
        """Say what became of a deployment's look in the sweeps that wait for it; of how many."""

    def is_swept(self, deployment_id: str) -> bool:
        """Tell whether a sweep waits for a look at a deployment."""

    def progress(self, sweep_ids: Sequence[str]) -> Mapping[str, SweepProgress]:
        """Return how far some sweeps are."""

    def forget_sweeps(self, before: datetime) -> int:
        """Delete the sweeps that were requested before; how many."""

    def forget_looks(self, deployment_id: str, *, keep: int) -> int:
        """Delete looks at a deployment that found nothing, but the newest ``keep``; how many.

        What a finding, a residence or another run refers to is kept.
        """

    def newest_residence(self, deployment_id: str) -> Residence | None:
        """Return the newest evidence of where a deployment is."""
