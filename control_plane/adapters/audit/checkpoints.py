"""Signing the heads of trees that grew, and reading back what was written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    Text,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.given import rows_given, texts_given
from control_plane.adapters.audit.merkle import (
    Frontier,
    RangeHash,
    consistency_proof,
    leaf_hash,
)
from control_plane.adapters.audit.note import (
    Checkpoint,
    tree_origin,
)
from control_plane.adapters.audit.sequencer import Growth
from control_plane.adapters.audit.signing import CheckpointSigner, SigningRefused, SigningRequest
from control_plane.adapters.audit.tiles import HashesMissing, TreeHashes, tiles_of_proofs
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_served,
    audit_tree,
)

THINNED_AT_ONCE: Final = 5000
THINNED_AFTER: Final = timedelta(days=1)  # as the rights in audit_grants.py say too
SERVED_FOR: Final = timedelta(days=90)  # likewise


class ReadBackFailed(Exception):
    """What was written is not there when it is read through a new connection."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The outcome of a signing step: notes by tree, and what was refused."""

    notes: Mapping[str, str]
    refused: Sequence[SigningRefused]


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A tree that grew beyond its newest checkpoint, which is None when it has none."""

    tree: str
    frontier: Frontier
    newest_size: int | None
    newest_note: str | None


class CheckpointPublisher:
    """Puts a signed checkpoint on every tree that has none of its size.

    ``engine`` has a pool; ``fresh`` opens a new connection each time, for the read-back: a writer
    that looks only through its own handle cannot see that its target is gone.
    """

    def __init__(
        self, engine: Engine, fresh: Engine, signer: CheckpointSigner, *, host: str
    ) -> None:
        self._engine = engine
        self._fresh = fresh
        self._signer = signer
        self._host = host
        self._with_key: set[str] = set()  # trees whose row for our key exists

    def sign(self, trees: Sequence[str] | None = None) -> Signed:
        """Sign the heads of ``trees``, or of all that wait for a checkpoint.

        The checkpoints are committed when this returns; only then may they be served.
        """
        # one snapshot: a head and the newest checkpoint read at two times may contradict each other
        snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.begin() as connection:
            requests, refused = self._requests(connection, _waiting(connection, trees))
        notes, more = self._signer.sign(list(requests.values()))
        signed = {
            tree: notes[request.head.origin]
            for tree, request in requests.items()
            if request.head.origin in notes
        }
        refused += more
        if signed:
            with self._engine.begin() as connection:
                self._store(connection, {tree: requests[tree].head for tree in signed}, signed)
        return Signed(notes=signed, refused=refused)

    def thin(self, limit: int = THINNED_AT_ONCE) -> int:
        """Remove checkpoints that nobody was given lately, but the newest of each hour and tree.

        The database lets only those go that are a day old, of those that somebody was given 90
        days, and no more than ``limit`` at a time; returns how many went.
        """
        self._forget_served(limit)
        later = audit_checkpoint.alias("later")
        same_hour = func.date_trunc("hour", later.c.signed_at) == func.date_trunc(
            "hour", audit_checkpoint.c.signed_at
        )
        is_newest = ~exists().where(
            later.c.tenant_id == audit_checkpoint.c.tenant_id,
            later.c.size > audit_checkpoint.c.size,
            # one that a quorum has seen goes only for another one
            or_(later.c.quorum_at.is_not(None), audit_checkpoint.c.quorum_at.is_(None)),
            same_hour,
        )
        is_served = exists().where(
            audit_served.c.tenant_id == audit_checkpoint.c.tenant_id,
            audit_served.c.size == audit_checkpoint.c.size,
        )
        old = (
            select(audit_checkpoint.c.tenant_id, audit_checkpoint.c.size)
            .where(
                audit_checkpoint.c.signed_at < func.clock_timestamp() - THINNED_AFTER,
                ~is_newest,
                ~is_served,
            )
            .order_by(audit_checkpoint.c.signed_at)
            .limit(limit)
            .subquery()
        )
        with self._engine.begin() as connection:
            removed = connection.execute(
                delete(audit_checkpoint).where(
                    audit_checkpoint.c.tenant_id == old.c.tenant_id,
                    audit_checkpoint.c.size == old.c.size,
                )
            )
        return removed.rowcount

    def _forget_served(self, limit: int) -> None:
        """Remove the marks of old checkpoints that somebody was given."""
        same = (
            audit_checkpoint.c.tenant_id == audit_served.c.tenant_id,
            audit_checkpoint.c.size == audit_served.c.size,
        )
        old = (
            select(audit_served.c.tenant_id, audit_served.c.size)
            .join(audit_checkpoint, and_(*same))
            .where(audit_checkpoint.c.signed_at < func.clock_timestamp() - SERVED_FOR)
            .limit(limit)
            .subquery()
        )
        with self._engine.begin() as connection:
            connection.execute(
                delete(audit_served).where(
                    audit_served.c.tenant_id == old.c.tenant_id, audit_served.c.size == old.c.size
                )
            )

    def hold(self, reasons: Mapping[str, str], *, release_others: bool) -> None:
        """Mark trees as held, with the reason: their own changes wait, those of others continue."""
        if not reasons and not release_others:
            return
        given = rows_given(list(reasons.items()), tree=Text, why=Text)
        start = select(given.c.tree, literal(0), literal(b"", LargeBinary), given.c.why)
        statement = insert(audit_tree).from_select(["tenant_id", "size", "frontier", "held"], start)
        with self._engine.begin() as connection:
            if release_others:
                connection.execute(
                    update(audit_tree)
                    .where(
                        audit_tree.c.held.is_not(None),
                        audit_tree.c.tenant_id.not_in(texts_given(reasons)),
                    )
                    .values(held=None)
                )
            if reasons:
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["tenant_id"], set_={"held": statement.excluded.held}
                    )
                )

    def read_back(self, growth: Sequence[Growth], notes: Mapping[str, str]) -> None:
        """Read the last entries and checkpoints of a tick again. Raises ``ReadBackFailed``."""
        if not growth and not notes:
            return
        with self._fresh.connect() as connection:
            ends = rows_given(
                [(item.tree, item.new_size - 1) for item in growth], tree=Text, idx=BigInteger
            )
            query = select(audit_entry.c.tenant_id, audit_entry.c.entry).join_from(
                ends,
                audit_entry,
                (audit_entry.c.tenant_id == ends.c.tree) & (audit_entry.c.idx == ends.c.idx),
            )
            found = {row.tenant_id: bytes(row.entry) for row in connection.execute(query)}
            for item in growth:
                if leaf_hash(found.get(item.tree, b"")) != item.last_leaf:
                    raise ReadBackFailed(f"{item.tree}: entry {item.new_size - 1}")
            sizes = {tree: int(note.split("\n", 2)[1]) for tree, note in notes.items()}
            given = rows_given(list(sizes.items()), tree=Text, size=BigInteger)
            query_notes = select(audit_checkpoint.c.tenant_id, audit_checkpoint.c.note).join_from(
                given,
                audit_checkpoint,
                (audit_checkpoint.c.tenant_id == given.c.tree)
                & (audit_checkpoint.c.size == given.c.size),
            )
            stored = {row.tenant_id: row.note for row in connection.execute(query_notes)}
        for tree, note in notes.items():
            if stored.get(tree) != note:
                raise ReadBackFailed(f"{tree}: the checkpoint of size {sizes[tree]}")

    def _requests(
        self, connection: Connection, waiting: Sequence[_Waiting]
    ) -> tuple[dict[str, SigningRequest], list[SigningRefused]]:
        """Build the requests that the signer's rule asks for, and what is refused before."""
        in_use = _keys_in_use(connection, [item.tree for item in waiting])
        hashes = TreeHashes(connection, [
            tile for item in waiting for tile in tiles_of_proofs(item.tree, self._sizes(item))
        ])  # fmt: skip
        requests: dict[str, SigningRequest] = {}
        refused: list[SigningRefused] = []
        for item in waiting:
            try:
                self._check_key(item, in_use.get(item.tree, ()))
                requests[item.tree] = self._request(item, hashes.of(item.tree))
            except SigningRefused as refusal:
                refused.append(refusal)
            except HashesMissing as exc:
                origin = tree_origin(self._host, item.tree)
                refused.append(SigningRefused(origin, f"entries are missing: {exc}"))
        return requests, refused

    def _sizes(self, item: _Waiting) -> list[int]:
        last = self._signer.last(tree_origin(self._host, item.tree))
        newest = item.newest_size or 0
        known = [newest, last.size if last is not None else 0]
        return [item.frontier.size, *(size for size in known if size <= item.frontier.size)]

    def _request(self, item: _Waiting, range_hash: RangeHash) -> SigningRequest:
        """Build a request. Raises ``SigningRefused`` or ``HashesMissing``."""
        origin = tree_origin(self._host, item.tree)
        head = Checkpoint(origin=origin, size=item.frontier.size, root=item.frontier.root)
        if head.size < (item.newest_size or 0):
            raise SigningRefused(
                origin, f"it has {head.size} entries, but {item.newest_size} are already signed"
            )
        last = self._signer.last(origin)
        if item.newest_size is not None and (last is None or last.size < item.newest_size):
            proof = _proof(range_hash, last, item.newest_size)
            last = self._signer.adopt(str(item.newest_note), origin, proof)
        request = SigningRequest(head=head, proof=_proof(range_hash, last, head.size))
        if range_hash(0, head.size) != head.root:
            raise SigningRefused(origin, "its entries do not match the root of its frontier")
        return request

    def _check_key(self, item: _Waiting, in_use: Collection[str]) -> None:
        """Refuse to sign with another key than the one in use, which a rotation would name."""
        origin = tree_origin(self._host, item.tree)
        if str(self._signer.key(origin)) in in_use:
            self._with_key.add(item.tree)
        elif in_use:
            raise SigningRefused(
                origin, "it was signed with another key; the key file or the host name has changed"
            )
        else:
            self._with_key.discard(item.tree)

    def _store(
        self, connection: Connection, heads: Mapping[str, Checkpoint], notes: Mapping[str, str]
    ) -> None:
        """Write keys that are new, checkpoints, and that nothing of the trees waits any more."""
        keys = {tree: self._signer.key(head.origin) for tree, head in heads.items()}
        new_keys = [
            (tree, key.name, key.id.hex(), str(key))
            for tree, key in keys.items()
            if tree not in self._with_key
        ]
        if new_keys:
            named = rows_given(new_keys, tree=Text, name=Text, id=Text, vkey=Text)
            names = ["tenant_id", "key_name", "key_id", "vkey", "from_size", "reason"]
            row = select(named, literal(0), literal("created"))
            connection.execute(insert(audit_key).from_select(names, row).on_conflict_do_nothing())
        rows = [(tree, head.size, notes[tree]) for tree, head in heads.items()]
        given = rows_given(rows, tree=Text, size=BigInteger, note=Text)
        connection.execute(
            insert(audit_checkpoint)
            .from_select(["tenant_id", "size", "note"], select(given))
            .on_conflict_do_nothing()
        )
        connection.execute(
            update(audit_tree)
            .where(audit_tree.c.tenant_id == given.c.tree, audit_tree.c.size == given.c.size)
            .values(unsigned_since=None, held=None)
        )


def _proof(range_hash: RangeHash, last: Checkpoint | None, size: int) -> tuple[bytes, ...]:
    """Return the proof from the last signed head; none where the signer refuses anyhow."""
    if last is None or last.size > size:
        return ()
    return tuple(consistency_proof(last.size, size, range_hash))


def _keys_in_use(connection: Connection, trees: Sequence[str]) -> dict[str, list[str]]:
    query = select(audit_key.c.tenant_id, audit_key.c.vkey).where(
        audit_key.c.tenant_id.in_(texts_given(trees)),
        audit_key.c.to_size.is_(None),
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.tenant_id, []).append(row.vkey)
    return found


def _waiting(connection: Connection, trees: Sequence[str] | None) -> list[_Waiting]:
    """Return the trees that no checkpoint covers to their end; damaged ones are left out."""
    newest = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note)
        .where(audit_checkpoint.c.tenant_id == audit_tree.c.tenant_id)
        .order_by(audit_checkpoint.c.size.desc())
        .limit(1)
        .lateral("newest")
    )
    query = (
        select(
            audit_tree.c.tenant_id,
            audit_tree.c.size,
            audit_tree.c.frontier,
            newest.c.size.label("newest_size"),
            newest.c.note.label("newest_note"),
        )
        .select_from(audit_tree.outerjoin(newest, true()))
        .where(audit_tree.c.size != func.coalesce(newest.c.size, 0))
        .order_by(audit_tree.c.tenant_id)
    )
    if trees is not None:
        query = query.where(audit_tree.c.tenant_id.in_(texts_given(trees)))
    found = []
    for row in connection.execute(query):
        try:
            frontier = Frontier.from_bytes(row.size, bytes(row.frontier))
        except ValueError:
            continue  # the sequencer names it and holds it
        found.append(
            _Waiting(
                tree=row.tenant_id,
                frontier=frontier,
                newest_size=row.newest_size,
                newest_note=row.newest_note,
            )
        )
    return found
