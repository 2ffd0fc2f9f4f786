"""The stores of tenants: what they hold, and copies of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from control_plane.domain.transfer import Copied, Kind, Place, Thing


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """What is there and is not copied, by what it is."""

    older_versions: int = 0  # of objects
    secrets: tuple[str, ...] = ()  # made beside those of the deployment


class TenantData(Protocol):
    """Data of tenants where it lies.

    Values of secrets and parameters stay in memory; their digests are keyed. Each raises
    ``Unavailable`` when a store does not answer, ``DataUnreadable`` when it refuses.
    """

    def things(self, place: Place, kind: Kind) -> Iterator[Thing]:
        """Return what a place holds of a kind; the names are the same in every place."""

    def copy(self, source: Place, target: Place, things: Sequence[Thing]) -> list[Copied]:
        """Copy things of one kind, and read what was written.

        What has arrived before, recorded or not, is not written a second time. A thing that is gone
        meanwhile is left out. Raises ``DataDiffers`` for one that cannot be read as it was
        written.
        """

    def describe(self, place: Place, things: Sequence[Thing]) -> list[Copied]:
        """Return things of one kind with their sizes and digests; nothing is copied.

        Anybody who has the same content comes to the same digests, with no key. A secret, and a
        parameter that is encrypted, has none: its value is not read. A thing that is gone meanwhile
        is left out.
        """

    def remove(self, place: Place, kind: Kind, names: Sequence[str]) -> None:
        """Remove what was copied to a place; a secret keeps its shell."""

    def left_behind(self, place: Place) -> LeftBehind:
        """Return what a place holds beside what ``things`` returns."""
