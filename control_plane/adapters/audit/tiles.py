"""The hashes of a tree as the database keeps them: rows of 256, as c2sp.org/tlog-tiles cuts them.

Level 0 are the leaves in ``audit_entry``; level L > 0 are the hashes of complete subtrees of 256**L
leaves in ``audit_subtree``. Any proof touches a handful of tiles however large the tree is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    LargeBinary,
    Text,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from control_plane.adapters.audit.given import rows_given
from control_plane.adapters.audit.merkle import HASH_BYTES, RangeHash, join_ranges, root_of
from control_plane.adapters.db.audit_tables import audit_entry, audit_subtree

TILE_WIDTH: Final = 256
_MAX_LEVEL: Final = 7  # 256**8 leaves are more than a signed 64-bit index counts
_TILE_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z"
)


class HashesMissing(Exception):
    """The database does not hold hashes that a tree of that size must have."""


@dataclass(frozen=True, kw_only=True)
class TileName:
    """A tile of a tree: its level and its number in the level."""

    tree: str
    level: int
    index: int


class TreeHashes:
    """Reads the hashes of trees, a tile at a time, each tile once.

    ``ahead`` names tiles that will be needed: they are read together, with a statement per table.
    """

    def __init__(self, connection: Connection, ahead: Sequence[TileName] = ()) -> None:
        self._connection = connection
        self._tiles: dict[TileName, list[bytes]] = {}
        self._read(ahead)

    def hashes(self, tree: str, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes ``start`` to ``end`` (exclusive) of a level.

        Raises ``HashesMissing`` when the database has fewer.
        """
        found: list[bytes] = []
        for number in range(start // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1):
            first = number * TILE_WIDTH
            tile = TileName(tree=tree, level=level, index=number)
            if tile not in self._tiles:
                self._read([tile])
            found += self._tiles[tile][max(start - first, 0) : end - first]
        if len(found) != end - start:
            raise HashesMissing(f"{tree}: hashes {start} to {end} of level {level}")
        return found

    def of(self, tree: str) -> RangeHash:
        """Return MTH(D[lo:hi]) of a tree for ranges of a proof; raises ``HashesMissing``."""

        def range_hash(lo: int, hi: int) -> bytes:
            parts: list[tuple[bytes, int]] = []
            at = lo
            while at < hi:
                level = _level_at(at, hi)
                width = TILE_WIDTH**level
                in_tile = TILE_WIDTH - at // width % TILE_WIDTH
                count = min((hi - at) // width, in_tile)
                first = at // width
                parts += [(item, width) for item in self.hashes(tree, level, first, first + count)]
                at += count * width
            return join_ranges(parts)

        return range_hash

    def _read(self, tiles: Sequence[TileName]) -> None:
        """Read tiles; one with a gap, or not from its start, counts as empty."""
        self._tiles.update((tile, []) for tile in tiles)
        leaves = [(t.tree, t.level, t.index * TILE_WIDTH) for t in tiles if t.level == 0]
        upper = [(t.tree, t.level, t.index * TILE_WIDTH) for t in tiles if t.level > 0]
        for wanted, table, content in (
            (leaves, audit_entry, audit_entry.c.leaf),
            (upper, audit_subtree, audit_subtree.c.hash),
        ):
            if not wanted:
                continue
            given = rows_given(wanted, tree=Text, level=Integer, first=BigInteger)
            joined = (table.c.tenant_id == given.c.tree) & table.c.idx.between(
                given.c.first, given.c.first + (TILE_WIDTH - 1)
            )
            if table is audit_subtree:
                joined &= table.c.level == given.c.level
            query = (
                select(
                    given.c.tree,
                    given.c.level,
                    given.c.first,
                    func.count().label("count"),
                    func.max(table.c.idx).label("last"),
                    func.string_agg(
                        content, aggregate_order_by(literal(b"", LargeBinary), table.c.idx)
                    ).label("hashes"),
                )
                .join_from(given, table, joined)
                .group_by(given.c.tree, given.c.level, given.c.first)
            )
            for row in self._connection.execute(query):
                content_bytes = bytes(row.hashes)
                if row.last - row.first + 1 == row.count:
                    tile = TileName(tree=row.tree, level=row.level, index=row.first // TILE_WIDTH)
                    self._tiles[tile] = [
                        content_bytes[at : at + HASH_BYTES]
                        for at in range(0, len(content_bytes), HASH_BYTES)
                    ]


def tiles_of_proofs(tree: str, sizes: Iterable[int]) -> list[TileName]:
    """Return the tiles that the root of each size and the proofs between them need."""
    found = {
        (level, (size - 1) // TILE_WIDTH ** (level + 1))
        for size in sizes
        if size > 0
        for level in range(min((size.bit_length() - 1) // 8, _MAX_LEVEL) + 1)
    }
    return [TileName(tree=tree, level=level, index=index) for level, index in sorted(found)]


def _level_at(at: int, hi: int) -> int:
    """Return the level of the largest whole subtree that starts at ``at`` and ends by ``hi``."""
    level = 0
    while level < _MAX_LEVEL:
        width = TILE_WIDTH ** (level + 1)
        if at % width or at + width > hi:
            break
        level += 1
    return level


def keep_subtrees(connection: Connection, growth: Sequence[tuple[str, int, int]]) -> None:
    """Store the subtrees that became complete when trees grew, after their entries are stored.

    ``growth`` are the tree, its old and its new size.
    """
    for level in range(1, _MAX_LEVEL + 1):
        width = TILE_WIDTH**level
        complete = [
            (tree, n) for tree, old, new in growth for n in range(old // width, new // width)
        ]
        if not complete:
            return
        wanted = [TileName(tree=tree, level=level - 1, index=n) for tree, n in complete]
        hashes = TreeHashes(connection, wanted)
        connection.execute(
            audit_subtree.insert(),
            [
                {
                    "tenant_id": tree,
                    "level": level,
                    "idx": n,
                    "hash": root_of(
                        hashes.hashes(tree, level - 1, n * TILE_WIDTH, (n + 1) * TILE_WIDTH)
                    ),
                }
                for tree, n in complete
            ],
        )


@dataclass(frozen=True, kw_only=True)
class TilePath:
    """A parsed tile path; ``level`` is None for a bundle of entries."""

    level: int | None
    index: int
    width: int

    def span(self) -> tuple[int, int]:
        """Return the first hash of the tile at its level and the one after the last."""
        first = self.index * TILE_WIDTH
        return first, first + self.width

    def needed_size(self) -> int:
        """Return the size that a tree must have for the tile to be whole."""
        return self.span()[1] << 8 * (self.level or 0)


def parse_tile_path(path: str) -> TilePath | None:
    """Read ``tile/<L>/<N>[.p/<W>]`` or ``tile/entries/<N>[.p/<W>]``; None when it is neither."""
    match = _TILE_PATH.match(path)
    if match is None:
        return None
    digits = match[2].replace("x", "").replace("/", "")
    width = int(match[3]) if match[3] else TILE_WIDTH
    level = None if match[1] == "entries" else int(match[1])
    is_padded = len(digits) > 3 and digits.startswith("000")
    if is_padded or len(digits) > 18 or (match[3] and width >= TILE_WIDTH):
        return None
    if level is not None and level > _MAX_LEVEL:
        return None
    return TilePath(level=level, index=int(digits), width=width)
