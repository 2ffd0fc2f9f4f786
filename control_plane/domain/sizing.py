"""Sizes of a dedicated Hub: a closed list, chosen by the number of seats or by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """Size of a dedicated Hub, the same in Mode B and Mode C. GiB and days."""

    engine_version: str = "16"  # AWS chooses the minor version and patches it
    instance_class: str = "db.t4g.medium"
    storage_gb: int = 50
    multi_az: bool = True
    backup_days: int = 14
    log_days: int = 365
    noncurrent_days: int = 90
    key_deletion_days: int = 30

    def keeping(self, storage_gb: int) -> Sizing:
        """Return the size with no less storage than what exists: RDS never makes a disk smaller."""
        return replace(self, storage_gb=max(self.storage_gb, storage_gb))


SMALL: Final = "small"
LARGE: Final = "large"
SIZES: Final[Mapping[str, Sizing]] = {  # smallest first
    "trial": Sizing(multi_az=False),
    SMALL: Sizing(),
    "medium": Sizing(instance_class="db.m6g.large", storage_gb=100),
    LARGE: Sizing(instance_class="db.r6g.large", storage_gb=200),
    "xlarge": Sizing(instance_class="db.r6g.2xlarge", storage_gb=500),
}
_LARGE_FROM: Final = 1001  # seats


def size_for(seats: int | None) -> str:
    """Return the size for a number of seats; unknown counts as small."""
    return LARGE if seats is not None and seats >= _LARGE_FROM else SMALL


def sizing_for(seats: int | None) -> Sizing:
    """Return what ``size_for`` names."""
    return SIZES[size_for(seats)]
