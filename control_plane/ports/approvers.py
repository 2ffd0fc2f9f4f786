"""What a process knows of approvers' keys by itself, not from the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A key of the worker's own list: whose it is, and from when until when it counts."""

    actor: str
    fingerprint: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether the key counts now."""
        begun = self.valid_from is None or self.valid_from <= now
        return begun and (self.valid_until is None or now < self.valid_until)


class Approvers(Protocol):
    """Signatures of approvers, and the keys that this process trusts."""

    @property
    def host(self) -> str:
        """The host of the audit log, which every signed statement names."""

    def check(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether an Ed25519 signature of 64 bytes is a key's over a message."""

    def known(self) -> Sequence[KnownKey] | None:
        """Return the keys of the process's own list, None without one.

        Raises ``SettingInvalid`` for a list that cannot be read.
        """
