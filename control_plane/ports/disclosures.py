"""Personal values of the log, as far as a grant or a confirmed erasure goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from control_plane.domain.disclosure import OpenedValue, ValueKey


class Disclosures(Protocol):
    """Values and salts beside the log. No method returns a value without a grant in its row."""

    def opened(self, grant_id: str, now: datetime) -> Sequence[OpenedValue]:
        """Return what a grant shows at ``now``. Raises ``GrantNotValid``."""

    def of_subject(self, subject: str, tree: str | None) -> Sequence[ValueKey]:
        """Return where values are that are ``subject`` or name it, and those beside them.

        Of one log, or of all for None; erased ones are left out.
        """

    def standing(self, keys: Iterable[ValueKey]) -> Sequence[ValueKey]:
        """Return those that are there and not erased."""

    def erase(self, erasure_id: str) -> int:
        """Erase what a confirmed erasure names, with its salts; returns how many values.

        Raises ``Conflict``, also at the commit when the events of the erasure are not recorded.
        """


class PersonalRows(Protocol):
    """What people wrote into rows that nothing needs any more."""

    def erase(self, now: datetime, tenant_id: str | None = None) -> int:
        """Erase it from rows of a removed tenant, or of all of them; returns of how many rows.

        Not while a legal or compliance hold stands, and of what is not over yet at a later call.
        """
