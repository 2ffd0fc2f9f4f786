"""Logs that the signer set aside, and what a person said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A finding of the signer: a log that it left alone since ``since``, and why.

    ``ended_at`` is when the log was in order again, ``released_at`` when a person said that the
    finding is settled.
    """

    id: int
    tree: str
    why: str
    since: datetime
    ended_at: datetime | None = None
    released_at: datetime | None = None
    released_by: str | None = None


class Quarantine(Protocol):
    """Findings of the signer on whole logs."""

    def found(self, tree: str | None, *, limit: int) -> Sequence[SetAside]:
        """Return those of a log, or of all, newest first; none of the open ones is left out."""

    def open(self, tree: str) -> SetAside | None:
        """Return the finding of a log that nobody has released, locked."""

    def release(self, finding: SetAside, *, by: str, at: datetime) -> SetAside:
        """Note that a person released it."""
