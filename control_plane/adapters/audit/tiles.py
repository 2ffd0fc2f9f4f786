"""The hashes of a tree as the database keeps them: rows of 256, as c2sp.org/tlog-tiles cuts them.

Level 0 are the leaves in ``audit_entry``; level L > 0 are the hashes of complete subtrees of 256**L
leaves in ``audit_subtree``. Any proof touches a handful of tiles however large the tree is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from control_plane.adapters.audit.merkle import join_ranges, root_of
from control_plane.adapters.db.audit_tables import audit_entry, audit_subtree

TILE_WIDTH: Final = 256
_MAX_LEVEL: Final = 7  # 256**8 leaves are more than a signed 64-bit index counts
_TILE_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z"
)


class HashesMissing(Exception):
    """The database does not hold hashes that a tree of that size must have."""


class TreeHashes:
    """Reads the hashes of one tree, a tile at a time, each tile once."""

    def __init__(self, connection: Connection, tree: str) -> None:
        self._connection = connection
        self._tree = tree
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """Return the hashes ``start`` to ``end`` (exclusive) of a level.

        Raises ``HashesMissing`` when the database has fewer.
        """
        found: list[bytes] = []
        for tile in range(start // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1):
            first = tile * TILE_WIDTH
            row = self._tile(level, tile)
            found += row[max(start - first, 0) : end - first]
        if len(found) != end - start:
            raise HashesMissing(f"{self._tree}: hashes {start} to {end} of level {level}")
        return found

    def range_hash(self, lo: int, hi: int) -> bytes:
        """Return MTH(D[lo:hi]) for a range of a proof. Raises ``HashesMissing``."""
        parts: list[tuple[bytes, int]] = []
        at = lo
        while at < hi:
            level = _level_at(at, hi)
            width = TILE_WIDTH**level
            in_tile = TILE_WIDTH - at // width % TILE_WIDTH
            count = min((hi - at) // width, in_tile)
            first = at // width
            parts += [(item, width) for item in self.hashes(level, first, first + count)]
            at += count * width
        return join_ranges(parts)

    def _tile(self, level: int, tile: int) -> list[bytes]:
        """Return what there is of a tile, in order and without gaps."""
        if (level, tile) not in self._tiles:
            rows = self._read(level, tile * TILE_WIDTH)
            for n, (idx, _) in enumerate(rows):
                if idx != tile * TILE_WIDTH + n:
                    raise HashesMissing(f"{self._tree}: hash {idx - 1} of level {level}")
            self._tiles[level, tile] = [bytes(item) for _, item in rows]
        return self._tiles[level, tile]

    def _read(self, level: int, first: int) -> Sequence[tuple[int, bytes]]:
        if level == 0:
            query = select(audit_entry.c.idx, audit_entry.c.leaf).where(
                audit_entry.c.tenant_id == self._tree,
                audit_entry.c.idx.between(first, first + TILE_WIDTH - 1),
            )
            return [(row.idx, row.leaf) for row in self._connection.execute(query.order_by("idx"))]
        query = select(audit_subtree.c.idx, audit_subtree.c.hash).where(
            audit_subtree.c.tenant_id == self._tree,
            audit_subtree.c.level == level,
            audit_subtree.c.idx.between(first, first + TILE_WIDTH - 1),
        )
        return [(row.idx, row.hash) for row in self._connection.execute(query.order_by("idx"))]


def _level_at(at: int, hi: int) -> int:
    """Return the level of the largest whole subtree that starts at ``at`` and ends by ``hi``."""
    level = 0
    while level < _MAX_LEVEL:
        width = TILE_WIDTH ** (level + 1)
        if at % width or at + width > hi:
            break
        level += 1
    return level


def keep_subtrees(connection: Connection, tree: str, old_size: int, new_size: int) -> None:
    """Store the subtrees that became complete when a tree grew, after its entries are stored."""
    for level in range(1, _MAX_LEVEL + 1):
        width = TILE_WIDTH**level
        complete = range(old_size // width, new_size // width)
        if not complete:
            return
        below = TreeHashes(connection, tree)
        rows = [
            {
                "tenant_id": tree,
                "level": level,
                "idx": n,
                "hash": root_of(below.hashes(level - 1, n * TILE_WIDTH, (n + 1) * TILE_WIDTH)),
            }
            for n in complete
        ]
        connection.execute(audit_subtree.insert(), rows)


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
