"""The root log: every signed head of every other tree is a leaf of it.

So one checkpoint, and one cosignature under it, stands for all trees: a tree that vanishes, or that
is put back to an earlier size, contradicts a leaf. Leaves are made of checkpoints that are
committed, in one transaction for many trees. Whatever dies before it leaves heads without a leaf,
which the next tick finds; a head has at most one leaf, since the id of the entry follows from it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Text,
    Uuid,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.cosigned import CosignedCheckpoint, newest_cosigned
from control_plane.adapters.audit.given import Bytes, rows_given
from control_plane.adapters.audit.merkle import inclusion_proof, leaf_hash
from control_plane.adapters.audit.note import NoteInvalid, open_checkpoint, tree_origin
from control_plane.adapters.audit.rootleaf import RootLeaf, leaf_id
from control_plane.adapters.audit.sequencer import (
    End,
    Growth,
    TreeMoved,
    ends_of,
    header,
)
from control_plane.adapters.audit.signing import CheckpointSigner, SigningRefused
from control_plane.adapters.audit.tiles import TreeHashes, keep_subtrees
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_root_leaf,
    audit_tree,
)
from control_plane.domain.audit import rfc3339
from control_plane.domain.deployment import ROOT

AT_ONCE: Final = 5000  # leaves that one transaction adds at most


@dataclass(frozen=True, kw_only=True)
class Rooted:
    """What a step added: how the root log grew, which heads got no leaf, whether more wait."""

    growth: Growth | None = None
    refused: Sequence[SigningRefused] = ()
    has_more: bool = False


class RootLog:
    """Appends heads that were signed. ``clock`` returns the time written into headers."""

    def __init__(
        self,
        engine: Engine,
        signer: CheckpointSigner,
        *,
        host: str,
        clock: Callable[[], datetime],
        at_once: int = AT_ONCE,
    ) -> None:
        self._engine = engine
        self._signer = signer
        self._host = host
        self._clock = clock
        self._at_once = at_once

    def append(
        self, trees: Sequence[str] | None = None, notes: Mapping[str, str] | None = None
    ) -> Rooted:
        """Append the heads of ``trees``, or of all, that have no leaf yet.

        ``notes`` are by tree what this process has just signed; any other head must bear its
        signature. Raises ``TreeMoved``, or ``TreeDamaged`` for a root log that does not fit its
        row: nothing was appended.
        """
        with self._engine.begin() as connection:
            waiting = _waiting(connection, trees, self._at_once)
            if not waiting:
                return Rooted()
            heads, refused = self._checked(waiting, notes or {})
            growth = _store(connection, heads, self._clock()) if heads else None
        return Rooted(
            growth=growth, refused=refused, has_more=len(waiting) == self._at_once and bool(heads)
        )

    def _checked(
        self, waiting: Sequence[Any], notes: Mapping[str, str]
    ) -> tuple[list[tuple[Any, bytes]], list[SigningRefused]]:
        """Return heads with their roots; of a tree with a false one, none after that."""
        heads: list[tuple[Any, bytes]] = []
        refused: dict[str, SigningRefused] = {}
        for row in waiting:
            origin = tree_origin(self._host, row.tree)
            if row.tree in refused:
                continue
            try:
                if notes.get(row.tree) == row.note:
                    root = base64.b64decode(row.note.split("\n", 3)[2])
                else:
                    root = self._root(row, origin)
            except NoteInvalid as exc:
                why = f"its checkpoint of size {row.size} is not ours: {exc}"
                refused[row.tree] = SigningRefused(origin, why)
                continue
            heads.append((row, root))
        return heads, list(refused.values())

    def _root(self, row: Any, origin: str) -> bytes:
        head = open_checkpoint(row.note, self._signer.keys(origin))
        if (head.origin, head.size) != (origin, row.size):
            raise NoteInvalid("it is that of another head")
        return head.root


def _waiting(connection: Connection, trees: Sequence[str] | None, limit: int) -> Sequence[Any]:
    """Return heads above the newest leaf of their tree, in order, with that leaf's index."""
    named = (
        select(audit_tree.c.tenant_id.label("tree"))
        .where(audit_tree.c.tenant_id != ROOT)
        .subquery()
        if trees is None
        else rows_given([(tree,) for tree in trees if tree != ROOT], tree=Text)
    )
    newest = (
        select(audit_root_leaf.c.size, audit_root_leaf.c.idx)
        .where(audit_root_leaf.c.tenant_id == named.c.tree)
        .order_by(audit_root_leaf.c.size.desc())
        .limit(1)
        .lateral("newest")
    )
    # each tree's own range of the index, instead of one merge of both tables
    heads = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note)
        .where(
            audit_checkpoint.c.tenant_id == named.c.tree,
            audit_checkpoint.c.size > func.coalesce(newest.c.size, 0),
        )
        .order_by(audit_checkpoint.c.size)
        .limit(limit)
        .lateral("heads")
    )
    query = (
        select(named.c.tree, newest.c.idx.label("prev"), heads.c.size, heads.c.note)
        .select_from(named.outerjoin(newest, true()).join(heads, true()))
        .order_by(named.c.tree, heads.c.size)
        .limit(limit)
    )
    return connection.execute(query).all()


def _store(connection: Connection, heads: Sequence[tuple[Any, bytes]], now: datetime) -> Growth:
    end: End = ends_of(connection, [ROOT])[ROOT]
    time = max(rfc3339(now), end.seq_time)
    newest: dict[str, int] = {}
    entries: list[tuple[str, int, Any, bytes, bytes]] = []
    places: list[tuple[str, int, int]] = []
    for idx, (row, root) in enumerate(heads, end.frontier.size):
        leaf = RootLeaf(
            idx=idx, tree=row.tree, size=row.size, root=root, prev=newest.get(row.tree, row.prev)
        )
        newest[row.tree] = idx
        entry = header(idx, {}, time) + b"\n" + leaf.body()
        entries.append((ROOT, idx, leaf_id(row.tree, row.size), entry, leaf_hash(entry)))
        places.append((row.tree, row.size, idx))
    grown = end.frontier.extend(item[4] for item in entries)
    moved = connection.execute(
        update(audit_tree)
        .where(audit_tree.c.tenant_id == ROOT, audit_tree.c.size == end.frontier.size)
        .values(
            size=grown.size,
            frontier=grown.to_bytes(),
            unsigned_since=func.coalesce(audit_tree.c.unsigned_since, func.clock_timestamp()),
        )
    )
    if moved.rowcount != 1:
        raise TreeMoved
    given = rows_given(entries, tree=Text, idx=BigInteger, event=Uuid, entry=Bytes, leaf=Bytes)
    names = ["tenant_id", "idx", "event_id", "entry", "leaf"]
    connection.execute(insert(audit_entry).from_select(names, select(given)))
    placed = rows_given(places, tree=Text, size=BigInteger, idx=BigInteger)
    connection.execute(
        insert(audit_root_leaf).from_select(["tenant_id", "size", "idx"], select(placed))
    )
    keep_subtrees(connection, [(ROOT, end.frontier.size, grown.size)])
    return Growth(
        tree=ROOT, old_size=end.frontier.size, new_size=grown.size, last_leaf=entries[-1][4]
    )


# --- what one tree is given of it ---------------------------------------------------------------
def evidence(connection: Connection, tree: str) -> dict[str, Any] | None:
    """Return the proof that a head of ``tree`` is in the root log, as plain JSON; None without one.

    ``checkpoint`` is the newest checkpoint of the root log that a quorum cosigned, with its
    cosignatures, else the newest with any, else the newest; ``idx``, ``entry`` (text, byte for
    byte), ``proof`` (base64, nearest to the leaf first) and ``size`` are of the newest leaf of the
    tree that it covers. The transaction must see the tree and the root log
    (``reading.limit_to(connection, [tree, ROOT])``).
    """
    cosigned = newest_cosigned(connection)
    found = None if cosigned is None else proved_leaf(connection, tree, cosigned)
    if cosigned is None or found is None:
        return None
    idx, entry, proof = found
    return {
        "checkpoint": cosigned.served(),
        "size": cosigned.size,
        "idx": idx,
        "entry": entry.decode(),
        "proof": [base64.b64encode(item).decode() for item in proof],
    }


def proved_leaf(
    connection: Connection, tree: str, checkpoint: CosignedCheckpoint
) -> tuple[int, bytes, list[bytes]] | None:
    """Return index, entry and proof of the newest leaf of a tree under a root checkpoint."""
    query = (
        select(audit_root_leaf.c.idx, audit_entry.c.entry)
        .join_from(
            audit_root_leaf,
            audit_entry,
            (audit_entry.c.tenant_id == literal(ROOT))
            & (audit_entry.c.idx == audit_root_leaf.c.idx),
        )
        .where(audit_root_leaf.c.tenant_id == tree, audit_root_leaf.c.idx < checkpoint.size)
        .order_by(audit_root_leaf.c.size.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    proof = inclusion_proof(row.idx, checkpoint.size, TreeHashes(connection).of(ROOT))
    return row.idx, bytes(row.entry), proof
