"""Personal values of the log: read by a grant, found, erased. The database decides on each.

No role may read or change ``audit_disclosure``. Its functions (migration 0033) do, for what a row
of ``disclosure_grant`` or ``erasure`` allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from control_plane.adapters.db.faults import translated
from control_plane.domain.audit import event_id
from control_plane.domain.disclosure import OpenedValue, ValueKey

_OPENED: Final = text("SELECT * FROM tenantplane_disclosed(:grant, :now)")
_GRANTED: Final = text("SELECT * FROM tenantplane_granted(:tree, :grant)")
_OF_SUBJECT: Final = text("SELECT * FROM tenantplane_values_of(:subject, :tree)")
_STANDING: Final = text("SELECT * FROM tenantplane_values_at(:tree, :wanted)").bindparams(
    bindparam("wanted", type_=JSONB)
)
_ERASE: Final = text("SELECT tenantplane_erase(:erasure)")


class SqlDisclosures:
    """The port ``Disclosures`` on one connection of the application."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def opened(self, grant_id: str, now: datetime) -> Sequence[OpenedValue]:
        """Return what a grant shows at ``now``. Raises ``GrantNotValid``."""
        with translated():
            rows = self._connection.execute(_OPENED, {"grant": grant_id, "now": now}).all()
        return [_opened(row) for row in rows]

    def of_subject(self, subject: str, tree: str | None) -> Sequence[ValueKey]:
        """Return where values are that are ``subject`` or name it, and those beside them."""
        # as canonical JSON has it between its quotes
        spelled = json.dumps(subject, ensure_ascii=False)[1:-1]
        with translated():
            rows = self._connection.execute(_OF_SUBJECT, {"subject": spelled, "tree": tree}).all()
        return [_key(row) for row in rows]

    def standing(self, keys: Iterable[ValueKey]) -> Sequence[ValueKey]:
        """Return those that are there and not erased."""
        found: list[ValueKey] = []
        for tree, group in groupby(sorted(keys, key=_tree), key=_tree):
            wanted = [[key.event, key.path] for key in group]
            with translated():
                rows = self._connection.execute(_STANDING, {"tree": tree, "wanted": wanted}).all()
            found += map(_key, rows)
        return found

    def erase(self, erasure_id: str) -> int:
        """Erase what a confirmed erasure names, with its salts; returns how many values."""
        with translated():
            return int(self._connection.execute(_ERASE, {"erasure": erasure_id}).scalar_one())


def granted_disclosures(connection: Connection, tree: str, grant_id: str) -> list[dict[str, Any]]:
    """Return the values that a grant lets an export of one log hold, in the order of the log.

    Each is {idx, event_id, path, value, salt, erased_at, erasure_event}. ``value`` is a text of
    canonical JSON, the bytes that were committed to, and ``salt`` hexadecimal; both are None of a
    value that was erased, and the last two of one that was not. ``connection`` is of the auditor's
    role. Raises ``GrantNotValid``, also by the clock of the database.
    """
    with translated():
        rows = connection.execute(_GRANTED, {"tree": tree, "grant": grant_id}).all()
    return [
        {
            "idx": value.idx,
            "event_id": value.event_id,
            "path": value.path,
            "value": value.value,
            "salt": value.salt.hex() if value.salt is not None else None,
            "erased_at": value.erased_at.isoformat() if value.erased_at else None,
            "erasure_event": value.erasure_event,
        }
        for value in map(_opened, rows)
    ]


def _opened(row: Row[Any]) -> OpenedValue:
    return OpenedValue(
        idx=row.idx,
        event_id=event_id(row.event_id),
        path=row.path,
        value=row.value,
        salt=bytes(row.salt) if row.salt is not None else None,
        erased_at=row.erased_at,
        erasure_event=event_id(row.erasure_event) if row.erasure_event else None,
    )


def _key(row: Row[Any]) -> ValueKey:
    return ValueKey(tree=row.tenant_id, event=str(row.event_id), path=row.path)


def _tree(key: ValueKey) -> str:
    return key.tree
