"""The table of what was copied from one deployment to another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert

from control_plane.adapters.db.columns import choice, reference, words
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.metadata import metadata
from control_plane.domain.transfer import Copied, Kind

transferred = Table(
    "transferred",
    metadata,
    reference("saga_id", "saga", primary_key=True),
    choice("kind", Kind),
    # of the name: keys of items may be longer than an index takes
    Column("name_sha256", Text, primary_key=True),
    words("name"),
    words("version"),
    words("target_version"),
    words("digest"),
    Column("size", BigInteger, nullable=False),
)
Index("ix_transferred_kind", transferred.c.saga_id, transferred.c.kind)

_new: Final = insert(transferred)
_PUT: Final = _new.on_conflict_do_update(
    index_elements=["saga_id", "name_sha256"],
    set_={
        name: _new.excluded[name]
        for name in ("version", "target_version", "digest", "size")
    },
)  # fmt: skip
_C: Final = transferred.c


class SqlTransfers:
    """The port ``Transfers``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, saga_id: str, copied: Sequence[Copied]) -> None:
        """Keep what was copied."""
        if not copied:
            return
        rows = [
            {
                "saga_id": saga_id,
                "kind": one.kind,
                "name_sha256": _hashed(one.kind, one.name),
                "name": one.name,
                "version": one.version,
                "target_version": one.target_version,
                "digest": one.digest,
                "size": one.size,
            }
            for one in copied
        ]
        with translated():
            self._connection.execute(_PUT, rows)

    def known(self, saga_id: str, kind: Kind) -> dict[str, Copied]:
        """Return what was copied of a kind, by name."""
        query = select(_C.name, _C.version, _C.target_version, _C.digest, _C.size).where(
            _C.saga_id == saga_id, _C.kind == kind
        )
        with translated():
            rows = self._connection.execute(query).all()
        return {
            name: Copied(
                kind=kind, name=name, version=version, target_version=target, digest=digest,
                size=size,
            )
            for name, version, target, digest, size in rows
        }  # fmt: skip

    def forget(self, saga_id: str, kind: Kind, names: Sequence[str]) -> None:
        """Delete rows of things that are gone."""
        if not names:
            return
        hashed = [_hashed(kind, name) for name in names]
        statement = transferred.delete().where(_C.saga_id == saga_id, _C.name_sha256.in_(hashed))
        with translated():
            self._connection.execute(statement)

    def forget_all(self, saga_id: str) -> None:
        """Delete every row of a saga."""
        with translated():
            self._connection.execute(transferred.delete().where(_C.saga_id == saga_id))

    def sums(self, saga_id: str) -> dict[Kind, tuple[int, int]]:
        """Return how many things and bytes were copied, by kind."""
        query = (
            select(_C.kind, func.count(), func.sum(_C.size))
            .where(_C.saga_id == saga_id)
            .group_by(_C.kind)
        )
        with translated():
            rows = self._connection.execute(query).all()
        return {kind: (count, int(size)) for kind, count, size in rows}


def _hashed(kind: Kind, name: str) -> str:
    return hashlib.sha256(f"{kind} {name}".encode()).hexdigest()
