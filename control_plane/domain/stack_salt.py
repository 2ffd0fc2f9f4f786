"""The random part of a stack's key: kept in its row alone, so that the key can be destroyed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class StackSalt:
    """What the key of a stack's state is made from, beside the master secret.

    ``id`` is that of the deployment, ``salt`` 32 random bytes in base64url, None once it was
    erased: then nobody can make the key again. ``is_late``: the stack was written before it had
    one, under a key that follows from the master secret.
    """

    id: str
    salt: str | None = field(repr=False)
    is_late: bool
    made_at: datetime
    erased_at: datetime | None = None
    version: int = 1

    def erased(self, now: datetime) -> StackSalt:
        """Return it without its value."""
        return replace(self, salt=None, erased_at=now, version=self.version + 1)
