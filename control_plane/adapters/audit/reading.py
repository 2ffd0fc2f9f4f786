"""Reading the logs: pages of events, checkpoints, proofs, tiles, and how fresh they are.

Every function runs in the caller's transaction, which says first whose trees it reads
(``limit_to``): without that, row level security shows nothing. Only what a signed checkpoint covers
is served as proof or tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Text, select, text, true, union
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.given import rows_given
from control_plane.adapters.audit.merkle import inclusion_proof
from control_plane.adapters.audit.tiles import TreeHashes, parse_tile_path
from control_plane.adapters.db.audit_grants import TREES_SETTING
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_served,
    audit_tree,
)
from control_plane.domain.audit import event_id
from control_plane.domain.canonical import NotCanonical, parse_canonical

ALL_TREES: Final = ("*",)
MAX_PAGE: Final = 1000
PENDING_LIMIT: Final = timedelta(seconds=60)
UNSIGNED_LIMIT: Final = timedelta(minutes=5)
_FRESHNESS: Final = text("""
    SELECT
        CASE WHEN set_config(:setting, '*', true) = '*' THEN
            (SELECT clock_timestamp() - min(enqueued_at) FROM audit_pending WHERE tenant_id NOT IN
                (SELECT tenant_id FROM audit_tree WHERE held IS NOT NULL)) END,
        CASE WHEN set_config(:setting, '*', true) = '*' THEN
            (SELECT clock_timestamp() - min(unsigned_since) FROM audit_tree
                WHERE unsigned_since IS NOT NULL AND held IS NULL) END,
        CASE WHEN set_config(:setting, '*', true) = '*' THEN
            (SELECT jsonb_object_agg(tenant_id, held) FROM audit_tree WHERE held IS NOT NULL) END
""")


@dataclass(frozen=True, kw_only=True)
class StoredCheckpoint:
    """A signed tree head as it is served: ``note`` byte for byte."""

    size: int
    note: str
    signed_at: datetime


@dataclass(frozen=True, kw_only=True)
class LoggedEvent:
    """One entry of a log. ``body`` is None for bytes that are not a canonical event.

    ``is_covered`` says whether the newest checkpoint covers it, so that it can be proved.
    """

    idx: int
    event_id: str
    leaf: bytes
    header: Mapping[str, Any]
    body: Mapping[str, Any] | None
    is_covered: bool


@dataclass(frozen=True, kw_only=True)
class InclusionProof:
    """That an entry is in the tree of a checkpoint, nearest hash first."""

    idx: int
    size: int
    leaf: bytes
    hashes: Sequence[bytes]
    checkpoint: StoredCheckpoint


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """How far the logs are behind; ages are zero when nothing waits.

    ``held`` are the trees that the signer leaves alone, each with the reason: they do not count.
    """

    oldest_pending: timedelta
    oldest_unsigned: timedelta
    held: Mapping[str, str]

    def problem(
        self, pending_limit: timedelta = PENDING_LIMIT, unsigned_limit: timedelta = UNSIGNED_LIMIT
    ) -> str | None:
        """Say why nothing may change now, or None: the back-pressure on all mutations."""
        if self.oldest_pending > pending_limit:
            return "events have been waiting too long for the sequencer"
        if self.oldest_unsigned > unsigned_limit:
            return "entries have been waiting too long for a signed checkpoint"
        return None


def limit_to(connection: Connection, trees: Sequence[str]) -> None:
    """Limit this transaction to ``trees``; ``ALL_TREES`` for all. Nothing outlives it."""
    connection.execute(
        text("SELECT set_config(:setting, :trees, true)"),
        {"setting": TREES_SETTING, "trees": ",".join(trees)},
    )


def all_trees(connection: Connection) -> list[str]:
    """Return every tree that has a row left anywhere; looks at every entry."""
    tables = (audit_tree, audit_key, audit_checkpoint, audit_entry)
    return sorted(connection.execute(union(*(select(t.c.tenant_id) for t in tables))).scalars())


def newest_checkpoint(
    connection: Connection, tree: str, *, at_least: int = 1
) -> StoredCheckpoint | None:
    """Return the newest checkpoint of a tree, if it has one of at least that size."""
    query = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note, audit_checkpoint.c.signed_at)
        .where(audit_checkpoint.c.tenant_id == tree, audit_checkpoint.c.size >= at_least)
        .order_by(audit_checkpoint.c.size.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredCheckpoint(**row._mapping)


def newest_checkpoints(connection: Connection, trees: Sequence[str]) -> dict[str, StoredCheckpoint]:
    """Return the newest checkpoint of each of some trees; none for a tree that has none."""
    given = rows_given([(tree,) for tree in trees], tree=Text)
    newest = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note, audit_checkpoint.c.signed_at)
        .where(audit_checkpoint.c.tenant_id == given.c.tree)
        .order_by(audit_checkpoint.c.size.desc())
        .limit(1)
        .lateral("newest")
    )
    rows = connection.execute(select(given.c.tree, newest).join_from(given, newest, true()))
    return {
        row.tree: StoredCheckpoint(size=row.size, note=row.note, signed_at=row.signed_at)
        for row in rows
    }


def mark_served(connection: Connection, tree: str, size: int) -> None:
    """Note that somebody is given the checkpoint of that size, who may keep it."""
    connection.execute(
        insert(audit_served).on_conflict_do_nothing(), {"tenant_id": tree, "size": size}
    )


def events_page(
    connection: Connection,
    tree: str,
    *,
    after: int | None = None,
    limit: int = 100,
    action: str | None = None,
) -> list[LoggedEvent]:
    """Return at most ``limit`` (1 to 1000) entries after index ``after``, oldest first.

    With ``action`` only events of that action are returned.
    """
    idx = audit_entry.c.idx
    query = select(idx, audit_entry.c.event_id, audit_entry.c.entry, audit_entry.c.leaf).where(
        audit_entry.c.tenant_id == tree
    )
    if after is not None:
        query = query.where(idx > after)
    if action is not None:
        query = query.where(audit_entry.c.action == action)
    rows = connection.execute(query.order_by(idx).limit(min(max(limit, 1), MAX_PAGE))).all()
    checkpoint = newest_checkpoint(connection, tree)
    covered = checkpoint.size if checkpoint else 0
    return [_logged(row, covered) for row in rows]


def inclusion(connection: Connection, tree: str, idx: int) -> InclusionProof | None:
    """Return the proof of an entry under the newest checkpoint; None when it covers it not."""
    checkpoint = newest_checkpoint(connection, tree, at_least=idx + 1)
    if checkpoint is None or idx < 0:
        return None
    hashes = TreeHashes(connection)
    return InclusionProof(
        idx=idx,
        size=checkpoint.size,
        leaf=hashes.hashes(tree, 0, idx, idx + 1)[0],
        hashes=inclusion_proof(idx, checkpoint.size, hashes.of(tree)),
        checkpoint=checkpoint,
    )


def tile(connection: Connection, tree: str, path: str) -> bytes | None:
    """Return the tile at a tlog-tiles path; None when there is none.

    Tiles: 32-byte hashes; entry bundles: big-endian 16-bit lengths and entries.
    """
    wanted = parse_tile_path(path)
    if wanted is None:
        return None
    if newest_checkpoint(connection, tree, at_least=wanted.needed_size()) is None:
        return None
    start, end = wanted.span()
    if wanted.level is not None:
        return b"".join(TreeHashes(connection).hashes(tree, wanted.level, start, end))
    query = select(audit_entry.c.entry).where(
        audit_entry.c.tenant_id == tree, audit_entry.c.idx.between(start, end - 1)
    )
    entries = [bytes(item) for item in connection.execute(query.order_by("idx")).scalars()]
    return b"".join(len(item).to_bytes(2, "big") + item for item in entries)


def freshness(connection: Connection) -> Freshness:
    """Return how far all logs are behind, by the clock of the database; outside of a transaction.

    Every mutation asks this, so it is one statement that the server has prepared: CASE has the
    setting made before it looks at a table, and with the statement the setting ends.
    """
    alone = connection.execution_options(isolation_level="AUTOCOMMIT")
    pending, unsigned, held = alone.execute(_FRESHNESS, {"setting": TREES_SETTING}).one()
    return Freshness(
        oldest_pending=pending or timedelta(0), oldest_unsigned=unsigned or timedelta(0),
        held=held or {},
    )  # fmt: skip


def _logged(row: Any, covered: int) -> LoggedEvent:
    line, _, body = bytes(row.entry).partition(b"\n")
    return LoggedEvent(
        idx=row.idx,
        event_id=event_id(row.event_id),
        leaf=bytes(row.leaf),
        header=_parsed(line) or {},
        body=_parsed(body),
        is_covered=row.idx < covered,
    )


def _parsed(content: bytes) -> Mapping[str, Any] | None:
    try:
        value = parse_canonical(content, closed_keys=True)
    except NotCanonical:
        return None
    return value if isinstance(value, dict) else None
