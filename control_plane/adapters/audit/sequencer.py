"""From pending rows to a signed tree, in two transactions.

First: claim rows, give each the next index of its tree, extend the frontier, commit. Second: sign
the new heads (journaled before signed, stored before served) and commit. Whatever dies between any
two steps leaves a log that verifies and that the next tick takes up:

- before the first commit, the rows are pending as before;
- after it, the tree is longer than its newest checkpoint, and is signed at the next tick;
- after the journal, the same head or one that extends it is signed again, Ed25519 giving the same
  signature for the same head.

Rows are claimed and deleted, never polled by "id above the last": a row that commits late has a
smaller id than rows that were read before it, and would be lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from control_plane.adapters.audit.merkle import Frontier, leaf_hash
from control_plane.adapters.audit.tiles import HashesMissing, keep_subtrees
from control_plane.adapters.db.audit_tables import (
    audit_entry,
    audit_pending,
    audit_pointer,
    audit_tree,
)
from control_plane.domain.audit import rfc3339
from control_plane.domain.canonical import canonical_json

BATCH: Final = 2000
MAX_HEADER_BYTES: Final = 1024


class TreeMoved(Exception):
    """Another sequencer extended the tree first; the rows stay pending and are claimed again."""


class TreeDamaged(Exception):
    """A tree's row and its entries do not fit together; ``args[0]`` names the tree."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A claimed row."""

    id: int
    event_id: UUID
    tree: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A tree that grew by a tick: its new size, and the leaf it now ends with."""

    tree: str
    old_size: int
    new_size: int
    last_leaf: bytes


class Sequencer:
    """Gives pending events their place. ``clock`` returns the time written into headers.

    A tree that somebody damaged is left alone until ``retry_damaged``, so that the others go on;
    its events stay pending, which stops all changes after a minute (``reading.freshness``).
    """

    def __init__(
        self, engine: Engine, *, clock: Callable[[], datetime], batch: int = BATCH
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._batch = batch
        self._damaged: set[str] = set()

    @property
    def damaged(self) -> frozenset[str]:
        """The trees that are left alone."""
        return frozenset(self._damaged)

    def retry_damaged(self) -> None:
        """Try the trees again that were left alone."""
        self._damaged.clear()

    def sequence(self) -> list[Growth]:
        """Move one batch of pending rows into their trees, in one transaction.

        Raises ``TreeMoved`` when another sequencer was faster, or ``TreeDamaged``: nothing was
        moved then.
        """
        try:
            return self._sequence()
        except TreeDamaged as exc:
            self._damaged.add(str(exc))
            raise

    def _sequence(self) -> list[Growth]:
        with self._engine.begin() as connection:
            rows = _claim(connection, self._batch, self._damaged)
            if not rows:
                return []
            frontiers = _frontiers(connection, sorted({row.tree for row in rows}))
            time = rfc3339(self._clock())
            return [
                self._append(connection, tree, frontiers[tree], list(group), time)
                for tree, group in groupby(rows, key=lambda row: row.tree)
            ]

    def _append(
        self,
        connection: Connection,
        tree: str,
        frontier: Frontier,
        rows: Sequence[Pending],
        time: str,
    ) -> Growth:
        pointers = Pointers(connection, tree, rows)
        entries: list[dict[str, object]] = []
        leaves: list[bytes] = []
        for idx, row in enumerate(rows, frontier.size):
            entry = header(idx, pointers.advance(row, idx), time) + b"\n" + row.body
            leaves.append(leaf_hash(entry))
            entries.append(
                {
                    "tenant_id": tree,
                    "idx": idx,
                    "event_id": row.event_id,
                    "entry": entry,
                    "leaf": leaves[-1],
                }
            )
        grown = frontier.extend(leaves)
        _advance_tree(connection, tree, frontier, grown)
        try:
            connection.execute(audit_entry.insert(), entries)
            keep_subtrees(connection, tree, frontier.size, grown.size)
        except (IntegrityError, HashesMissing) as exc:
            raise TreeDamaged(tree) from exc
        pointers.store()
        return Growth(tree=tree, old_size=frontier.size, new_size=grown.size, last_leaf=leaves[-1])


def header(idx: int, prev: dict[str, int], time: str) -> bytes:
    """Return the header line of an entry, without its newline: at most 1 KiB."""
    return canonical_json({"idx": idx, "prev": prev, "seq_time": time}, closed_keys=True)


def pointer_keys(body: Any) -> dict[str, str]:
    """Return what an event points back by: its actor, approver and run, where it has them."""
    if not isinstance(body, dict):
        return {}
    found = {
        "actor": _member(body.get("actor"), "id"),
        "approver": _member(body.get("approval"), "approver"),
        "run": body.get("run"),
    }
    return {kind: value for kind, value in found.items() if isinstance(value, str)}


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


class Pointers:
    """The newest entry of each actor, approver and run that a batch names."""

    def __init__(self, connection: Connection, tree: str, rows: Sequence[Pending]) -> None:
        self._connection = connection
        self._tree = tree
        self._keys = {row.id: pointer_keys(parse_leniently(row.body)) for row in rows}
        self._newest: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, str]] = set()
        wanted = sorted({item for keys in self._keys.values() for item in keys.items()})
        if wanted:
            query = select(audit_pointer.c.kind, audit_pointer.c.value, audit_pointer.c.idx).where(
                audit_pointer.c.tenant_id == tree,
                tuple_(audit_pointer.c.kind, audit_pointer.c.value).in_(wanted),
            )
            for kind, value, idx in connection.execute(query):
                self._newest[kind, value] = idx

    def advance(self, row: Pending, idx: int) -> dict[str, int]:
        """Return what the entry of ``row`` points back to, and make it the newest."""
        keys = self._keys[row.id]
        prev = {
            kind: self._newest[kind, value]
            for kind, value in keys.items()
            if (kind, value) in self._newest
        }
        for item in keys.items():
            self._newest[item] = idx
            self._changed.add(item)
        return prev

    def store(self) -> None:
        """Write the pointers that moved."""
        if not self._changed:
            return
        statement = insert(audit_pointer)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "kind", "value"],
                set_={"idx": statement.excluded.idx},
            ),
            [
                {"tenant_id": self._tree, "kind": kind, "value": value, "idx": idx}
                for kind, value in sorted(self._changed)
                for idx in [self._newest[kind, value]]
            ],
        )


def parse_leniently(body: bytes) -> Any:
    """Parse a body; one that is no JSON is logged as it is, and the verifier names it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _claim(connection: Connection, limit: int, without: set[str]) -> list[Pending]:
    """Take rows out of the queue, by tree and then in the order they were written."""
    free = (
        select(audit_pending.c.id)
        .where(audit_pending.c.tenant_id.not_in(sorted(without)))
        .order_by(audit_pending.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        delete(audit_pending)
        .where(audit_pending.c.id.in_(free))
        .returning(
            audit_pending.c.id,
            audit_pending.c.event_id,
            audit_pending.c.tenant_id,
            audit_pending.c.body,
        )
    )
    rows = [
        Pending(id=row.id, event_id=row.event_id, tree=row.tenant_id, body=bytes(row.body))
        for row in connection.execute(statement)
    ]
    return sorted(rows, key=lambda row: (row.tree, row.id))


def _frontiers(connection: Connection, trees: Sequence[str]) -> dict[str, Frontier]:
    """Return where the trees end, starting those that are new."""
    connection.execute(
        insert(audit_tree).on_conflict_do_nothing(),
        [{"tenant_id": tree, "size": 0, "frontier": b""} for tree in trees],
    )
    query = select(audit_tree.c.tenant_id, audit_tree.c.size, audit_tree.c.frontier).where(
        audit_tree.c.tenant_id.in_(trees)
    )
    found: dict[str, Frontier] = {}
    for row in connection.execute(query):
        try:
            found[row.tenant_id] = Frontier.from_bytes(row.size, bytes(row.frontier))
        except ValueError as exc:
            raise TreeDamaged(row.tenant_id) from exc
    return found


def _advance_tree(connection: Connection, tree: str, old: Frontier, new: Frontier) -> None:
    """Move a tree's end, if nobody moved it since it was read: two sequencers cannot fork."""
    moved = connection.execute(
        update(audit_tree)
        .where(audit_tree.c.tenant_id == tree, audit_tree.c.size == old.size)
        .values(
            size=new.size,
            frontier=new.to_bytes(),
            unsigned_since=func.coalesce(audit_tree.c.unsigned_since, func.clock_timestamp()),
        )
    )
    if moved.rowcount != 1:
        raise TreeMoved(tree)
