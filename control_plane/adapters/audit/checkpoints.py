"""Signing the heads of trees that grew, and reading back what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.audit.merkle import Frontier, consistency_proof, leaf_hash
from control_plane.adapters.audit.note import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    open_checkpoint,
    tree_origin,
)
from control_plane.adapters.audit.sequencer import Growth
from control_plane.adapters.audit.signing import CheckpointSigner, SigningRefused, SigningRequest
from control_plane.adapters.audit.tiles import HashesMissing, TreeHashes
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_tree,
)


class ReadBackFailed(Exception):
    """What was written is not there when it is read through a new connection."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The outcome of a signing step: notes by tree, and what was refused."""

    notes: Mapping[str, str]
    refused: Sequence[SigningRefused]


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
        requests: dict[str, SigningRequest] = {}
        refused: list[SigningRefused] = []
        # one snapshot: a head and the newest checkpoint read at two times may contradict each other
        snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.begin() as connection:
            for tree, frontier in _waiting(connection, trees):
                try:
                    requests[tree] = self._request(connection, tree, frontier)
                except SigningRefused as refusal:
                    refused.append(refusal)
        notes, more = self._signer.sign(list(requests.values()))
        signed = {
            tree: notes[request.head.origin]
            for tree, request in requests.items()
            if request.head.origin in notes
        }
        refused += more
        if signed:
            with self._engine.begin() as connection:
                for tree, note in signed.items():
                    self._store(connection, tree, requests[tree].head, note)
        return Signed(notes=signed, refused=refused)

    def read_back(self, growth: Sequence[Growth], notes: Mapping[str, str]) -> None:
        """Read the last entries and checkpoints of a tick again. Raises ``ReadBackFailed``."""
        if not growth and not notes:
            return
        with self._fresh.connect() as connection:
            ends = [(item.tree, item.new_size - 1) for item in growth]
            query = select(audit_entry.c.tenant_id, audit_entry.c.entry).where(
                tuple_(audit_entry.c.tenant_id, audit_entry.c.idx).in_(ends)
            )
            found = {row.tenant_id: bytes(row.entry) for row in connection.execute(query)}
            for item in growth:
                if leaf_hash(found.get(item.tree, b"")) != item.last_leaf:
                    raise ReadBackFailed(f"{item.tree}: entry {item.new_size - 1}")
            heads = {tree: self._open(tree, note) for tree, note in notes.items()}
            keys = [(tree, head.size) for tree, head in heads.items()]
            query_notes = select(audit_checkpoint.c.tenant_id, audit_checkpoint.c.note).where(
                tuple_(audit_checkpoint.c.tenant_id, audit_checkpoint.c.size).in_(keys)
            )
            stored = {row.tenant_id: row.note for row in connection.execute(query_notes)}
        for tree, note in notes.items():
            if stored.get(tree) != note:
                raise ReadBackFailed(f"{tree}: the checkpoint of size {heads[tree].size}")

    def _open(self, tree: str, note: str) -> Checkpoint:
        try:
            return open_checkpoint(note, [self._signer.key(tree_origin(self._host, tree))])
        except NoteInvalid as exc:
            raise ReadBackFailed(f"{tree}: {exc}") from exc

    def _request(self, connection: Connection, tree: str, frontier: Frontier) -> SigningRequest:
        """Build the request that the signer's rule asks for. Raises ``SigningRefused``."""
        origin = tree_origin(self._host, tree)
        self._check_key(connection, tree, origin)
        head = Checkpoint(origin=origin, size=frontier.size, root=frontier.root)
        hashes = TreeHashes(connection, tree)
        try:
            newest = _newest(connection, tree)
            last = self._signer.last(origin)
            if newest is not None and (last is None or last.size < newest.size):
                proof = _proof(hashes, last, newest.size)
                last = self._signer.adopt(newest.note, origin, proof)
            request = SigningRequest(head=head, proof=_proof(hashes, last, head.size))
            if hashes.range_hash(0, head.size) != head.root:
                raise SigningRefused(origin, "its entries do not have the root of its frontier")
        except HashesMissing as exc:
            raise SigningRefused(origin, f"entries are missing: {exc}") from exc
        return request

    def _check_key(self, connection: Connection, tree: str, origin: str) -> None:
        """Refuse to go on under another key than the one in use, which a rotation would name."""
        query = select(audit_key.c.vkey).where(
            audit_key.c.tenant_id == tree, audit_key.c.to_size.is_(None)
        )
        in_use = connection.execute(query).scalars().all()
        if str(self._signer.key(origin)) in in_use:
            self._with_key.add(tree)
        elif in_use:
            raise SigningRefused(origin, "another key signs it; the key file or host was changed")
        else:
            self._with_key.discard(tree)

    def _store(self, connection: Connection, tree: str, head: Checkpoint, note: str) -> None:
        if tree not in self._with_key:
            self._store_key(connection, tree, self._signer.key(head.origin))
        connection.execute(
            insert(audit_checkpoint).on_conflict_do_nothing(),
            {"tenant_id": tree, "size": head.size, "note": note},
        )
        connection.execute(
            update(audit_tree)
            .where(audit_tree.c.tenant_id == tree, audit_tree.c.size == head.size)
            .values(unsigned_since=None)
        )

    def _store_key(self, connection: Connection, tree: str, key: VerifierKey) -> None:
        connection.execute(
            insert(audit_key).on_conflict_do_nothing(),
            {
                "tenant_id": tree,
                "key_name": key.name,
                "key_id": key.id.hex(),
                "vkey": str(key),
                "from_size": 0,
                "reason": "created",
            },
        )


def _proof(hashes: TreeHashes, last: Checkpoint | None, size: int) -> tuple[bytes, ...]:
    """Return the proof from the last signed head; none where the signer refuses anyhow."""
    if last is None or last.size > size:
        return ()
    return tuple(consistency_proof(last.size, size, hashes.range_hash))


def _newest(connection: Connection, tree: str) -> Any:
    query = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note)
        .where(audit_checkpoint.c.tenant_id == tree)
        .order_by(audit_checkpoint.c.size.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _waiting(connection: Connection, trees: Sequence[str] | None) -> list[tuple[str, Frontier]]:
    """Return the ends of the trees that no checkpoint covers; damaged ones are left out."""
    covered = (
        select(func.max(audit_checkpoint.c.size))
        .where(audit_checkpoint.c.tenant_id == audit_tree.c.tenant_id)
        .scalar_subquery()
    )
    query = (
        select(audit_tree.c.tenant_id, audit_tree.c.size, audit_tree.c.frontier)
        .where(audit_tree.c.size != func.coalesce(covered, 0))
        .order_by(audit_tree.c.tenant_id)
    )
    if trees is not None:
        query = query.where(audit_tree.c.tenant_id.in_(trees))
    found = []
    for row in connection.execute(query):
        try:
            found.append((row.tenant_id, Frontier.from_bytes(row.size, bytes(row.frontier))))
        except ValueError:
            continue  # the sequencer names it, and its unsigned_since stops all changes in time
    return found
