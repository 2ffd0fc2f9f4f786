"""A Merkle tree in memory: what the trees of the product are measured by."""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.adapters.audit.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)


class MemoryTree:
    """A whole tree."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._leaves = list(leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    def append(self, entry: bytes) -> int:
        """Append an entry and return its index."""
        self._leaves.append(leaf_hash(entry))
        return len(self._leaves) - 1

    def range_hash(self, lo: int, hi: int) -> bytes:
        """Return MTH(D[lo:hi])."""
        return root_of(self._leaves[lo:hi])

    def root(self, size: int | None = None) -> bytes:
        """Return the root, or that of the first ``size`` leaves."""
        return self.range_hash(0, len(self) if size is None else size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf in the tree of that size."""
        return inclusion_proof(index, size, self.range_hash)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the consistency proof between two sizes."""
        return consistency_proof(old, new, self.range_hash)
