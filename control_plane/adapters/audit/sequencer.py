"""From pending rows to a signed tree, in transactions of two kinds.

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
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    Text,
    Uuid,
    delete,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.given import Bytes, rows_given
from control_plane.adapters.audit.merkle import Frontier, leaf_hash
from control_plane.adapters.audit.tiles import keep_subtrees
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
_MAX_KEY_BYTES: Final = 2048  # an index of PostgreSQL takes about 2,700 with the names beside it
SEQ_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")


class TreeMoved(Exception):
    """Another sequencer extended the tree first; the rows stay pending and are claimed again."""


class TreeDamaged(Exception):
    """Trees whose row and entries, or whose events, do not fit together; ``args`` names them."""


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


def joined(steps: Iterable[Growth]) -> list[Growth]:
    """Return how far each tree grew by several steps, given in their order."""
    found: dict[str, Growth] = {}
    for item in steps:
        first = found.get(item.tree)
        found[item.tree] = item if first is None else replace(item, old_size=first.old_size)
    return list(found.values())


class Sequencer:
    """Gives pending events their place. ``clock`` returns the time written into headers.

    A tree that somebody damaged is left alone until ``retry_damaged``, so that the others continue;
    its events stay pending, and its own changes wait (``reading.freshness``).
    """

    def __init__(
        self, engine: Engine, *, clock: Callable[[], datetime], batch: int = BATCH
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._batch = batch
        self._damaged: set[str] = set()

    @property
    def batch(self) -> int:
        """How many rows ``sequence`` moves at most."""
        return self._batch

    @property
    def damaged(self) -> frozenset[str]:
        """The trees that are left alone."""
        return frozenset(self._damaged)

    def retry_damaged(self) -> None:
        """Try the trees again that were left alone."""
        self._damaged.clear()

    def sequence(self) -> list[Growth]:
        """Move one batch of pending rows into their trees, in one transaction.

        Raises ``TreeMoved`` when another sequencer was faster, or ``TreeDamaged``, whose trees are
        left alone from then on: nothing was moved.
        """
        try:
            return self._sequence()
        except TreeDamaged as exc:
            self._damaged.update(exc.args)
            raise

    def _sequence(self) -> list[Growth]:
        with self._engine.begin() as connection:
            rows = _claim(connection, self._batch, self._damaged)
            if not rows:
                return []
            names = sorted({row.tree for row in rows})
            ends = ends_of(connection, names)
            _refuse_repeated(connection, rows)
            batch = _Batch(ends, Pointers(connection, rows), self._clock())
            growth = [
                batch.append(tree, list(group))
                for tree, group in groupby(rows, key=lambda row: row.tree)
            ]
            batch.store(connection)
            keep_subtrees(
                connection, [(item.tree, item.old_size, item.new_size) for item in growth]
            )
            return growth


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a tree ends, and the time in the header of its last entry."""

    frontier: Frontier
    seq_time: str


class _Batch:
    """What a tick appends to many trees, written with one statement per table."""

    def __init__(self, ends: Mapping[str, End], pointers: Pointers, now: datetime) -> None:
        self._ends = ends
        self._pointers = pointers
        self._now = rfc3339(now)
        self._entries: list[tuple[str, int, UUID, bytes, bytes]] = []
        self._moves: list[tuple[str, int, int, bytes]] = []

    def append(self, tree: str, rows: Sequence[Pending]) -> Growth:
        """Give the rows of a tree their places."""
        end = self._ends[tree]
        # a clock that was put back does not make the log go back
        time = max(self._now, end.seq_time)
        leaves: list[bytes] = []
        for idx, row in enumerate(rows, end.frontier.size):
            entry = header(idx, self._pointers.advance(row, idx), time) + b"\n" + row.body
            leaves.append(leaf_hash(entry))
            self._entries.append((tree, idx, row.event_id, entry, leaves[-1]))
        grown = end.frontier.extend(leaves)
        self._moves.append((tree, end.frontier.size, grown.size, grown.to_bytes()))
        return Growth(
            tree=tree, old_size=end.frontier.size, new_size=grown.size, last_leaf=leaves[-1]
        )

    def store(self, connection: Connection) -> None:
        """Write trees, entries and pointers. Raises ``TreeMoved``: then nothing may be kept.

        The trees move first, each only if nobody moved it since it was read: two sequencers cannot
        fork one.
        """
        given = rows_given(
            self._moves, tree=Text, old_size=BigInteger, size=BigInteger, frontier=Bytes
        )
        moved = connection.execute(
            update(audit_tree)
            .where(audit_tree.c.tenant_id == given.c.tree, audit_tree.c.size == given.c.old_size)
            .values(
                size=given.c.size,
                frontier=given.c.frontier,
                unsigned_since=func.coalesce(audit_tree.c.unsigned_since, func.clock_timestamp()),
            )
        )
        if moved.rowcount != len(self._moves):
            raise TreeMoved
        entries = rows_given(
            self._entries, tree=Text, idx=BigInteger, event=Uuid, entry=Bytes,
            leaf=Bytes,
        )  # fmt: skip
        names = ["tenant_id", "idx", "event_id", "entry", "leaf"]
        connection.execute(insert(audit_entry).from_select(names, select(entries)))
        self._pointers.store(connection)


def header(idx: int, prev: dict[str, int], time: str) -> bytes:
    """Return the header line of an entry, without its newline: at most 1 KiB."""
    return canonical_json({"idx": idx, "prev": prev, "seq_time": time}, closed_keys=True)


def pointer_keys(body: Any) -> dict[str, str]:
    """Return what an event points back by: its actor, approver and run, where it has them.

    What the database could not keep in an index is left out: events come from a role that may be
    hijacked, and one of them must not stop the logs of all tenants.
    """
    if not isinstance(body, dict):
        return {}
    found = {
        "actor": _member(body.get("actor"), "id"),
        "approver": _member(body.get("approval"), "approver"),
        "run": body.get("run"),
    }
    return {kind: value for kind, value in found.items() if _is_key(value)}


def _is_key(value: Any) -> bool:
    """Tell whether a value is a text that fits into an index."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        return len(value.encode()) <= _MAX_KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


class Pointers:
    """The newest entry of each actor, approver and run that a batch names, tree by tree."""

    def __init__(self, connection: Connection, rows: Sequence[Pending]) -> None:
        self._keys = {row.id: pointer_keys(parse_leniently(row.body)) for row in rows}
        self._newest: dict[tuple[str, str, str], int] = {}
        self._changed: set[tuple[str, str, str]] = set()
        wanted = sorted({(row.tree, *item) for row in rows for item in self._keys[row.id].items()})
        if wanted:
            given = rows_given(wanted, tree=Text, kind=Text, value=Text)
            query = select(audit_pointer).join_from(
                given,
                audit_pointer,
                (audit_pointer.c.tenant_id == given.c.tree)
                & (audit_pointer.c.kind == given.c.kind)
                & (audit_pointer.c.value == given.c.value),
            )
            for row in connection.execute(query):
                self._newest[row.tenant_id, row.kind, row.value] = row.idx

    def advance(self, row: Pending, idx: int) -> dict[str, int]:
        """Return what the entry of ``row`` points back to, and make it the newest."""
        prev = {}
        for kind, value in self._keys[row.id].items():
            key = (row.tree, kind, value)
            if key in self._newest:
                prev[kind] = self._newest[key]
            self._newest[key] = idx
            self._changed.add(key)
        return prev

    def store(self, connection: Connection) -> None:
        """Write the pointers that moved."""
        if not self._changed:
            return
        given = rows_given(
            [(*key, self._newest[key]) for key in sorted(self._changed)],
            tree=Text, kind=Text, value=Text, idx=BigInteger,
        )  # fmt: skip
        names = ["tenant_id", "kind", "value", "idx"]
        statement = insert(audit_pointer).from_select(names, select(given))
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=names[:3], set_={"idx": statement.excluded.idx}
            )
        )


def parse_leniently(body: bytes) -> Any:
    """Parse a body; one that is not JSON is logged as it is, and the verifier names it."""
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


def ends_of(connection: Connection, trees: Sequence[str]) -> dict[str, End]:
    """Return where the trees end, starting those that are new.

    Raises ``TreeDamaged`` naming all whose row and last entry do not fit together.
    """
    given = rows_given([(tree,) for tree in trees], tree=Text)
    start = select(given.c.tree, literal(0), literal(b"", LargeBinary))
    connection.execute(
        insert(audit_tree)
        .from_select(["tenant_id", "size", "frontier"], start)
        .on_conflict_do_nothing()
    )
    last = (
        select(
            audit_entry.c.idx,
            func.substring(audit_entry.c.entry, 1, MAX_HEADER_BYTES).label("line"),
        )
        .where(audit_entry.c.tenant_id == audit_tree.c.tenant_id)
        .order_by(audit_entry.c.idx.desc())
        .limit(1)
        .lateral("last")
    )
    query = (
        select(audit_tree.c.tenant_id, audit_tree.c.size, audit_tree.c.frontier, last)
        .select_from(audit_tree.outerjoin(last, true()))
        .where(audit_tree.c.tenant_id.in_(trees))
    )
    found: dict[str, End] = {}
    damaged = []
    for row in connection.execute(query):
        try:
            frontier = Frontier.from_bytes(row.size, bytes(row.frontier))
        except ValueError:
            damaged.append(row.tenant_id)
            continue
        if row.size != (0 if row.idx is None else row.idx + 1):
            damaged.append(row.tenant_id)
            continue
        found[row.tenant_id] = End(frontier=frontier, seq_time=_seq_time(row.line))
    if damaged:
        raise TreeDamaged(*sorted(damaged))
    return found


def _seq_time(line: bytes | None) -> str:
    """Return the time in a header line; '' when it holds none that this release wrote."""
    header_line = parse_leniently(bytes(line or b"").partition(b"\n")[0])
    found = _member(header_line, "seq_time")
    return found if isinstance(found, str) and SEQ_TIME.match(found) else ""


def _refuse_repeated(connection: Connection, rows: Sequence[Pending]) -> None:
    """Raise ``TreeDamaged`` for the trees into which an event is to go that is logged already."""
    given = rows_given([(row.event_id, row.tree) for row in rows], event=Uuid, tree=Text)
    query = select(given.c.tree).join_from(
        given, audit_entry, audit_entry.c.event_id == given.c.event
    )
    repeated = set(connection.execute(query).scalars())
    if repeated:
        raise TreeDamaged(*sorted(repeated))
