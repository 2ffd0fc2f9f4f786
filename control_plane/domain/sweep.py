"""A sweep: a look at everything that was applied, asked for at once and spread over minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

LONGEST_SPREAD_MINUTES: Final = 24 * 60


class SweepOutcome(StrEnum):
    """What became of a sweep's look at one deployment."""

    AGREES = "agrees"  # everything is as it was applied
    DIFFERS = "differs"  # findings are open
    NOT_LOOKED_AT = "not_looked_at"  # the look failed: nobody knows
    GAVE_WAY = "gave_way"  # to a run that changes something, or it was canceled
    GONE = "gone"  # nothing is there any more to look at


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One sweep; its looks come within ``minutes``."""

    id: str
    requested_by: str
    requested_at: datetime
    minutes: int


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a sweep is: deployments by outcome, and how many wait for their look."""

    outcomes: Mapping[SweepOutcome, int] = field(default_factory=dict)
    waiting: int = 0

    @property
    def deployments(self) -> int:
        """How many the sweep is about."""
        return sum(self.outcomes.values()) + self.waiting
