"""What intake needs of the outside: keys of providers, and its rows many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from control_plane.domain.delivery import Delivery


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What a delivery is about, without its content."""

    id: str
    envelope_id: str | None
    event: str | None
    tenant_id: str | None


class ProviderKeys(Protocol):
    """The keys that providers sign with, by the names that the intake rules have for them."""

    def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the texts of those that are installed.

        Raises ``SettingInvalid`` for a key that others can read.
        """


class Deliveries(Protocol):
    """Rows of deliveries, one statement each."""

    def keep(self, posted: Delivery) -> tuple[str, bool]:
        """Keep what was posted, or count it; returns its id, and whether it is new."""

    def posted_after(
        self, source: str, after: str, *, before: datetime, limit: int
    ) -> Sequence[Posted]:
        """Return what a source posted, by ids after ``after``, received before an instant.

        What nobody signed and what a look made are left out.
        """

    def erase_settled(self, before: datetime, *, limit: int) -> int:
        """Erase the content of what was settled before; returns of how many.

        What belongs to a tenant with a hold that stops dates stays.
        """

    def forget_unsigned(self, before: datetime, *, limit: int) -> int:
        """Delete what nobody signed and nobody sent since; returns how many."""

    def erase_of_tenant(self, tenant_id: str) -> int:
        """Erase the content of what a tenant was made of; returns of how many."""
